package postrider

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// invalid are messages that must not be composed, with the field that the error names.
var invalid = []struct {
	field  string
	change func(m *Message)
}{
	{"From", func(m *Message) { m.From = Address{} }},
	{"From", func(m *Message) { m.From.Address = "ada@example.com>\r\nBcc: x@example.org" }},
	{"From", func(m *Message) { m.From.Name = "Ada\r\nBcc: x@example.org" }},
	{"Sender", func(m *Message) { m.Sender.Name = "only a name" }},
	{"To:", func(m *Message) { m.To = nil }},
	{"To[1]", func(m *Message) { m.To = append(m.To, Addr("", "a@b@c")) }},
	{"To[0]", func(m *Message) { m.To[0].Name = "a\x00b" }},
	{"To[0]", func(m *Message) { m.To[0].Name = "a\xffb" }},
	{"To[0]", func(m *Message) { m.To[0].Name = "a\u0085b" }},
	{"Cc[0]", func(m *Message) { m.Cc = []Address{Addr("", "x")} }},
	{"Bcc[0]", func(m *Message) { m.Bcc = []Address{Addr("", "x\n@y")} }},
	{"ReplyTo[0]", func(m *Message) { m.ReplyTo = []Address{Addr("", "x y@z")} }},
	{"ReadReceipt", func(m *Message) { m.ReadReceipt = Addr("x", "") }},
	{"ReturnPath", func(m *Message) { m.ReturnPath = "a@b> SIZE=1" }},
	{"Subject", func(m *Message) { m.Subject = "a\nb" }},
	{"Subject", func(m *Message) { m.Subject = "a\rb" }},
	{"Subject", func(m *Message) { m.Subject = "ü\r\nBcc: x@example.org" }},
	{"Subject", func(m *Message) { m.Subject = "a\x00b" }},
	{"Subject", func(m *Message) { m.Subject = "a\x1bb" }},
	{"Subject", func(m *Message) { m.Subject = "a\x7fb" }},
	{"Subject", func(m *Message) { m.Subject = "\xc3\x28" }},
	{"Text", func(m *Message) { m.Text = "ok\xff" }},
	{"HTML", func(m *Message) { m.HTML = "\xfe" }},
	{"MessageID", func(m *Message) { m.MessageID = "no-at-sign" }},
	{"MessageID", func(m *Message) { m.MessageID = "a@b>\r\nX: y" }},
	{"MessageID", func(m *Message) { m.MessageID = "a b@c" }},
	{"MessageID", func(m *Message) { m.MessageID = "ü@c" }},
	{"MessageID", func(m *Message) { m.MessageID = "a@" }},
	{"MessageID", func(m *Message) { m.MessageID = "a@[" }},
	{"MessageID", func(m *Message) { m.MessageID = strings.Repeat("a", 1000) + "@b" }},
	{"InReplyTo", func(m *Message) { m.InReplyTo = "a b" }},
	{"References[1]", func(m *Message) { m.References = []string{"a@b", "c\n@d"} }},
	{"Date", func(m *Message) { m.Date = time.Date(1800, 1, 1, 0, 0, 0, 0, time.UTC) }},
	{"Date", func(m *Message) { m.Date = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }},
	{"NotBefore", func(m *Message) { m.NotBefore, m.Deadline = time.Unix(2e9, 0), time.Unix(1e9, 0) }},
	{"AutoSubmitted", func(m *Message) { m.AutoSubmitted = "yes" }},
	{"Importance", func(m *Message) { m.Importance = "urgent\r\nX: y" }},
	{"FeedbackID", func(m *Message) { m.FeedbackID = "a b" }},
	{"FeedbackID", func(m *Message) { m.FeedbackID = "a:b:c:d:e" }},
	{"Unsubscribe", func(m *Message) { m.Unsubscribe = &Unsubscribe{} }},
	{"Unsubscribe.URL", func(m *Message) { m.Unsubscribe = &Unsubscribe{URL: "http://example.com/"} }},
	{"Unsubscribe.URL", func(m *Message) { m.Unsubscribe = &Unsubscribe{URL: "https://example.com/>\r\nX: y"} }},
	{"Unsubscribe.URL", func(m *Message) { m.Unsubscribe = &Unsubscribe{URL: "https://example.com/ü"} }},
	{"Unsubscribe.URL", func(m *Message) {
		m.Unsubscribe = &Unsubscribe{URL: "https://example.com/" + strings.Repeat("x", 1000)}
	}},
	{"Unsubscribe.Mailto", func(m *Message) { m.Unsubscribe = &Unsubscribe{Mailto: "not an address"} }},
	{"Unsubscribe.Mailto", func(m *Message) { m.Unsubscribe = &Unsubscribe{Mailto: "mailto:a@b>, <x"} }},
	{`Header[0] ""`, func(m *Message) { m.Header = Header{{"", "x"}} }},
	{"Header[0]", func(m *Message) { m.Header = Header{{"X Y", "x"}} }},
	{"Header[0]", func(m *Message) { m.Header = Header{{"X:", "x"}} }},
	{"Header[0]", func(m *Message) { m.Header = Header{{"X\r\nBcc", "x"}} }},
	{"Header[0]", func(m *Message) { m.Header = Header{{"Ü", "x"}} }},
	{"Header[0]", func(m *Message) { m.Header = Header{{strings.Repeat("X", 100), "x"}} }},
	{"Header[1]", func(m *Message) { m.Header = Header{{"X", "x"}, {"Y", "a\r\n b"}} }},
	{"Header[0]", func(m *Message) { m.Header = Header{{"List-Id", "ü <x>"}} }},
	{"Header[0]", func(m *Message) { m.Header = Header{{"Precedence", ""}} }},
	{"Header[0]", func(m *Message) { m.Header = Header{{"List-Post", strings.Repeat("x", 1000)}} }},
	{"Alternatives[0]", func(m *Message) { m.Alternatives = []Part{{"text/calendar; method=REQUEST", "METHOD:CANCEL\r\n"}} }},
	{"Alternatives[0]", func(m *Message) { m.Alternatives = []Part{{"text/calendar; method=REQUEST", "BEGIN:VCALENDAR\r\n"}} }},
	{"Alternatives[0]", func(m *Message) { m.Alternatives = []Part{{"text/calendar", "METHOD:CANCEL\r\n"}} }},
	{"Alternatives[0]", func(m *Message) { m.Alternatives = []Part{{"", "x"}} }},
	{"Alternatives[0]", func(m *Message) { m.Alternatives = []Part{{"text/x; a=\"b\r\nX: y\"", "x"}} }},
	{"Alternatives[0]", func(m *Message) { m.Alternatives = []Part{{"text/x; charset=latin1", "x"}} }},
	{"Alternatives[0]", func(m *Message) { m.Alternatives = []Part{{"text/x", "\xff"}} }},
	{"Alternatives[0]", func(m *Message) { m.Alternatives = []Part{{"multipart/mixed", "x"}} }},
	{"Alternatives[0]", func(m *Message) { m.Alternatives = []Part{{"message/rfc822", "x"}} }},
	{"Attachments[0]", func(m *Message) { m.Attachments = []Attachment{{Name: "x"}} }},
	{"Attachments[0]", func(m *Message) { m.Attachments = []Attachment{Bytes("a\r\nb", nil)} }},
	{"Attachments[0]", func(m *Message) { m.Attachments = []Attachment{Bytes("a\x00b", nil)} }},
	{"Attachments[0]", func(m *Message) { m.Attachments = []Attachment{Bytes("a\xffb", nil)} }},
	{"Attachments[0]", func(m *Message) { m.Attachments = []Attachment{Bytes(strings.Repeat("x", 5000), nil)} }},
	{"Attachments[0]", func(m *Message) { m.Attachments = []Attachment{attached("text", "", 0)} }},
	{"Attachments[0]", func(m *Message) { m.Attachments = []Attachment{attached("text/plain\r\nX: y", "", 0)} }},
	{"Attachments[0]", func(m *Message) { m.Attachments = []Attachment{attached("multipart/mixed; boundary=x", "", 0)} }},
	{"Attachments[0]", func(m *Message) { m.Attachments = []Attachment{attached("multipart/mixed", "", 0)} }},
	{"Attachments[0]", func(m *Message) { m.Attachments = []Attachment{attached("a/b; c*=utf-8''%0d%0a", "", 0)} }},
	{"Attachments[0]", func(m *Message) { m.Attachments = []Attachment{attached("", "a>\r\nX: y", 0)} }},
	{"Attachments[0]", func(m *Message) { m.Attachments = []Attachment{attached("", "a b", 0)} }},
	{"Attachments[0]", func(m *Message) { m.Attachments = []Attachment{attached("", "", -2)} }},
	{"Attachments[0]", func(m *Message) { m.Attachments = []Attachment{attached("", "", 1)} }},
	{"Attachments[1]", func(m *Message) {
		m.HTML = "x"
		m.Attachments = []Attachment{inline("a.png", nil), inline("a.png", nil)}
	}},
}

func attached(kind, id string, size int64) Attachment {
	a := Bytes("x", nil)
	a.ContentType, a.ContentID, a.Size = kind, id, size
	return a
}

func TestInvalid(t *testing.T) {
	for _, name := range []string{"From", "Sender", "To", "Cc", "Bcc", "Reply-To", "Subject", "Date", "Message-ID", "In-Reply-To", "References",
		"MIME-Version", "Return-Path", "Received", "DKIM-Signature", "Authentication-Results"} {
		invalid = append(invalid, struct {
			field  string
			change func(m *Message)
		}{"Header[0]", func(m *Message) { m.Header = Header{{strings.ToUpper(name), "x"}} }})
	}
	for _, name := range []string{"Content-Type", "content-foo", "Resent-To", "ARC-Seal"} {
		invalid = append(invalid, struct {
			field  string
			change func(m *Message)
		}{"Header[0]", func(m *Message) { m.Header = Header{{name, "x"}} }})
	}
	for i, tc := range invalid {
		m := plainMessage()
		tc.change(m)
		c, err := m.compose(t.Context(), nil)
		if err == nil {
			c.close()
			t.Errorf("case %d, %s: no error", i, tc.field)
			continue
		}
		if !errors.Is(err, ErrInvalid) || !strings.HasPrefix(err.Error(), "postrider: "+tc.field) {
			t.Errorf("case %d: %v; want it to name %s", i, err, tc.field)
		}
		if strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "\r") {
			t.Errorf("case %d: the error has line breaks: %q", i, err)
		}
		var b bytes.Buffer
		if _, err := m.WriteTo(&b); err == nil || b.Len() > 0 && !strings.Contains(err.Error(), "octets") {
			t.Errorf("case %d: WriteTo: %v after %d octets", i, err, b.Len())
		}
	}
}

// Everything that is wrong is said at once.
func TestInvalidAtOnce(t *testing.T) {
	m := plainMessage()
	m.From.Address, m.Subject = "nobody", "a\nb"
	m.To = append(m.To, Addr("", "x"), Addr("", "y@"))
	missing := errors.New("gone")
	m.Attachments = []Attachment{
		{Name: "a", Open: func() (io.ReadCloser, error) { return nil, missing }},
		FileFS(fstest.MapFS{}, "b"),
		Bytes("c", nil),
	}
	for _, check := range []func() error{m.validate, func() error { _, err := m.compose(t.Context(), nil); return err }} {
		err := check()
		for _, want := range []string{"From", "Subject", "To[1]", "To[2]", `Attachments[0] "a": gone`, `Attachments[1] "b"`} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("no %q in %v", want, err)
			}
		}
		if !errors.Is(err, ErrInvalid) || !errors.Is(err, missing) || !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%v hides its causes", err)
		}
	}
	if err := plainMessage().validate(); err != nil {
		t.Error(err)
	}
}

// A source that fails is not the message's fault, and all sources that cannot be opened are named.
func TestMissingFiles(t *testing.T) {
	m := plainMessage()
	m.Attachments = []Attachment{Bytes("ok", nil), File(t.TempDir() + "/nowhere"), Bytes("ok", nil), FileFS(fstest.MapFS{}, "neither"), File(os.TempDir())}
	_, err := m.compose(t.Context(), nil)
	if err == nil || errors.Is(err, ErrInvalid) || !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "Attachments[1]") || !strings.Contains(err.Error(), "Attachments[3]") {
		t.Error(err)
	}
	m.Attachments = []Attachment{File(os.TempDir())}
	if _, err := m.compose(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "directory") {
		t.Error(err)
	}
}
