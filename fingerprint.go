package postrider

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"strings"

	"github.com/postrider/postrider/smtp"
)

// fingerprint tells whether two mails with one key are the same: see Message.Key. It stands in spools, beside the mail of versions
// before: what is not set is not written, so that a further field leaves the fingerprints of mail without it as they were.
// Plain is that of composed.
func fingerprint(e *smtp.Envelope, plain []byte) (string, error) {
	h := sha256.New()
	fmt.Fprintf(h, "%q", e.From)
	for _, to := range e.To {
		fmt.Fprintf(h, " %q", to.Address)
		if l := (label{to.Notify, to.Original}); l != (label{}) {
			fmt.Fprintf(h, " notify=%d,%q", l.Notify, l.Original)
		}
	}
	if e.RequireTLS {
		fmt.Fprint(h, " requiretls")
	}
	if e.EnvelopeID != "" || e.Return != "" {
		fmt.Fprintf(h, " dsn=%q,%q", e.EnvelopeID, e.Return)
	}
	if plain != nil {
		fmt.Fprintf(h, " protected=%x", plain)
	}
	r, err := e.Open()
	if err != nil {
		return "", err
	}
	defer r.Close()
	if _, err := io.Copy(&lasting{h: h, protected: plain != nil}, r); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// lasting passes on to a hash what a message has again when it is composed again: not the signatures, not the Date, and of
// protected content nothing.
type lasting struct {
	h         hash.Hash
	protected bool
	line      []byte // of the header, as far as it is known
	skip      bool   // the field of this line and its continuations
	body      bool
}

func (l *lasting) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 && !l.body {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			l.line = append(l.line, p...)
			return n, nil
		}
		l.line = append(l.line, p[:i+1]...)
		p = p[i+1:]
		l.field()
		l.line = l.line[:0]
	}
	if l.body && !l.protected {
		l.h.Write(p)
	}
	return n, nil
}

// field takes a whole line of the header.
func (l *lasting) field() {
	switch c := l.line[0]; {
	case c == '\r' || c == '\n':
		l.body, l.skip = true, false
	case c != ' ' && c != '\t':
		name, _, _ := strings.Cut(string(l.line), ":")
		name = strings.ToLower(name)
		l.skip = name == "dkim-signature" || name == "date" || l.protected && strings.HasPrefix(name, "content-")
	}
	if !l.skip {
		l.h.Write(l.line)
	}
}
