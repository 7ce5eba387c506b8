package smtp

import (
	"io"
	"time"
)

// Envelope is one mail as SMTP sees it: who sends, who shall receive, and the bytes
// (RFC 5321 s. 2.3.1). It is read, never written, while it is delivered, so one Envelope
// may be delivered by several goroutines at once when Open may be called concurrently.
type Envelope struct {
	// From is the reverse-path, an address without angle brackets. Empty is the null
	// reverse-path "<>" of notifications (RFC 5321 s. 4.5.5).
	From string
	// To are the recipients, in the order of the results.
	To []Recipient

	// Size is the exact number of octets that Open's reader yields; it is compared with the
	// limit of the server (RFC 1870) and announced to it. Negative: not known.
	Size int64
	// Open returns the message (RFC 5322, lines ended by CRLF, no bare CR or LF) from its
	// first octet. It is called once for each attempt. When the context of an attempt ends, Close is called
	// although a Read may be running, so that nobody waits for it.
	Open func() (io.ReadCloser, error)

	// EightBit says that the message has octets above 127, UTF8 that a header field or an
	// address needs RFC 6531, Binary that it needs BINARYMIME (RFC 3030). The extensions are
	// used when the message needs them, not because they are offered.
	EightBit, UTF8, Binary bool

	// RequireTLS demands RFC 8689 on every hop. TLSOptional is its opposite, the header field
	// "TLS-Required: No": policies that would stop the mail are waived.
	RequireTLS, TLSOptional bool

	// EnvelopeID and Return are ENVID and RET of RFC 3461. They are left out where the server
	// has no DSN extension.
	EnvelopeID string
	Return     Return

	// DeliverBy is the time after which the mail is useless (RFC 2852, sent when offered).
	// Zero: no limit.
	DeliverBy time.Time
	// Priority is MT-PRIORITY of RFC 6710, -9 to 9. Zero is normal and is not sent.
	Priority int
	// HoldUntil asks the server for FUTURERELEASE (RFC 4865). Zero: release at once. A server
	// without the extension is an error, since the mail would go out too early.
	HoldUntil time.Time
}

// Recipient is one forward-path with its wishes for delivery status notifications.
type Recipient struct {
	// Address is the forward-path without angle brackets.
	Address string
	// Notify is NOTIFY of RFC 3461. Zero: the server's default.
	Notify Notify
	// Original is the original recipient (ORCPT) in plain form, "bob@example.org"; it is encoded
	// as xtext or utf-8-addr-xtext when sent. Empty: not sent.
	Original string
}

// Return says how much of the message a failure notification shall carry (RET, RFC 3461 s. 4.3).
type Return string

// The values of RET. The zero value leaves the choice to the server.
const (
	ReturnFull    Return = "FULL"
	ReturnHeaders Return = "HDRS"
)

// Notify is a set of the conditions of NOTIFY (RFC 3461 s. 4.1).
type Notify uint8

// The conditions of NOTIFY. NotifyNever stands alone.
const (
	NotifySuccess Notify = 1 << iota
	NotifyFailure
	NotifyDelay
	NotifyNever
)

// Addresses makes plain recipients from addresses.
func Addresses(addresses ...string) []Recipient {
	to := make([]Recipient, len(addresses))
	for i, a := range addresses {
		to[i].Address = a
	}
	return to
}
