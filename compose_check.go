package postrider

import (
	"errors"
	"fmt"
	"strings"
)

// facts are what the check found out and the composer needs.
type facts struct {
	domain     string // of the author, in ASCII
	utf8       bool   // an address of the envelope or the header needs SMTPUTF8
	utf8Header bool   // an address of the header does
	hasText    bool   // there is a text/plain form, the caller's or made from the HTML
	text, html content
	parts      []part
	forms      int  // of the content
	mixed      bool // some attachments stand beside the content
	related    bool // some are shown by the HTML
}

// part is a checked Part.
type part struct {
	media   mediaType
	content content
}

// early says that a part comes before the HTML.
func (p *part) early() bool { return p.media.full == "text/x-amp-html" }

// validate checks everything that can be checked before composing, and joins all that is wrong into one
// error that names the fields. Attachments are opened only when something else is wrong: composing opens
// them anyhow.
func (m *Message) validate() error {
	var p problems
	m.check(&p)
	if len(p.list) == 0 {
		return nil
	}
	return p.all(m)
}

// check finds what is wrong with a message. It does not write to it.
func (m *Message) check(p *problems) facts {
	var f facts
	m.checkAddresses(p, &f)
	p.add("Subject", checkText(m.Subject))
	if m.MessageID != "" {
		p.add("MessageID", checkMessageID(m.MessageID))
	}
	if m.InReplyTo != "" {
		p.add("InReplyTo", checkID(m.InReplyTo))
	}
	for i, id := range m.References {
		if err := checkID(id); err != nil {
			p.add(fmt.Sprintf("References[%d]", i), err)
		}
	}
	if !m.Date.IsZero() {
		if t := m.Date.UTC(); t.Year() < 1901 || t.Year() > 9998 { // RFC 5322 s. 3.3, in every zone
			p.addf("Date", "the year %d cannot be written", t.Year())
		}
	}
	if !m.Deadline.IsZero() && m.NotBefore.After(m.Deadline) {
		p.addf("NotBefore", "later than Deadline")
	}
	if m.Protect != nil && m.EightBit {
		p.addf("EightBit", "what is signed must survive servers without 8BITMIME (RFC 1847 s. 2.1)")
	}
	m.checkWishes(p)
	m.checkHeader(p)
	m.checkContent(p, &f)
	m.checkAttachments(p, &f)
	f.hasText = f.hasText || m.Text != "" || m.HTML == "" && len(m.Alternatives) == 0 && len(m.Attachments) == 0
	if f.hasText {
		f.forms++
	}
	return f
}

func (m *Message) checkAddresses(p *problems, f *facts) {
	one := func(field string, i int, a *Address) {
		envelope, utf8, err := parseAddress(a.Address)
		if err == nil {
			err = checkText(a.Name)
		}
		if err != nil {
			if i >= 0 {
				field = fmt.Sprintf("%s[%d]", field, i)
			}
			p.add(fmt.Sprintf("%s %q", field, a.Address), err)
			return
		}
		f.utf8 = f.utf8 || utf8
		if field != "Bcc" {
			f.utf8Header = f.utf8Header || utf8
		}
		if field == "From" {
			f.domain = envelope[strings.LastIndexByte(envelope, '@')+1:]
		}
	}
	one("From", -1, &m.From)
	if m.Sender != (Address{}) {
		one("Sender", -1, &m.Sender)
	}
	if m.ReadReceipt != (Address{}) {
		one("ReadReceipt", -1, &m.ReadReceipt)
	}
	for i := range m.ReplyTo {
		one("ReplyTo", i, &m.ReplyTo[i])
	}
	for i := range m.To {
		one("To", i, &m.To[i])
	}
	for i := range m.Cc {
		one("Cc", i, &m.Cc[i])
	}
	for i := range m.Bcc {
		one("Bcc", i, &m.Bcc[i])
	}
	if len(m.To)+len(m.Cc)+len(m.Bcc) == 0 {
		p.addf("To", "no recipient")
	}
	if m.ReturnPath != "" && m.ReturnPath != "<>" {
		_, utf8, err := parseAddress(m.ReturnPath)
		f.utf8 = f.utf8 || utf8
		if err != nil {
			p.add(fmt.Sprintf("ReturnPath %q", m.ReturnPath), err)
		}
	}
}

func (m *Message) checkContent(p *problems, f *facts) {
	text := func(field, s string) content {
		c := scan(s, m.EightBit)
		if c.bad >= 0 {
			p.addf(field, "not UTF-8 at octet %d", c.bad)
		}
		return c
	}
	if m.HTML != "" {
		f.html = text("HTML", m.HTML)
		f.forms++
	}
	plain := m.Text
	if plain == "" && m.HTML != "" && f.html.bad < 0 {
		plain = PlainText(m.HTML)
		f.hasText = plain != ""
	}
	if m.Flowed {
		plain = flow(plain)
	}
	f.text = text("Text", plain)
	for i := range m.Alternatives {
		field := fmt.Sprintf("Alternatives[%d]", i)
		a := &m.Alternatives[i]
		media, err := parseMediaType(a.ContentType)
		switch {
		case err != nil:
			p.add(field, err)
		case media.params["charset"] != "" && !strings.EqualFold(media.params["charset"], "utf-8"):
			p.addf(field, "charset %q: Content is UTF-8", media.params["charset"])
		case strings.HasPrefix(media.full, "message/"):
			p.addf(field, "%s is not a form of text", media.full)
		case media.full == "text/calendar":
			p.add(field, checkCalendar(media.params["method"], a.Content))
		}
		delete(media.params, "charset")
		f.parts = append(f.parts, part{media, text(field, a.Content)})
		f.forms++
	}
}

func (m *Message) checkAttachments(p *problems, f *facts) {
	inline := 0
	for i := range m.Attachments {
		a := &m.Attachments[i]
		if a.Inline && m.HTML != "" {
			f.related = true
			inline++
		} else {
			f.mixed = true
		}
		if err := a.check(); err != nil {
			p.add(fmt.Sprintf("Attachments[%d] %q", i, a.Name), err)
		}
	}
	if inline < 2 {
		return
	}
	seen := make(map[string]int, inline)
	for i := range m.Attachments {
		a := &m.Attachments[i]
		if !a.Inline {
			continue
		}
		id := a.id()
		if first, ok := seen[id]; ok && id != "" {
			p.addf(fmt.Sprintf("Attachments[%d] %q", i, a.Name), "the same ContentID %q as Attachments[%d]", id, first)
		}
		seen[id] = i
	}
}

func (a *Attachment) check() error {
	if a.Open == nil {
		return errors.New("Open is nil")
	}
	if a.Size < -1 {
		return fmt.Errorf("size %d", a.Size)
	}
	if err := checkText(a.Name); err != nil {
		return fmt.Errorf("name: %w", err)
	}
	if len(a.Name) > 4096 {
		return fmt.Errorf("name of %d octets", len(a.Name))
	}
	if a.ContentType != "" {
		if _, err := parseMediaType(a.ContentType); err != nil {
			return err
		}
	}
	if id := a.id(); id != "" {
		if err := checkID(id); err != nil {
			return fmt.Errorf("content id: %w", err)
		}
	}
	return nil
}

// id is the Content-ID, or empty.
func (a *Attachment) id() string {
	if a.ContentID != "" {
		return trimID(a.ContentID)
	}
	if a.Inline {
		return contentID(a.Name)
	}
	return ""
}
