package dsn

import (
	"bytes"
	"cmp"
	"fmt"
	"mime"
	"strings"
	"time"

	"github.com/postrider/postrider/smtp"
)

// fieldsPart is the part that programs read.
func (r *Report) fieldsPart() part {
	var b bytes.Buffer
	p := part{encoding: "7bit", description: "Delivery report", mediaType: "message/delivery-status"}
	f := fields{b: &b, utf8: r.UTF8()}
	switch {
	case r.Complaint != nil:
		p.mediaType, p.description = "message/feedback-report", "Feedback report"
		f.utf8 = false
		r.writeComplaint(f)
	default:
		r.writeStatus(f)
	}
	p.body = b.Bytes()
	if f.utf8 {
		p.mediaType = "message/global-delivery-status" // RFC 6533 s. 4
		if !isASCII(b.String()) {
			p.encoding = "8bit"
		}
	}
	return p
}

// fields writes fields of a report; those without a value are left out.
type fields struct {
	b    *bytes.Buffer
	utf8 bool // UTF-8 may stand as it is
}

func (f fields) text(name, value string) {
	value = clean(value)
	if !f.utf8 {
		value = strings.Map(func(r rune) rune {
			if r >= 0x80 {
				return '?'
			}
			return r
		}, value)
	}
	if value != "" {
		writeField(f.b, name, value)
	}
}

func (f fields) mta(name, host string) {
	if host != "" {
		f.text(name, "dns; "+host)
	}
}

// address writes "rfc822; ASCII" or "utf-8; ..." (RFC 6533 s. 3).
func (f fields) address(name, a string) {
	a = clean(a)
	switch {
	case a == "":
	case isASCII(a):
		f.text(name, "rfc822; "+a)
	case f.utf8:
		f.text(name, "utf-8; "+a)
	default:
		f.text(name, "utf-8; "+toXtext(a))
	}
}

func (f fields) date(name string, t time.Time) {
	if !t.IsZero() {
		f.text(name, t.Format(time.RFC1123Z))
	}
}

func (f fields) gap() { f.b.WriteString("\r\n") }

func (r *Report) writeStatus(f fields) {
	f.mta("Reporting-MTA", r.ReportingMTA)
	f.text("Original-Envelope-Id", r.EnvelopeID)
	f.mta("Received-From-MTA", r.ReceivedFrom)
	f.date("Arrival-Date", r.ArrivalDate)
	for _, fate := range r.Recipients {
		f.gap()
		if fate.Status == (smtp.EnhancedCode{}) {
			fate.infer()
		}
		action := cmp.Or(fate.Action, Failed)
		f.address("Original-Recipient", fate.Original)
		f.address("Final-Recipient", cmp.Or(clean(fate.Address), "unknown"))
		f.text("Action", string(action))
		f.text("Status", fate.Status.String())
		f.mta("Remote-MTA", fate.RemoteMTA)
		if fate.Diagnostic != "" {
			kind := "X-local; "
			if replyCode.MatchString(fate.Diagnostic) {
				kind = "smtp; "
			}
			f.text("Diagnostic-Code", kind+fate.Diagnostic)
		}
		f.date("Last-Attempt-Date", fate.LastAttempt)
		if action == Delayed { // RFC 3464 s. 2.3.9
			f.date("Will-Retry-Until", fate.WillRetryUntil)
		}
	}
}

func (r *Report) writeComplaint(f fields) {
	c := r.Complaint
	f.text("Feedback-Type", cmp.Or(c.Type, "other"))
	f.text("User-Agent", cmp.Or(c.UserAgent, "postrider"))
	f.text("Version", "1")
	f.text("Original-Envelope-Id", r.EnvelopeID)
	if c.MailFrom != "" {
		f.text("Original-Mail-From", "<"+c.MailFrom+">")
	}
	for _, to := range c.RcptTo {
		f.text("Original-Rcpt-To", "<"+to+">")
	}
	f.mta("Reporting-MTA", r.ReportingMTA)
	f.date("Arrival-Date", r.ArrivalDate)
	if c.SourceIP.IsValid() {
		f.text("Source-IP", c.SourceIP.String())
	}
	f.text("Authentication-Results", c.AuthenticationResults)
	for _, domain := range c.Domains {
		f.text("Reported-Domain", domain)
	}
	for _, uri := range c.URIs {
		f.text("Reported-URI", uri)
	}
	if c.Incidents > 1 {
		f.text("Incidents", fmt.Sprint(c.Incidents))
	}
}

// writeField writes a field, folded at spaces to 76 octets; words longer than 900 are cut, for no
// line may have more than 998 (RFC 5322 s. 2.1.1).
func writeField(b *bytes.Buffer, name, value string) {
	b.WriteString(name + ":")
	column := len(name) + 1
	for word := range strings.SplitSeq(value, " ") {
		for len(word) > 900 {
			b.WriteString("\r\n " + strings.ToValidUTF8(word[:900], ""))
			word, column = strings.ToValidUTF8(word[900:], ""), 901
		}
		if column+1+len(word) > 76 && column > 1 && word != "" {
			b.WriteString("\r\n")
			column = 0
		}
		b.WriteString(" " + word)
		column += 1 + len(word)
	}
	b.WriteString("\r\n")
}

// writeSubject encodes what is not ASCII as encoded-words, one on a line (RFC 2047 s. 2).
func writeSubject(b *bytes.Buffer, subject string) {
	if isASCII(subject) && !strings.Contains(subject, "=?") {
		writeField(b, "Subject", subject)
		return
	}
	encoded := mime.QEncoding.Encode("utf-8", subject)
	if encoded == subject { // ASCII that looks like an encoded-word
		encoded = ""
		for len(subject) > 0 {
			n := min(len(subject), 20) // 60 when encoded
			word := strings.NewReplacer("=", "=3D", "?", "=3F", "_", "=5F", " ", "_").Replace(subject[:n])
			encoded, subject = strings.TrimSpace(encoded+" =?utf-8?q?"+word+"?="), subject[n:]
		}
	}
	b.WriteString("Subject:\r\n " + strings.ReplaceAll(encoded, "?= =?", "?=\r\n =?") + "\r\n")
}
