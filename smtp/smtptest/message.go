package smtptest

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/mail"
	"slices"
	"testing"
	"time"
)

// Message is one mail that the server has accepted.
type Message struct {
	// From is the reverse-path and To the accepted recipients, without angle brackets.
	From string
	To   []string
	// Params are the parameters of MAIL FROM by keyword in upper case; RcptParams those of each
	// accepted RCPT TO.
	Params     map[string]string
	RcptParams []map[string]string
	// Data is the message without dot-stuffing or chunk headers.
	Data []byte
	// Chunks is the number of BDAT commands. Zero: the message came by DATA.
	Chunks int

	// Session is the number of the connection, from 1, Hello the client's name in EHLO, User who logged
	// in, TLS the state of the connection (nil: plaintext), Remote the client's address.
	Session int64
	Hello   string
	User    string
	TLS     *tls.ConnectionState
	Remote  net.Addr
	// Received is when the last octet came.
	Received time.Time
}

// Mail parses the message; its header is read by name, its body as it was sent.
func (m *Message) Mail() (*mail.Message, error) { return mail.ReadMessage(bytes.NewReader(m.Data)) }

// Field returns the first header field of that name, decoded (RFC 2047), or "".
func (m *Message) Field(name string) string {
	parsed, err := m.Mail()
	if err != nil {
		return ""
	}
	return decodeWords(parsed.Header.Get(name))
}

// Messages returns the mail accepted so far, in order.
func (s *Server) Messages() []*Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.messages)
}

// Count is the number of mails accepted so far, also with Discard.
func (s *Server) Count() int64 { return s.count.Load() }

// Wait waits until n messages have been accepted and returns all that have. It returns
// the context's error when the context ends first.
func (s *Server) Wait(ctx context.Context, n int) ([]*Message, error) {
	for {
		s.mu.Lock()
		messages, arrived := slices.Clone(s.messages), s.arrived
		s.mu.Unlock()
		if int(s.Count()) >= n {
			return messages, nil
		}
		select {
		case <-arrived:
		case <-ctx.Done():
			return messages, fmt.Errorf("smtptest: %d of %d messages: %w", s.Count(), n, context.Cause(ctx))
		}
	}
}

// Expect waits up to ten seconds for n messages and returns them. It fails the test when there are
// fewer or more, or when the client violated the protocol.
func Expect(t testing.TB, s *Server, n int) []*Message {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	messages, err := s.Wait(ctx, n)
	if err != nil {
		t.Fatal(err)
	}
	if len(messages) != n {
		t.Fatalf("smtptest: %d messages, want %d", len(messages), n)
	}
	NoViolations(t, s)
	return messages
}

// NoViolations fails the test for each violation of the protocol that the server has seen.
func NoViolations(t testing.TB, s *Server) {
	t.Helper()
	for _, v := range s.Violations() {
		t.Errorf("smtptest: client violated the protocol: %s", v)
	}
}

// keep stores an accepted message.
func (s *Server) keep(m *Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.Discard {
		s.messages = append(s.messages, m)
	}
	s.count.Add(1)
	close(s.arrived)
	s.arrived = make(chan struct{})
}

// Part is one leaf of a MIME tree, decoded.
type Part struct {
	// Type is the media type without parameters, "text/html".
	Type string
	// Name is the file name, Disposition "inline", "attachment" or "", ContentID without brackets.
	Name, Disposition, ContentID string
	// Body is the content after the transfer encoding is undone. Text is not converted from
	// its charset.
	Body []byte
}

// Parts returns the leaves of the message's MIME tree in order.
func (m *Message) Parts() ([]Part, error) {
	parsed, err := m.Mail()
	if err != nil {
		return nil, err
	}
	return leaves(parsed.Header.Get, parsed.Body, 0)
}

// Text returns the first text/plain part with "\n" as line end, or "".
func (m *Message) Text() string { return m.firstPart("text/plain") }

// HTML returns the first text/html part with "\n" as line end, or "".
func (m *Message) HTML() string { return m.firstPart("text/html") }

func (m *Message) firstPart(mediaType string) string {
	parts, err := m.Parts()
	if err != nil {
		return ""
	}
	for _, p := range parts {
		if p.Type == mediaType && p.Disposition != "attachment" {
			return string(bytes.ReplaceAll(p.Body, []byte("\r\n"), []byte("\n")))
		}
	}
	return ""
}

// WriteTo writes the message.
func (m *Message) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(m.Data)
	return int64(n), err
}
