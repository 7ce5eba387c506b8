package postrider

import (
	"fmt"
	"net/url"
	"strings"
)

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

func (m *Message) checkWishes(p *problems) {
	if m.Unsubscribe != nil {
		m.Unsubscribe.check(p)
	}
	switch m.AutoSubmitted {
	case "", "auto-generated", "auto-replied", "auto-notified":
	default:
		p.addf("AutoSubmitted", "%q is none of auto-generated, auto-replied, auto-notified", m.AutoSubmitted)
	}
	switch m.Importance {
	case "", "high", "normal", "low":
	default:
		p.addf("Importance", "%q is none of high, normal, low", m.Importance)
	}
	if m.FeedbackID != "" {
		for i := 0; i < len(m.FeedbackID); i++ {
			if c := m.FeedbackID[i]; c <= ' ' || c > '~' {
				p.addf("FeedbackID", "%q is not allowed there", c)
				break
			}
		}
		if strings.Count(m.FeedbackID, ":") > 3 || strings.HasSuffix(m.FeedbackID, ":") || len(m.FeedbackID) > 500 {
			p.addf("FeedbackID", "want up to three identifiers and the sender's, with colons between them")
		}
	}
}

// check holds RFC 8058 s. 3.1 and RFC 2369 s. 2.
func (u *Unsubscribe) check(p *problems) {
	const field = "Unsubscribe"
	if u.URL == "" && u.Mailto == "" {
		p.addf(field, "neither URL nor Mailto")
	}
	if u.URL != "" {
		switch parsed, err := url.Parse(u.URL); {
		case checkURI(u.URL) != nil:
			p.add(field+".URL", checkURI(u.URL))
		case err != nil:
			p.add(field+".URL", err)
		case parsed.Scheme != "https" || parsed.Host == "":
			p.addf(field+".URL", "%q: receivers POST to https URLs only (RFC 8058 s. 3.1)", u.URL)
		}
	}
	switch {
	case u.Mailto == "":
	case len(u.Mailto) > 7 && strings.EqualFold(u.Mailto[:7], "mailto:"):
		p.add(field+".Mailto", checkURI(u.Mailto))
	default:
		if _, utf8, err := parseAddress(u.Mailto); err != nil {
			p.add(field+".Mailto", err)
		} else if utf8 {
			p.addf(field+".Mailto", "%q: write a mailto URI for it", u.Mailto)
		}
	}
}

func checkURI(s string) error {
	if len(s) > lineMax-50 {
		return fmt.Errorf("URI of %d octets", len(s))
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c > '~' || strings.IndexByte(`<>"\^{}|`+"`", c) >= 0 {
			return fmt.Errorf("%q must be percent-encoded in a URI", c)
		}
	}
	return nil
}

// checkCalendar sees to it that the method parameter is the METHOD of the object (RFC 6047 s. 2.4):
// without that, or when they differ, readers show a file and no invitation.
func checkCalendar(method, content string) error {
	for line := range strings.Lines(content) {
		name, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":")
		if !ok || !strings.EqualFold(name, "METHOD") {
			continue
		}
		if !strings.EqualFold(value, method) {
			return fmt.Errorf("the calendar has METHOD:%s, its content type method=%s", value, method)
		}
		return nil
	}
	if method != "" {
		return fmt.Errorf("the content type has method=%s, the calendar none", method)
	}
	return nil
}
