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

// wishes are the fields that tell programs what to do with the message.
func (c *composer) wishes() {
	m, h := c.m, &c.h
	if u := m.Unsubscribe; u != nil {
		h.begin("List-Unsubscribe")
		switch { // the best way first (RFC 2369 s. 3.2 and 4)
		case u.Mailto == "":
			h.word("<"+u.URL+">", "")
		case u.URL == "":
			h.word("<"+mailtoURI(u.Mailto)+">", "")
		default:
			h.word("<"+u.URL+">", ",")
			h.word("<"+mailtoURI(u.Mailto)+">", "")
		}
		h.end()
		if u.URL != "" {
			h.plain("List-Unsubscribe-Post", "List-Unsubscribe=One-Click")
		}
	}
	if m.AutoSubmitted != "" {
		h.plain("Auto-Submitted", m.AutoSubmitted)
	}
	if m.FeedbackID != "" {
		h.plain("Feedback-ID", m.FeedbackID)
	}
	if m.Importance != "" {
		h.plain("Importance", m.Importance)
		h.plain("X-Priority", xPriority[m.Importance]) // what programs read that do not know Importance
	}
	if m.ReadReceipt != (Address{}) {
		h.begin("Disposition-Notification-To")
		h.address(&m.ReadReceipt, "")
		h.end()
	}
}

var xPriority = map[string]string{"high": "1", "normal": "3", "low": "5"}

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

// mailtoURI makes a URI of an address, and leaves one as it is (RFC 6068).
func mailtoURI(s string) string {
	if len(s) > 7 && strings.EqualFold(s[:7], "mailto:") {
		return s
	}
	spec, _, _ := parseAddress(s)
	at := strings.LastIndexByte(spec, '@')
	uri := append(make([]byte, 0, len(spec)+20), "mailto:"...)
	for i := range at {
		if c := spec[i]; isIDChar(rune(c)) || strings.IndexByte("!$*+~", c) >= 0 {
			uri = append(uri, c)
		} else {
			uri = append(uri, '%', upperHex[c>>4], upperHex[c&15])
		}
	}
	return string(append(uri, spec[at:]...))
}
