package postrider

import (
	"fmt"
	"strings"
)

// reservedFields are header fields that Message.Header must not have, with what to use instead.
var reservedFields = map[string]string{
	"from": "use From", "sender": "use Sender", "to": "use To", "cc": "use Cc", "reply-to": "use ReplyTo",
	"bcc":     "use Bcc, which is never written",
	"subject": "use Subject", "date": "use Date", "message-id": "use MessageID",
	"in-reply-to": "use InReplyTo", "references": "use References",
	"mime-version": "it is always written", "return-path": "use ReturnPath; the field is the last server's",
	"received":       "it is written by servers",
	"dkim-signature": "use Client.Signer", "domainkey-signature": "use Client.Signer",
	"authentication-results": "it is written by receivers", "received-spf": "it is written by receivers",
}

// checkHeader checks the further fields.
func (m *Message) checkHeader(p *problems) {
	for i := range m.Header {
		f := &m.Header[i]
		if err := m.checkField(f); err != nil {
			p.add(fmt.Sprintf("Header[%d] %q", i, f.Name), err)
		}
	}
}

func (m *Message) checkField(f *Field) error {
	if err := checkFieldName(f.Name); err != nil {
		return err
	}
	name := strings.ToLower(f.Name)
	use, reserved := reservedFields[name]
	switch {
	case reserved:
	case strings.HasPrefix(name, "content-"):
		reserved, use = true, "use Text, HTML, Alternatives and Attachments"
	case strings.HasPrefix(name, "resent-"), strings.HasPrefix(name, "arc-"):
		reserved, use = true, "it belongs to those who pass a message on"
	// These have a place too, but are text: they may stand here if it is not used.
	case strings.HasPrefix(name, "list-unsubscribe") && m.Unsubscribe != nil:
		reserved, use = true, "Unsubscribe is set"
	case name == "auto-submitted" && m.AutoSubmitted != "":
		reserved, use = true, "AutoSubmitted is set"
	case name == "feedback-id" && m.FeedbackID != "":
		reserved, use = true, "FeedbackID is set"
	case (name == "importance" || name == "x-priority") && m.Importance != "":
		reserved, use = true, "Importance is set"
	case name == "disposition-notification-to" && m.ReadReceipt != (Address{}):
		reserved, use = true, "ReadReceipt is set"
	}
	if reserved {
		return fmt.Errorf("the field cannot be given here: %s", use)
	}
	if err := checkText(f.Value); err != nil {
		return err
	}
	if structuredFields[name] {
		return checkStructured(f)
	}
	return nil
}

// checkStructured checks a field that is folded but never encoded.
func checkStructured(f *Field) error {
	empty := true
	for w := range strings.FieldsSeq(f.Value) {
		empty = false
		if len(w) > lineMax-len(f.Name)-2 {
			return fmt.Errorf("a word of %d octets, which cannot be folded", len(w))
		}
	}
	if empty {
		return fmt.Errorf("empty")
	}
	for i := 0; i < len(f.Value); i++ {
		if f.Value[i] < ' ' || f.Value[i] > '~' {
			return fmt.Errorf("%q is not allowed in this field", f.Value[i])
		}
	}
	return nil
}
