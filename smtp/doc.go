// Package smtp speaks SMTP (RFC 5321) and LMTP (RFC 2033) as a client: it takes an [Envelope],
// carries it to a [Server] over pooled connections, and returns one [Result] for each recipient.
package smtp
