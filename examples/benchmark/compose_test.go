package benchmark

import (
	"bytes"
	"io"
	"strings"
	"testing"

	gomail "github.com/wneessen/go-mail"
	oldgomail "gopkg.in/gomail.v2"

	"github.com/postrider/postrider"
)

// content is what a message consists of, the same for all libraries.
type content struct {
	text, html string
	pdf, logo  []byte // nil: no attachments
}

const subject = "Rechnung für März: Übersicht und Grüße"

func prose(line string, n int) string { return strings.Repeat(line, n/len(line)+1)[:n] }

// noise is data that does not repeat.
func noise(n int) []byte {
	b := make([]byte, n)
	x := uint32(1)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}

func contents(text, html, pdf, logo int) *content {
	c := &content{
		text: prose("Die Übersicht für März ist fertig; viele Grüße aus dem schönen Büro.\n", text),
		html: prose("<p style=\"margin:0 0 12px\">Die <b>Übersicht</b> für März ist fertig &amp; liegt bei.</p>\n", html),
	}
	if pdf > 0 {
		c.pdf, c.logo = noise(pdf), noise(logo)
	}
	return c
}

func postriderMessage(c *content) *postrider.Message {
	m := &postrider.Message{From: postrider.Addr("Jörg Müller", "joerg@example.com"), To: []postrider.Address{postrider.Addr("Ada Lovelace", "ada@example.org")},
		Subject: subject, Text: c.text, HTML: c.html}
	if c.pdf != nil {
		logo := postrider.Bytes("logo.png", c.logo)
		logo.Inline = true
		m.Attachments = []postrider.Attachment{postrider.Bytes("report.pdf", c.pdf), logo}
	}
	return m
}

func composePostrider(w io.Writer, c *content) error {
	_, err := postriderMessage(c).WriteTo(w)
	return err
}

func composeGoMail(w io.Writer, c *content) error {
	m := gomail.NewMsg()
	if err := m.FromFormat("Jörg Müller", "joerg@example.com"); err != nil {
		return err
	}
	if err := m.AddToFormat("Ada Lovelace", "ada@example.org"); err != nil {
		return err
	}
	m.Subject(subject)
	m.SetBodyString(gomail.TypeTextPlain, c.text)
	m.AddAlternativeString(gomail.TypeTextHTML, c.html)
	if c.pdf != nil {
		if err := m.AttachReader("report.pdf", bytes.NewReader(c.pdf)); err != nil {
			return err
		}
		if err := m.EmbedReader("logo.png", bytes.NewReader(c.logo)); err != nil {
			return err
		}
	}
	_, err := m.WriteTo(w)
	return err
}

func composeGomail(w io.Writer, c *content) error {
	m := oldgomail.NewMessage()
	m.SetAddressHeader("From", "joerg@example.com", "Jörg Müller")
	m.SetAddressHeader("To", "ada@example.org", "Ada Lovelace")
	m.SetHeader("Subject", subject)
	m.SetBody("text/plain", c.text)
	m.AddAlternative("text/html", c.html)
	if c.pdf != nil {
		copyOf := func(data []byte) oldgomail.FileSetting {
			return oldgomail.SetCopyFunc(func(w io.Writer) error { _, err := w.Write(data); return err })
		}
		m.Attach("report.pdf", copyOf(c.pdf))
		m.Embed("logo.png", copyOf(c.logo))
	}
	_, err := m.WriteTo(w)
	return err
}

var composers = []struct {
	name    string
	compose func(io.Writer, *content) error
}{{"postrider", composePostrider}, {"go-mail", composeGoMail}, {"gomail", composeGomail}}

// BenchmarkCompose writes one message to nowhere with each library.
func BenchmarkCompose(b *testing.B) {
	for _, size := range []struct {
		name string
		c    *content
	}{{"text-html-3KB", contents(1<<10, 2<<10, 0, 0)}, {"130KB", contents(4<<10, 6<<10, 100<<10, 20<<10)}} {
		for _, peer := range composers {
			b.Run(size.name+"/"+peer.name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if err := peer.compose(io.Discard, size.c); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// What is measured is the same work: every library writes both texts and both files.
func TestComposersDoTheSame(t *testing.T) {
	c := contents(4<<10, 6<<10, 100<<10, 20<<10)
	for _, peer := range composers {
		var b bytes.Buffer
		if err := peer.compose(&b, c); err != nil {
			t.Fatalf("%s: %v", peer.name, err)
		}
		for _, want := range []string{"text/plain", "text/html", "report.pdf", "logo.png"} {
			if !strings.Contains(b.String(), want) {
				t.Errorf("%s: no %s", peer.name, want)
			}
		}
		if n := b.Len(); n < 170_000 || n > 190_000 {
			t.Errorf("%s: %d octets", peer.name, n)
		}
	}
}
