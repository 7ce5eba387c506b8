package dkim_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/postrider/postrider/dkim"
)

var whiteSpace = regexp.MustCompile(`[ \t]+`)

// plainRelaxed is RFC 6376 s. 3.4.4 as it is written, without a thought of speed.
func plainRelaxed(body string) string {
	var out strings.Builder
	for line := range strings.SplitSeq(strings.TrimSuffix(body, "\r\n"), "\r\n") {
		line = whiteSpace.ReplaceAllString(line, " ")
		out.WriteString(strings.TrimSuffix(line, " ") + "\r\n")
	}
	s := out.String()
	for strings.HasSuffix(s, "\r\n\r\n") {
		s = strings.TrimSuffix(s, "\r\n")
	}
	if s == "\r\n" {
		return ""
	}
	return s
}

// FuzzBody signs any body in two pieces, cut anywhere, and compares the body hash with that of the
// plain canonicaliser. A CR or LF alone must be refused.
func FuzzBody(f *testing.F) {
	for _, body := range bodies {
		f.Add(body, len(body)/2)
	}
	for _, s := range []string{"a\nb", "a\rb", "\r", "\n", "a\r\r\n", "a \t\t b\tc  d", "a\tbcdefgh  i", "12345678 \r\n", " 1234567\r\n  12345678\r\n"} {
		f.Add(s, 1)
		f.Add(strings.Repeat(s, 90), 7)
	}
	signer := dkim.Signer{Keys: both("example.com")[:1], Ed25519Alone: true}
	f.Fuzz(func(t *testing.T, body string, cut int) {
		cut = max(0, min(cut, len(body)))
		g := signer.NewSignature(t.Context())
		io.WriteString(g, "From: ada@example.com\r\n\r\n"+body[:cut])
		io.WriteString(g, body[cut:])
		fields, err := g.Fields()
		bare := strings.ContainsAny(strings.ReplaceAll(body, "\r\n", ""), "\r\n")
		if bare != (err != nil) {
			t.Fatalf("%q: bare line ends %v, error %v", body, bare, err)
		}
		if bare {
			return
		}
		sum := sha256.Sum256([]byte(plainRelaxed(body)))
		want := "bh=" + base64.StdEncoding.EncodeToString(sum[:]) + ";"
		if !bytes.Contains(fields, []byte(want)) {
			t.Errorf("%q, cut at %d: want %s in\n%s", body, cut, want, fields)
		}
	})
}

// FuzzHeader signs any header: what is signed must verify, whatever was in it.
func FuzzHeader(f *testing.F) {
	for _, s := range []string{letter, "From: a@b.c\n", "from:a@example.com\nX:\n\ty\n", "From: \"x\" <a@example.com>, b@c.d\n",
		"From: a@example.com\nSubject: a\n b\n\tc \n", "From: a@example.com\nTo: x\nTo: y\nDKIM-Signature: v=1\n", "From: g:;\n", "From: a@[1.2.3.4]\n"} {
		f.Add(crlf(s))
	}
	signer := dkim.Signer{Ed25519Alone: true, Lookup: func(_ context.Context, domain string) ([]dkim.Key, error) {
		return []dkim.Key{{Domain: domain, Selector: "ed", Signer: edKey()}}, nil
	}}
	f.Fuzz(func(t *testing.T, header string) {
		message := header + "\r\nHello.\r\n"
		fields, err := signer.Sign(strings.NewReader(message))
		if err != nil || strings.Contains(strings.ToLower(header), "dkim-signature") {
			return // a signature that came with the header would be judged too
		}
		mustPass(t, fields, message, 1)
	})
}
