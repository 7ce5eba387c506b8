package postrider

import (
	"fmt"
	"net/mail"
	"slices"
	"strings"

	"github.com/emersion/go-message"
)

// leftOut are the fields of a mail that belong to its way, or to its form, and not to what it says.
var leftOut = map[string]bool{
	"received": true, "return-path": true, "delivered-to": true, "x-original-to": true, "authentication-results": true, "received-spf": true,
	"dkim-signature": true, "domainkey-signature": true, "mime-version": true, "envelope-to": true, "delivery-date": true,
}

// header takes the fields in their order.
func (p *parser) header(h *message.Header) error {
	seen := make(map[string]bool)
	for fields := h.Fields(); fields.Next(); {
		name := strings.ToLower(fields.Key())
		if leftOut[name] || strings.HasPrefix(name, "content-") || strings.HasPrefix(name, "arc-") || strings.HasPrefix(name, "resent-") {
			continue
		}
		take, single := fieldPlaces[name]
		if single && seen[name] {
			return fmt.Errorf("%w: a second %s field", ErrInvalid, fields.Key())
		}
		seen[name] = true
		text, err := fields.Text()
		if err != nil {
			text = fields.Value() // an unknown character set: as it stands
		}
		if single {
			err := take(p.m, fields.Value(), text)
			if err == nil {
				continue
			}
			if !optionalPlaces[name] {
				return fmt.Errorf("%w: %s: %w", ErrInvalid, fields.Key(), err)
			}
		}
		p.m.Header = append(p.m.Header, Field{fields.Key(), strings.TrimSpace(text)})
	}
	p.importance()
	p.unsubscribe()
	return nil
}

// fieldPlaces put a field into its place. They are given the value as it stands, unfolded, and as text.
var fieldPlaces = map[string]func(m *Message, value, text string) error{
	"from":     func(m *Message, v, _ string) error { return parseOne(&m.From, v) },
	"sender":   func(m *Message, v, _ string) error { return parseOne(&m.Sender, v) },
	"to":       func(m *Message, v, _ string) error { return parseList(&m.To, v) },
	"cc":       func(m *Message, v, _ string) error { return parseList(&m.Cc, v) },
	"bcc":      func(m *Message, v, _ string) error { return parseList(&m.Bcc, v) },
	"reply-to": func(m *Message, v, _ string) error { return parseList(&m.ReplyTo, v) },
	"subject":  func(m *Message, _, text string) error { m.Subject = text; return nil },
	"date": func(m *Message, v, _ string) (err error) {
		m.Date, err = mail.ParseDate(v)
		return err
	},
	"message-id": func(m *Message, v, _ string) error {
		m.MessageID = strings.Trim(strings.TrimSpace(v), "<>")
		return nil
	},
	"in-reply-to": func(m *Message, v, _ string) error {
		m.InReplyTo = strings.Trim(strings.TrimSpace(v), "<>")
		return nil
	},
	"references": func(m *Message, v, _ string) error {
		for id := range strings.FieldsSeq(strings.ReplaceAll(v, "><", "> <")) {
			m.References = append(m.References, strings.Trim(id, "<>"))
		}
		return nil
	},
	"auto-submitted": func(m *Message, v, _ string) error { m.AutoSubmitted = strings.TrimSpace(v); return nil },
	"feedback-id":    func(m *Message, v, _ string) error { m.FeedbackID = strings.TrimSpace(v); return nil },
	"importance": func(m *Message, v, _ string) error {
		m.Importance = strings.ToLower(strings.TrimSpace(v))
		if xPriority[m.Importance] == "" {
			m.Importance = ""
			return fmt.Errorf("unknown value %q", v)
		}
		return nil
	},
	"disposition-notification-to": func(m *Message, v, _ string) error { return parseOne(&m.ReadReceipt, v) },
}

// optionalPlaces are fields that stay in Header where their place cannot take them.
var optionalPlaces = map[string]bool{"importance": true, "disposition-notification-to": true}

func parseOne(a *Address, value string) error {
	var list []Address
	if err := parseList(&list, value); err != nil {
		return err
	}
	if len(list) != 1 {
		return fmt.Errorf("%d addresses", len(list))
	}
	*a = list[0]
	return nil
}

func parseList(list *[]Address, value string) error {
	if strings.TrimSpace(value) == "" {
		return nil
	}
	parsed, err := addressParser.ParseList(value)
	if err != nil {
		return err
	}
	for _, a := range parsed {
		// net/mail takes the quotes off a local part; they belong to the address.
		s := (&Address{Address: a.Address}).String()
		*list = append(*list, Address{Name: a.Name, Address: s[1 : len(s)-1]})
	}
	return nil
}

// importance drops the field that Importance is written with beside its own.
func (p *parser) importance() {
	if p.m.Importance != "" {
		p.m.Header = slices.DeleteFunc(p.m.Header, func(f Field) bool { return strings.EqualFold(f.Name, "X-Priority") })
	}
}

// unsubscribe moves the fields of one-click unsubscription to their place, when they have the form in
// which they are written from there.
func (p *parser) unsubscribe() {
	var u Unsubscribe
	var rest Header
	post := false
	for _, f := range p.m.Header {
		switch strings.ToLower(f.Name) {
		case "list-unsubscribe":
			for part := range strings.SplitSeq(f.Value, ",") {
				uri := strings.Trim(strings.TrimSpace(part), "<>")
				switch {
				case strings.HasPrefix(strings.ToLower(uri), "mailto:") && u.Mailto == "":
					u.Mailto = uri
				case strings.HasPrefix(strings.ToLower(uri), "https:") && u.URL == "":
					u.URL = uri
				default:
					return
				}
			}
		case "list-unsubscribe-post":
			post = strings.EqualFold(f.Value, "List-Unsubscribe=One-Click")
		default:
			rest = append(rest, f)
		}
	}
	if u != (Unsubscribe{}) && post == (u.URL != "") {
		p.m.Unsubscribe, p.m.Header = &u, rest
	}
}
