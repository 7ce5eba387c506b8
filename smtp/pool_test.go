package smtp_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/smtp"
	"github.com/postrider/postrider/smtp/smtptest"
)

// envelope makes an envelope with a body from memory.
func envelope(from, body string, to ...string) *smtp.Envelope {
	return &smtp.Envelope{From: from, To: smtp.Addresses(to...), Size: int64(len(body)), Open: opener(body)}
}

func opener(body string) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(body)), nil }
}

const hello = "From: a@example.test\r\nSubject: hello\r\n\r\nHello.\r\n.dot\r\n..two\r\n"

// world is a server over a pipe with latency and a pool that reaches it.
type world struct {
	*smtptest.Server
	pool *smtp.Pool
	to   *smtp.Server
}

const delay = 20 * time.Millisecond

func newWorld(t *testing.T, server *smtptest.Server) *world {
	t.Helper()
	server.Listener = smtptest.NewPipe()
	server.Start()
	w := &world{Server: server, pool: &smtp.Pool{Hello: "client.example.test"}}
	w.pool.Dial = smtptest.Link{Delay: delay}.Dial(server.Dial)
	w.to = &smtp.Server{Host: "mx.example.test", TLS: server.TLSClient()}
	return w
}

func (w *world) close(t *testing.T) {
	t.Helper()
	if err := w.pool.Close(context.Background()); err != nil {
		t.Errorf("Close: %v", err)
	}
	w.Close()
	smtptest.NoViolations(t, w.Server)
}

func TestDeliver(t *testing.T) {
	variants := map[string]*smtptest.Server{
		"chunking":   {},
		"pipelining": {Extensions: []string{"PIPELINING", "STARTTLS", "8BITMIME", "ENHANCEDSTATUSCODES"}},
		"lockstep":   {Extensions: []string{"STARTTLS", "ENHANCEDSTATUSCODES"}},
		"bdat":       {Extensions: []string{"STARTTLS", "CHUNKING", "ENHANCEDSTATUSCODES"}},
		"lmtp":       {LMTP: true},
	}
	for name, server := range variants {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server.Refuse = map[string]string{"no@example.test": "550 5.1.1 unknown"}
				server.Users = map[string]string{"ada": "secret"}
				w := newWorld(t, server)
				defer w.close(t)
				w.to.LMTP = server.LMTP
				w.to.Auth = &smtp.Auth{Username: "ada", Password: "secret"}
				var dialogue smtp.Transcript
				ctx := smtp.WithTrace(t.Context(), dialogue.Trace())
				for range 3 {
					results := w.pool.Deliver(ctx, w.to, envelope("a@example.test", hello, "b@example.test", "no@example.test", "c@example.test"))
					got := ""
					for _, r := range results {
						got += fmt.Sprintln(r.Recipient, r.Phase, r.Reply.Code, r.Reply.Enhanced, r.Err, r.TLS != nil)
					}
					want := "b@example.test final 250 2.0.0 <nil> true\nno@example.test rcpt 550 5.1.1 mx.example.test: rcpt: 550 5.1.1 unknown true\nc@example.test final 250 2.0.0 <nil> true\n"
					if got != want {
						t.Errorf("results:\n%swant:\n%s%s", got, want, dialogue.String())
					}
				}
				for _, m := range smtptest.Expect(t, w.Server, 3) {
					if string(m.Data) != hello {
						t.Errorf("message %q", m.Data)
					}
				}
				if n := w.Sessions(); n != 1 {
					t.Errorf("%d connections", n)
				}
			})
		})
	}
}

// TestUnixSocket reaches a local delivery agent by the path of its socket.
func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lmtp")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := (&smtptest.Server{Listener: l, LMTP: true, Refuse: map[string]string{"no@b.test": "550 5.1.1 no"}}).Start()
	defer s.Close()
	pool := &smtp.Pool{Hello: "c.test"}
	to := &smtp.Server{Host: path, Network: "unix", LMTP: true, Security: smtp.Plaintext}
	for range 2 {
		got := fates(pool.Deliver(t.Context(), to, envelope("a@b.test", hello, "yes@b.test", "no@b.test")))
		if got != "yes final ok 250 2.0.0 accepted\nno rcpt permanent 550 5.1.1 no\n" {
			t.Error(got)
		}
	}
	pool.Close(t.Context())
	smtptest.Expect(t, s, 2)
	if n := s.Sessions(); n != 1 {
		t.Errorf("%d connections", n)
	}
}
