// Package dkim signs messages (RFC 6376, RFC 8463), verifies them, and writes the DNS records of
// keys.
package dkim
