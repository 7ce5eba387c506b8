package postrider

import (
	"strings"
	"time"
)

// header collects the fields of the message, all but those of the content, in the order in which people
// expect them.
func (c *composer) header() {
	m, h := c.m, &c.h
	h.begin("Date")
	h.next(31)
	h.b = appendDate(h.b, c.date)
	h.end()
	h.begin("From")
	h.address(&m.From, "")
	h.end()
	if m.Sender != (Address{}) {
		h.begin("Sender")
		h.address(&m.Sender, "")
		h.end()
	}
	if len(m.ReplyTo) > 0 {
		h.addresses("Reply-To", m.ReplyTo)
	}
	if len(m.To) > 0 {
		h.addresses("To", m.To)
	} else if len(m.Cc) == 0 {
		h.structured("To", "undisclosed-recipients:;") // RFC 5322 wants nothing here, but filters do
	}
	if len(m.Cc) > 0 {
		h.addresses("Cc", m.Cc)
	}
	if m.Subject != "" {
		h.text("Subject", m.Subject)
	}
	h.messageIDs("Message-ID", c.messageID)
	if m.InReplyTo != "" {
		h.messageIDs("In-Reply-To", m.InReplyTo)
	}
	if len(m.References) > 0 {
		h.messageIDs("References", m.References...)
	} else if m.InReplyTo != "" {
		h.messageIDs("References", m.InReplyTo)
	}
	c.wishes()
	for _, f := range m.Header {
		if structuredFields[strings.ToLower(f.Name)] {
			h.structured(f.Name, f.Value)
		} else {
			h.text(f.Name, f.Value)
		}
	}
	h.plain("MIME-Version", "1.0")
}

// structuredFields are fields of Message.Header that are no text: programs read them, and an encoded
// word in them would be wrong.
var structuredFields = map[string]bool{
	"auto-submitted": true, "disposition-notification-to": true, "feedback-id": true, "importance": true,
	"list-archive": true, "list-help": true, "list-owner": true, "list-post": true, "list-subscribe": true,
	"list-unsubscribe": true, "list-unsubscribe-post": true, "list-id": true, "precedence": true,
	"require-recipient-valid-since": true, "tls-required": true, "x-priority": true,
}

// appendDate writes a date as RFC 5322 s. 3.3 has it, in its own zone if that can be written.
func appendDate(b []byte, t time.Time) []byte {
	if _, offset := t.Zone(); offset%60 != 0 || offset <= -100*3600 || offset >= 100*3600 {
		t = t.UTC()
	}
	return t.AppendFormat(b, "Mon, 02 Jan 2006 15:04:05 -0700")
}
