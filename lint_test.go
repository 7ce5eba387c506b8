package postrider_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider"
)

func good() *postrider.Message {
	m := hello("bob@example.org")
	m.HTML = `<p>Hello <a href="https://www.example.com/x">example.com</a>, <a href="mailto:ada@example.com">write</a> or <a href="https://other.example.org">read more</a>.</p>`
	return m
}

func rules(findings []postrider.Finding) (rules []string) {
	for _, f := range findings {
		rules = append(rules, f.Rule)
	}
	return rules
}

// A message that nobody dislikes has no finding.
func TestLintGood(t *testing.T) {
	m := good()
	logo := postrider.Bytes("logo.png", []byte("x"))
	logo.Inline = true
	m.Attachments = []postrider.Attachment{logo, postrider.Bytes("report.pdf", []byte("x"))}
	m.HTML += `<img src="cid:logo.png" alt="Example">`
	if f := m.Lint("example.com"); len(f) > 0 {
		t.Errorf("%v", f)
	}
	m.Priority = postrider.PriorityBulk
	m.Unsubscribe = &postrider.Unsubscribe{URL: "https://example.com/u/1"}
	m.Text += "Unsubscribe: https://example.com/u/1\n"
	if f := m.Lint("mail.example.com", "other.example"); len(f) > 0 {
		t.Errorf("bulk: %v", f)
	}
}

// Each rule has a message that breaks it, and no other one.
func TestLintRules(t *testing.T) {
	for rule, change := range map[string]func(m *postrider.Message){
		"subject-empty":             func(m *postrider.Message) { m.Subject = " " },
		"subject-long":              func(m *postrider.Message) { m.Subject = strings.Repeat("x ", 40) },
		"subject-shouts":            func(m *postrider.Message) { m.Subject = "BUY NOW OR NEVER" },
		"subject-false-reply":       func(m *postrider.Message) { m.Subject = "Re: your order" },
		"text-empty":                func(m *postrider.Message) { m.Text, m.HTML = "", "" },
		"text-missing":              func(m *postrider.Message) { m.Text = "" },
		"html-large":                func(m *postrider.Message) { m.HTML = strings.Repeat("<p>x</p>", 15000) },
		"recipients-shown":          func(m *postrider.Message) { m.Cc = slices.Repeat(m.To, 60) },
		"date-off":                  func(m *postrider.Message) { m.Date = time.Now().Add(-72 * time.Hour) },
		"unsubscribe-missing":       func(m *postrider.Message) { m.Priority = postrider.PriorityBulk },
		"unsubscribe-not-one-click": func(m *postrider.Message) { bulk(m, &postrider.Unsubscribe{Mailto: "leave@example.com"}) },
		"unsubscribe-not-shown":     func(m *postrider.Message) { bulk(m, &postrider.Unsubscribe{URL: "https://example.com/u/1"}) },
		"from-not-aligned":          func(m *postrider.Message) { m.From.Address = "ada@example.net"; m.ReturnPath = "b@example.net" },
		"return-path-not-aligned":   func(m *postrider.Message) { m.ReturnPath = "bounces@example.net" },
		"attachment-blocked": func(m *postrider.Message) {
			m.Attachments = []postrider.Attachment{postrider.Bytes("Setup.EXE", nil)}
		},
		"message-large": func(m *postrider.Message) {
			m.Attachments = []postrider.Attachment{{Name: "x", Size: 19 << 20}}
		},
		"image-without-alt":   func(m *postrider.Message) { m.HTML += `<img src="https://example.com/x.png">` },
		"image-data-uri":      func(m *postrider.Message) { m.HTML += `<img alt="" src="data:image/png;base64,xx">` },
		"image-relative":      func(m *postrider.Message) { m.HTML += `<img alt="" src="/x.png">` },
		"inline-missing":      func(m *postrider.Message) { m.HTML += `<img alt="" src="cid:x.png">` },
		"inline-unused":       func(m *postrider.Message) { m.Attachments = []postrider.Attachment{{Name: "x.png", Inline: true}} },
		"link-plain-http":     func(m *postrider.Message) { m.HTML += `<a href="http://example.com">x</a>` },
		"link-text-lies":      func(m *postrider.Message) { m.HTML += `<a href="https://evil.example">https://bank.com/login</a>` },
		"link-to-address":     func(m *postrider.Message) { m.HTML += `<a href="https://192.0.2.1/">x</a>` },
		"link-scheme":         func(m *postrider.Message) { m.HTML += `<a href="javascript:x()">x</a>` },
		"link-relative":       func(m *postrider.Message) { m.HTML += `<a href="/x">x</a>` },
		"link-broken":         func(m *postrider.Message) { m.HTML += `<a href="https://a b/%zz">x</a>` },
		"element-not-shown":   func(m *postrider.Message) { m.HTML += `<form></form>` },
		"stylesheet-external": func(m *postrider.Message) { m.HTML += `<link rel="stylesheet" href="https://example.com/x.css">` },
		"style-large":         func(m *postrider.Message) { m.HTML += "<style>" + strings.Repeat("p{color:red}", 800) + "</style>" },
	} {
		m := good()
		change(m)
		findings := m.Lint("example.com")
		if got := rules(findings); !slices.Equal(got, []string{rule}) {
			t.Errorf("%s: got %q", rule, got)
			continue
		}
		if f := findings[0]; f.Evidence == "" || f.Remedy == "" || f.Severity == postrider.SeverityPass {
			t.Errorf("%s: %+v says too little", rule, f)
		}
	}
}

func bulk(m *postrider.Message, u *postrider.Unsubscribe) {
	m.Priority, m.Unsubscribe = postrider.PriorityBulk, u
}

// Repeated cases are counted, not repeated.
func TestLintCounts(t *testing.T) {
	m := good()
	m.HTML += strings.Repeat(`<img src="https://example.com/x.png">`, 100)
	if f := m.Lint(); len(f) != 1 || !strings.Contains(f[0].Evidence, "99 more") {
		t.Errorf("%v", f)
	}
}

func ExampleMessage_Lint() {
	m := &postrider.Message{
		From:    postrider.Addr("Ada", "ada@example.com"),
		To:      []postrider.Address{postrider.Addr("", "bob@example.org")},
		Subject: "News",
		Text:    "Read https://example.com/news\n",
		HTML:    `<a href="https://track.example.net/1">example.com/news</a>`,
	}
	for _, f := range m.Lint("example.com") {
		fmt.Println(f)
	}
	// Output:
	// warning: link-text-lies: a link shows example.com and leads to track.example.net; show words instead of a URL, or the URL it leads to
}

func FuzzLint(f *testing.F) {
	f.Add(`<a href="https://x.test">y.test</a><img src=cid:x><style>`)
	f.Fuzz(func(t *testing.T, page string) {
		m := good()
		m.HTML = page
		for _, f := range m.Lint() {
			if f.Rule == "" || f.Evidence == "" {
				t.Errorf("%q: %+v", page, f)
			}
		}
	})
}
