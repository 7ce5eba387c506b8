package smtp

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// mostLine bounds a command line. RFC 5321 s. 4.5.3.1.4 gives 512 octets, and each extension adds
// for its parameters; addresses are bounded by themselves, so this is only the last guard.
const mostLine = 4096

// command appends one command line with CRLF. It is the only place where commands become
// octets: a control character, which could end the line early, is refused whatever was checked
// before.
func command(b []byte, line string) ([]byte, error) {
	if len(line) > mostLine {
		return b, fmt.Errorf("smtp: a command of %d octets", len(line))
	}
	for i := range len(line) {
		if line[i] < ' ' || line[i] == 0x7f {
			return b, fmt.Errorf("smtp: a control character in a command: %.64q", line)
		}
	}
	return append(append(b, line...), "\r\n"...), nil
}

// mailLine is the MAIL command of an envelope for a server with these extensions; fits has
// said before that they suffice. size is the number of octets of the message, negative where it is not
// known.
func mailLine(e *Envelope, x *extensions, size int64, eightBit bool, now time.Time) string {
	var b strings.Builder
	b.Grow(len(e.From) + 64)
	b.WriteString("MAIL FROM:<")
	b.WriteString(e.From)
	b.WriteString(">")
	switch {
	case e.Binary:
		b.WriteString(" BODY=BINARYMIME") // RFC 3030 s. 3
	case eightBit:
		b.WriteString(" BODY=8BITMIME") // RFC 6152 s. 2
	}
	if needsUTF8(e) {
		b.WriteString(" SMTPUTF8") // RFC 6531 s. 3.4
	}
	if e.RequireTLS && x.requireTLS { // LMTP does without, see fits
		b.WriteString(" REQUIRETLS") // RFC 8689 s. 4.2
	}
	if x.dsn {
		if e.Return != "" {
			b.WriteString(" RET=" + string(e.Return))
		}
		if e.EnvelopeID != "" {
			b.WriteString(" ENVID=" + xtext(e.EnvelopeID))
		}
	}
	if x.deliverBy && !e.DeliverBy.IsZero() {
		// RFC 2852 s. 4: by-time in seconds, "R" returns the mail when it is too late. Less than the server's
		// least by-time would be refused, though the mail may well be in time: then it is left out.
		if by := max(e.DeliverBy.Sub(now).Round(time.Second), time.Second); by >= x.deliverByMin {
			fmt.Fprintf(&b, " BY=%d;R", int64(min(by/time.Second, 999999999)))
		}
	}
	if x.priority && e.Priority != 0 {
		b.WriteString(" MT-PRIORITY=" + strconv.Itoa(e.Priority)) // RFC 6710 s. 4
	}
	if e.HoldUntil.After(now) {
		b.WriteString(" HOLDUNTIL=" + e.HoldUntil.UTC().Format(time.RFC3339)) // RFC 4865 s. 5
	}
	if x.size && size >= 0 {
		b.WriteString(" SIZE=") // RFC 1870 s. 4
		b.WriteString(strconv.FormatInt(size, 10))
	}
	return b.String()
}

// rcptLine is the RCPT command of one recipient.
func rcptLine(r *Recipient, x *extensions) string {
	if !x.dsn || r.Notify == 0 && r.Original == "" {
		return "RCPT TO:<" + r.Address + ">"
	}
	var b strings.Builder
	b.WriteString("RCPT TO:<" + r.Address + ">")
	if r.Notify != 0 {
		b.WriteString(" NOTIFY=" + r.Notify.String())
	}
	if r.Original != "" {
		b.WriteString(" ORCPT=")
		if isASCII(r.Original) {
			b.WriteString("rfc822;" + xtext(r.Original)) // RFC 3461 s. 4.2
		} else {
			b.WriteString("utf-8;" + unitext(r.Original)) // RFC 6533 s. 3
		}
	}
	return b.String()
}

// xtext encodes as RFC 3461 s. 4 does.
func xtext(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c > ' ' && c < 0x7f && c != '+' && c != '=' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "+%02X", c)
		}
	}
	return b.String()
}

// unitext encodes as utf-8-addr-xtext (RFC 6533 s. 3), which needs no SMTPUTF8.
func unitext(s string) string {
	var b strings.Builder
	for _, c := range s {
		if c > ' ' && c < 0x7f && c != '+' && c != '=' && c != '\\' {
			b.WriteRune(c)
		} else {
			fmt.Fprintf(&b, `\x{%02X}`, c)
		}
	}
	return b.String()
}

// String is the value of NOTIFY (RFC 3461 s. 4.1).
func (n Notify) String() string {
	if n&NotifyNever != 0 {
		return "NEVER"
	}
	var names []string
	for _, v := range []struct {
		bit  Notify
		name string
	}{{NotifySuccess, "SUCCESS"}, {NotifyFailure, "FAILURE"}, {NotifyDelay, "DELAY"}} {
		if n&v.bit != 0 {
			names = append(names, v.name)
		}
	}
	return strings.Join(names, ",")
}
