// Package postrider sends mail: it builds the message, signs it, finds the servers, delivers directly
// or through a relay, and says what became of it for every recipient.
//
//	Message ─► Filter… ─► compose, Signer ─► Transport ─► Receipt, or an Error with every Result
//	                                          ├ Direct: mx.Router, then smtp.Pool
//	                                          ├ Relay: smtp.Pool
//	                                          └ Failover, RoundRobin, Record: transports over transports
//
// The way of one message:
//
//  1. [Client.Send] checks all of it before anything leaves: addresses by grammar, header text,
//     attachments. What is wrong is one error, ErrInvalid, that names the fields.
//  2. The filters may change it: a suppression list takes recipients out, tracking rewrites links.
//  3. It is composed once, and signed in the same pass. The bytes are final then.
//  4. The transport delivers. [Direct] asks the recipients' domains for their servers and what safety
//     they promise; [Relay] has one server.
//  5. Each recipient has a result of its own. [Classify] says what it means: delivered, temporary,
//     permanent, or unknown when the answer to the last octet was lost.
//
// Send returns nil when somebody else has taken responsibility for the mail to every recipient, and
// never otherwise (RFC 5321 s. 4.2.5 and 6.1). An attachment that fails while it is read, a
// connection that breaks: half a message is never ended as if it were whole.
//
// A program that only wants to send starts with [Open] and a URL from its configuration. To
// develop without real mail, use a [Record], or the server in package smtp/smtptest.
//
// RFC 5321 (SMTP), RFC 5322 (message format), RFC 2045 to 2049 and 2231 (MIME), RFC 6409 (submission),
// RFC 6531 and 6532 (internationalized mail), RFC 6376 (DKIM), RFC 8058 (one-click unsubscribe).
package postrider
