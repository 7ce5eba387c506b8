package smtp

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	gosmtp "github.com/emersion/go-smtp"
)

// ErrUnsure says that the connection was lost, or a time limit passed, after the last octet of
// the message was sent and before the final reply was read: the server may have accepted the
// mail or not (RFC 1047). It is neither delivered nor failed. To try again risks a duplicate,
// not to try again risks a loss.
var ErrUnsure = errors.New("smtp: connection lost after the message was sent: it may have been accepted")

// Result is the fate of one recipient in one attempt. It is a value: there is no error beside it.
type Result struct {
	// Recipient is the address as it stands in the envelope.
	Recipient string
	// Err is nil if the server took responsibility for the mail to this recipient, and only
	// then. Otherwise it says what happened; errors.Is finds ErrUnsure, errors.As finds
	// *ReplyError and go-smtp's *SMTPError where a reply was the cause.
	Err error
	// Phase is the step of the dialogue that decided.
	Phase Phase
	// Reply is the server's reply that decided. Zero: the cause was not a reply.
	Reply Reply
	// Host is the name of the server that was asked, Addr its address. Both may be empty when no
	// server was reached.
	Host string
	Addr netip.AddrPort
	// TLS is the state of the connection's TLS. Nil: plaintext, or no connection.
	TLS *tls.ConnectionState
	// Size is the number of octets of the message that were sent.
	Size int64
	// Started is when the attempt began, and Duration how long it took until this recipient's
	// fate was known.
	Started  time.Time
	Duration time.Duration
}

// Phase names a step of an SMTP dialogue.
type Phase string

// The phases in the order in which they come.
const (
	PhaseLocal    Phase = "local"    // before any network: a bad envelope, a source that cannot be opened
	PhaseRoute    Phase = "route"    // looking for the server
	PhaseConnect  Phase = "connect"  // TCP
	PhaseGreeting Phase = "greeting" // the 220 banner
	PhaseHello    Phase = "hello"    // EHLO, HELO or LHLO
	PhaseTLS      Phase = "tls"      // STARTTLS and the handshake
	PhaseAuth     Phase = "auth"     // AUTH
	PhaseMail     Phase = "mail"     // MAIL FROM
	PhaseRcpt     Phase = "rcpt"     // RCPT TO
	PhaseData     Phase = "data"     // DATA, BDAT and the octets of the message
	PhaseFinal    Phase = "final"    // the reply after the last octet
)

// Reply is one reply of a server (RFC 5321 s. 4.2).
type Reply struct {
	// Code is the three-digit code. Zero: no reply.
	Code int
	// Enhanced is the enhanced status code (RFC 3463) from any line of the reply. Zero: none.
	Enhanced EnhancedCode
	// Text is the text without codes, lines joined by "\n", controls made harmless.
	Text string
}

// EnhancedCode is an enhanced status code (RFC 3463): class, subject, detail.
type EnhancedCode [3]int

// String returns the code as "5.1.1", and "" for the zero value.
func (c EnhancedCode) String() string {
	if c == (EnhancedCode{}) {
		return ""
	}
	return fmt.Sprintf("%d.%d.%d", c[0], c[1], c[2])
}

// String returns the reply on one line.
func (r Reply) String() string {
	if r.Code == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d", r.Code)
	if r.Enhanced != (EnhancedCode{}) {
		b.WriteString(" " + r.Enhanced.String())
	}
	if r.Text != "" {
		b.WriteString(" " + strings.ReplaceAll(r.Text, "\n", " "))
	}
	return b.String()
}

// Positive says that the reply is of class 2 or 3.
func (r Reply) Positive() bool { return r.Code >= 200 && r.Code < 400 }

// Temporary says that the reply is of class 4: the same command may succeed later.
func (r Reply) Temporary() bool { return r.Code >= 400 && r.Code < 500 }

// Permanent says that the reply is of class 5: do not try again.
func (r Reply) Permanent() bool { return r.Code >= 500 && r.Code < 600 }

// ReplyError is a refusal: a reply of class 4 or 5 to a command.
type ReplyError struct {
	Phase Phase
	Reply Reply
	Host  string
}

func (e *ReplyError) Error() string {
	if e.Host == "" {
		return fmt.Sprintf("%s: %s", e.Phase, e.Reply)
	}
	return fmt.Sprintf("%s: %s: %s", e.Host, e.Phase, e.Reply)
}

// Temporary says that a later attempt may succeed.
func (e *ReplyError) Temporary() bool { return !e.Reply.Permanent() }

// Unwrap returns the refusal as go-smtp's error type, so that programs that know that type find
// it by errors.As.
func (e *ReplyError) Unwrap() error {
	return &gosmtp.SMTPError{Code: e.Reply.Code, EnhancedCode: gosmtp.EnhancedCode(e.Reply.Enhanced), Message: e.Reply.Text}
}

// Failed makes a result for every recipient of the envelope from one cause.
func Failed(e *Envelope, phase Phase, host string, err error) []Result {
	results := make([]Result, len(e.To))
	for i, r := range e.To {
		results[i] = Result{Recipient: r.Address, Err: err, Phase: phase, Host: host, Started: time.Now()}
		var reply *ReplyError
		if errors.As(err, &reply) {
			results[i].Reply = reply.Reply
		}
	}
	return results
}
