package postrider_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/postrider/postrider"
)

// What Protect is given is the content, 7bit with CRLF; what it returns takes its place.
func TestProtect(t *testing.T) {
	m := everything()
	var inner []byte
	m.Protect = func(_ context.Context, entity []byte) ([]byte, error) {
		inner = bytes.Clone(entity)
		return []byte("Content-Type: multipart/signed; boundary=s;\r\n protocol=\"x/y\"; micalg=z\r\n\r\n--s\r\n" + string(entity) + "\r\n--s\r\nContent-Type: x/y\r\n\r\nsignature\r\n--s--\r\n"), nil
	}
	eml := compose(t, m)
	if !bytes.Contains(eml, inner) || !bytes.HasPrefix(inner, []byte("Content-Type: multipart/mixed;")) {
		t.Errorf("inner entity %.200q", inner)
	}
	if bytes.Contains(bytes.ReplaceAll(inner, []byte("\r\n"), nil), []byte("\n")) {
		t.Error("a bare LF in what is protected")
	}
	m.Protect = nil
	plain := compose(t, m)
	start, _, _ := bytes.Cut(plain, []byte("Content-Type:"))
	if !bytes.HasPrefix(eml, start) {
		t.Error("the header is another one")
	}
	if got := strings.TrimSuffix(string(plain[len(start):]), "\r\n"); got != strings.TrimSuffix(string(inner), "\r\n") {
		t.Error("what was protected is not what is sent without")
	}
}

func TestProtectRefuses(t *testing.T) {
	broken := errors.New("no key")
	m := hello("bob@example.org")
	m.Protect = func(context.Context, []byte) ([]byte, error) { return nil, broken }
	if _, err := m.WriteTo(&bytes.Buffer{}); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	for _, entity := range []string{
		"", "no header", "Content-Type: a/b\r\n", "Bcc: x@y.example\r\n\r\nbody\r\n", "Content-Type: a/b\r\nTo: x@y.example\r\n\r\n",
		"Content-Type: a/b\r\n\r\na\nb\r\n", "Content-Type: a/b\r\n\r\na\rb\r\n", "Content-Type: a/b\r\n\r\n\x00\r\n", "Content-Type: a/b\r\n\r\nü\r\n",
		"Content-Type: a/b\r\n\r\n" + strings.Repeat("x", 999) + "\r\n", "\r\n\r\nbody", " folded\r\n\r\nbody",
	} {
		m.Protect = func(context.Context, []byte) ([]byte, error) { return []byte(entity), nil }
		var b bytes.Buffer
		if _, err := m.WriteTo(&b); err == nil {
			t.Errorf("%q passes", entity)
		}
	}
	m.EightBit = true
	if _, err := m.WriteTo(&bytes.Buffer{}); !errors.Is(err, postrider.ErrInvalid) {
		t.Errorf("EightBit: %v", err)
	}
}
