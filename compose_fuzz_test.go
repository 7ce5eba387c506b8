package postrider

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"mime/quotedprintable"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzCompose puts any text in every place of a message. What is refused says why; what is composed has
// no control character in a header, no line that is too long, and reads back as it went in.
func FuzzCompose(f *testing.F) {
	for _, s := range []string{"", "a", german, family, hebrew, "a\r\nBcc: x@y", "=?utf-8?Q?x?=", " a  b ", "a\tb", `"q" \ <x>`, "utf-8''x%20y",
		strings.Repeat("x", 1200), strings.Repeat("ü ", 300), "--=_m_", "\x00", "\xff", "From x", ".", "a\rb", "e" + strings.Repeat("\u0301", 50)} {
		f.Add(s, s, s, s, s)
		f.Add(s, "name", "subject", "file.txt", "text")
		f.Add("Bob", s, "subject", "file.txt", "text")
		f.Add("Bob", "X-Name", s, "file.txt", "text")
		f.Add("Bob", "X-Name", "subject", s, "text")
		f.Add("Bob", "X-Name", "subject", "file.txt", s)
	}
	f.Fuzz(func(t *testing.T, name, field, subject, fileName, text string) {
		m := plainMessage()
		m.To[0].Name, m.Subject, m.Text, m.HTML = name, subject, text, text
		m.Header = Header{{field, subject}, {"X-Name", name}}
		a := Bytes(fileName, []byte(text))
		a.ContentType = "application/x-any" // the type does not depend on the name
		b := inline("logo.png", []byte(fileName))
		m.Attachments = []Attachment{a, b}
		c, err := m.compose(context.Background(), nil)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Fatal(err)
			}
			return
		}
		c.close()
		for _, s := range []string{name, subject, fileName} {
			if !utf8.ValidString(s) || strings.ContainsAny(s, "\r\n\x00") {
				t.Fatalf("%q in a header", s)
			}
		}
		raw, c := octets(t, m, nil)
		checkOctets(t, m, raw, c)
		got, err := readByGoMessage(raw)
		if err != nil {
			t.Fatal(err)
		}
		want := expected(m)
		want.Extra = nil // the field may be one that is not text
		tolerate(m, &want, &got)
		for _, d := range want.differences(got) {
			t.Error(d)
		}
	})
}

// tolerate takes out what go-message itself changes: it decodes words in file names.
func tolerate(m *Message, want, got *reading) {
	for i := range got.Leaves {
		if i < len(want.Leaves) && strings.Contains(want.Leaves[i].Name, "=?") {
			got.Leaves[i].Name = want.Leaves[i].Name
		}
	}
}

// FuzzQuotedPrintable: what is encoded is decoded as it was, in lines of at most 76.
func FuzzEncode(f *testing.F) {
	f.Add("", 0)
	f.Add(qpEdges(), 1)
	f.Add("From \rx\r\n \n\t\r\n=\x00\xff", 2)
	f.Add(strings.Repeat(chinese, 30), 3)
	f.Fuzz(func(t *testing.T, s string, how int) {
		var b bytes.Buffer
		o := output{ctx: context.Background(), sink: writerSink{&b}, chunk: chunks.Get().(*[chunkSize]byte)}
		defer o.free()
		// The chunk may be full at any place.
		o.n = chunkSize - how&0x7f
		skip := o.n
		c := scan(s, how&0x80 != 0)
		o.text(c)
		o.flush()
		raw := b.Bytes()[skip:]
		for line := range bytes.SplitSeq(raw, []byte("\r\n")) {
			if len(line) > 76 && c.enc > eightBit || len(line) > 998 {
				t.Fatalf("line of %d octets in %s", len(line), c.enc)
			}
			if c.enc > eightBit && bytes.ContainsFunc(line, func(r rune) bool { return r < ' ' && r != '\t' || r > '~' }) {
				t.Fatalf("%q in %s", line, c.enc)
			}
			if c.enc != base64Encoded && (bytes.HasPrefix(line, []byte("From ")) || bytes.HasPrefix(line, []byte("--=_"))) {
				t.Fatalf("%q", line)
			}
		}
		decoded := decode(t, c.enc, raw)
		if string(decoded) != canonical(s) {
			t.Fatalf("%s: %q becomes %q", c.enc, s, decoded)
		}
		if c.bad >= 0 == utf8.ValidString(s) {
			t.Fatalf("%q: not UTF-8 at %d?", s, c.bad)
		}
	})
}

// decode reads by the standard library.
func decode(t *testing.T, enc encoding, raw []byte) []byte {
	var r io.Reader = bytes.NewReader(raw)
	switch enc {
	case quotedPrintable:
		r = quotedprintable.NewReader(r)
	case base64Encoded:
		r = base64.NewDecoder(base64.StdEncoding, r)
	}
	decoded, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return decoded
}
