package smtp

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// check says whether an envelope can be sent at all, before any network is touched.
func check(e *Envelope) error {
	if e == nil || e.Open == nil {
		return envelopeError(EnhancedCode{5, 6, 0}, "the envelope has no message")
	}
	if e.From != "" {
		if err := checkAddress(e.From); err != nil {
			return envelopeError(EnhancedCode{5, 1, 7}, "sender: %w", err)
		}
	}
	switch e.Return {
	case "", ReturnFull, ReturnHeaders:
	default:
		return envelopeError(EnhancedCode{5, 5, 4}, "RET %q", e.Return)
	}
	// RFC 3461 s. 4.4: 100 octets, encoded.
	if len(xtext(e.EnvelopeID)) > 100 || !graphic(e.EnvelopeID) {
		return envelopeError(EnhancedCode{5, 5, 4}, "ENVID %.100q", e.EnvelopeID)
	}
	if e.Priority < -9 || e.Priority > 9 {
		return envelopeError(EnhancedCode{5, 5, 4}, "priority %d", e.Priority)
	}
	if e.RequireTLS && e.TLSOptional {
		return envelopeError(EnhancedCode{5, 5, 4}, "RequireTLS and TLSOptional exclude each other") // RFC 8689 s. 4.2.1
	}
	for i := range e.To {
		if err := checkRecipient(&e.To[i]); err != nil {
			return err
		}
	}
	return nil
}

func checkRecipient(r *Recipient) error {
	// "Postmaster" needs no domain (RFC 5321 s. 4.5.1).
	if !strings.EqualFold(r.Address, "postmaster") {
		if err := checkAddress(r.Address); err != nil {
			return envelopeError(EnhancedCode{5, 1, 3}, "recipient: %w", err)
		}
	}
	if r.Notify > NotifyNever {
		return envelopeError(EnhancedCode{5, 5, 4}, "NOTIFY %d", r.Notify)
	}
	if len(r.Original) > mostPath {
		return envelopeError(EnhancedCode{5, 5, 4}, "ORCPT of %d octets", len(r.Original))
	}
	// Encoded it could do no harm here, but it is decoded elsewhere: into a notification's header.
	if !utf8.ValidString(r.Original) || strings.ContainsFunc(r.Original, unicode.IsControl) {
		return envelopeError(EnhancedCode{5, 5, 4}, "ORCPT %.100q", r.Original)
	}
	return nil
}

// graphic says that s has only what ENVID may hold before encoding (RFC 3461 s. 4.4).
func graphic(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

func needsUTF8(e *Envelope) bool {
	if e.UTF8 || !isASCII(e.From) {
		return true
	}
	for i := range e.To {
		if !isASCII(e.To[i].Address) {
			return true
		}
	}
	return false
}

// fits says whether a server with these extensions can take the envelope. What only makes things
// better (DSN, DELIVERBY, MT-PRIORITY) may lack; what changes the meaning of the mail may not. Nothing
// is re-encoded here: that would break signatures over the message.
func fits(e *Envelope, x *extensions, encrypted, lmtp bool, now time.Time) error {
	if needsUTF8(e) && !x.utf8 {
		return lacks("SMTPUTF8", EnhancedCode{5, 6, 7}, "the server has no SMTPUTF8, which the message or an address needs") // RFC 6531 s. 3.5
	}
	if e.EightBit && !e.Binary && !x.eightBit {
		return lacks("8BITMIME", EnhancedCode{5, 6, 3}, "the server has no 8BITMIME, which the message needs") // RFC 6152 s. 3
	}
	if e.Binary && !(x.binary && x.chunking) {
		return lacks("BINARYMIME", EnhancedCode{5, 6, 3}, "the server has no BINARYMIME, which the message needs") // RFC 3030 s. 3
	}
	if e.RequireTLS {
		if !encrypted {
			return lacks("REQUIRETLS", EnhancedCode{5, 7, 30}, "the connection has no TLS, which the message requires")
		}
		// LMTP ends the transfer: there is no further hop to bind (RFC 8689 s. 1).
		if !x.requireTLS && !lmtp {
			return lacks("REQUIRETLS", EnhancedCode{5, 7, 30}, "the server has no REQUIRETLS, which the message requires") // RFC 8689 s. 4.2
		}
	}
	if x.size && x.sizeLimit > 0 && e.Size > x.sizeLimit {
		return lacks("SIZE", EnhancedCode{5, 3, 4}, "the message has %d octets, the server takes %d", e.Size, x.sizeLimit) // RFC 1870 s. 5
	}
	return fitsHold(e, x, now)
}

func fitsHold(e *Envelope, x *extensions, now time.Time) error {
	if !e.HoldUntil.After(now) {
		return nil
	}
	if !x.futureRelease {
		return lacks("FUTURERELEASE", EnhancedCode{5, 3, 3}, "the server has no FUTURERELEASE, which HoldUntil needs")
	}
	if x.holdMost > 0 && e.HoldUntil.Sub(now) > x.holdMost || !x.holdUntil.IsZero() && e.HoldUntil.After(x.holdUntil) {
		return lacks("FUTURERELEASE", EnhancedCode{5, 3, 3}, "the server does not hold mail until %v", e.HoldUntil)
	}
	return nil
}
