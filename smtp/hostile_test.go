package smtp_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/smtp"
	"github.com/postrider/postrider/smtp/smtptest"
)

// drip sends a text octet by octet, each after a pause.
func drip(c net.Conn, text string, pause time.Duration) {
	for i := range len(text) {
		time.Sleep(pause)
		if _, err := c.Write([]byte{text[i]}); err != nil {
			return
		}
	}
}

// serve answers each line with the next reply; the last one is given to rest.
func serve(replies []string, rest func(c net.Conn)) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		pipe := smtptest.NewPipe()
		go func() {
			server, err := pipe.Accept()
			if err != nil {
				return
			}
			defer server.Close()
			r := bufio.NewReader(server)
			for i, reply := range replies {
				if i > 0 {
					if _, err := r.ReadString('\n'); err != nil {
						return
					}
				}
				if _, err := io.WriteString(server, reply); err != nil {
					return
				}
			}
			go io.Copy(io.Discard, r)
			rest(server)
			io.Copy(io.Discard, server)
		}()
		return pipe.Dial(ctx, network, address)
	}
}

// TestDrip has servers that send an octet now and then: the time limits are those of a reply, not of
// each octet of it.
func TestDrip(t *testing.T) {
	for name, replies := range map[string][]string{
		"greeting": nil,
		"hello":    {"220 mx\r\n"},
		"mail":     {"220 mx\r\n", "250-mx\r\n250-CHUNKING\r\n250 PIPELINING\r\n"},
		"final":    {"220 mx\r\n", "250-mx\r\n250-CHUNKING\r\n250 PIPELINING\r\n", "250 ok\r\n250 ok\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pool := &smtp.Pool{Dial: serve(replies, func(c net.Conn) { drip(c, strings.Repeat("250-slow\r\n", 1000), time.Minute) })}
				defer time.Sleep(2 * time.Minute) // until the server has noticed
				begin := time.Now()
				results := pool.Deliver(t.Context(), &smtp.Server{Host: "mx", Security: smtp.Plaintext}, envelope("a@a.test", hello, "b@b.test"))
				if took := time.Since(begin); took > 15*time.Minute {
					t.Errorf("the server held the mail for %v: %v", took, results[0].Err)
				}
				if !errors.Is(results[0].Err, os.ErrDeadlineExceeded) || (name == "final" || name == "mail") != errors.Is(results[0].Err, smtp.ErrUnsure) {
					t.Error(results[0].Err)
				}
			})
		})
	}
}

// TestTalkative has servers that say more than they are asked: a reply must never be taken for that to a
// later command.
func TestTalkative(t *testing.T) {
	const ehlo = "250-mx\r\n250-CHUNKING\r\n250 PIPELINING\r\n"
	for name, replies := range map[string][]string{
		"greeting": {"220 mx\r\n250 mx\r\n", ehlo, "250 mail\r\n250 rcpt\r\n"},
		"hello":    {"220 mx\r\n", ehlo + "250 again\r\n", "250 mail\r\n250 rcpt\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pool := &smtp.Pool{Dial: serve(replies, func(c net.Conn) {})}
				results := pool.Deliver(t.Context(), &smtp.Server{Host: "mx", Security: smtp.Plaintext}, envelope("a@a.test", hello, "b@b.test"))
				if results[0].Err == nil || errors.Is(results[0].Err, smtp.ErrUnsure) {
					t.Errorf("the mail was sent: %+v", results[0])
				}
			})
		})
	}
}

// TestCloseBeforeRetry closes the pool while a transaction waits to be tried on another connection.
func TestCloseBeforeRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		closing := make(chan struct{})
		mails := 0
		w := newWorld(t, &smtptest.Server{Reply: func(verb, line string) string {
			if verb == "MAIL" {
				if mails++; mails > 1 {
					close(closing)
					time.Sleep(time.Second)
					return "421 4.3.2 closing"
				}
			}
			return ""
		}})
		defer w.Close()
		to := &smtp.Server{Host: "mx.example.test", Security: smtp.Plaintext}
		if got := fates(w.pool.Deliver(t.Context(), to, envelope("a@a.test", hello, "b@b.test"))); got != "b final ok 250 2.0.0 accepted\n" {
			t.Fatal(got)
		}
		done := make(chan []smtp.Result)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		go func() { done <- w.pool.Deliver(ctx, to, envelope("a@a.test", hello, "b@b.test")) }()
		<-closing
		if err := w.pool.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if err := (<-done)[0].Err; !errors.Is(err, smtp.ErrClosed) {
			t.Error(err)
		}
		if n := w.Sessions(); n > 1 {
			t.Errorf("%d connections, some after Close", n)
		}
	})
}

// TestResetRefused has a server that does not leave a failed transaction: the next mail shall not suffer.
func TestResetRefused(t *testing.T) {
	for _, extensions := range [][]string{{}, {"PIPELINING"}} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, &smtptest.Server{Extensions: extensions, Replies: map[string]string{"RSET": "500 what?"},
				Refuse: map[string]string{"no@b.test": "550 5.1.1 no"}})
			defer w.Close()
			to := &smtp.Server{Host: "mx.example.test", Security: smtp.Plaintext}
			if got := fates(w.pool.Deliver(t.Context(), to, envelope("a@a.test", hello, "no@b.test"))); !strings.HasPrefix(got, "no rcpt permanent") {
				t.Error(got)
			}
			if got := fates(w.pool.Deliver(t.Context(), to, envelope("a@a.test", hello, "b@b.test"))); got != "b final ok 250 accepted\n" {
				t.Error(got)
			}
			if err := w.pool.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestNestedLMTP has a mail ride behind one that fails, on a server that keeps the failed one open. Of its two
// recipients one is accepted at the end: it shall not get the mail again.
func TestNestedLMTP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &smtptest.Server{LMTP: true, Sticky: true, Refuse: map[string]string{"no@b.test": "550 5.1.1 no"},
			Reply: func(verb, line string) string {
				if verb == "END" && line == "full@b.test" {
					return "452 4.2.2 full"
				}
				return ""
			}})
		defer w.close(t)
		to := &smtp.Server{Host: "mx.example.test", Security: smtp.Plaintext, LMTP: true}
		w.pool.Deliver(t.Context(), to, envelope("a@a.test", hello, "first@b.test"))
		var wait sync.WaitGroup
		for _, test := range []struct {
			want  string
			rcpts []string
		}{
			{"no rcpt permanent 550 5.1.1 no\n", []string{"no@b.test"}},
			{"b final ok 250 2.0.0 accepted\nfull final temporary 452 4.2.2 full\n", []string{"b@b.test", "full@b.test"}},
		} {
			wait.Go(func() { // both have their results at the same instant
				if got := fates(w.pool.Deliver(t.Context(), to, envelope("a@a.test", hello, test.rcpts...))); got != test.want {
					t.Error(got)
				}
			})
			synctest.Wait()
		}
		wait.Wait()
		smtptest.Expect(t, w.Server, 2)
	})
}

// TestEcho has servers that say back what they are told, credentials included.
func TestEcho(t *testing.T) {
	for _, mech := range []string{"PLAIN", "LOGIN", "SCRAM-SHA-256", "XOAUTH2", "OAUTHBEARER"} {
		synctest.Test(t, func(t *testing.T) {
			var said strings.Builder
			w := newWorld(t, &smtptest.Server{Mechanisms: []string{mech}, Users: map[string]string{"ada": "s3cret-word"}, Tokens: map[string]string{},
				Reply: func(verb, line string) string {
					if verb == "AUTH" {
						said.WriteString(line)
						if len(strings.Fields(line)) == 3 {
							return "535 5.7.8 I do not like " + line + " of s3cret-word"
						}
					}
					return ""
				}})
			defer w.close(t)
			var dialogue smtp.Transcript
			w.to.Auth = &smtp.Auth{Username: "ada", Password: "s3cret-word"}
			if mech == "XOAUTH2" || mech == "OAUTHBEARER" {
				w.to.Auth.Password = ""
				w.to.Auth.Token = func(context.Context) (string, time.Time, error) { return "s3cret-word", time.Time{}, nil }
			}
			if mech == "LOGIN" {
				w.to.Auth.Password = "another"
			}
			r := w.pool.Deliver(smtp.WithTrace(t.Context(), dialogue.Trace()), w.to, envelope("a@a.test", hello, "b@b.test"))[0]
			if r.Err == nil || r.Phase != smtp.PhaseAuth {
				t.Errorf("%s: %v", mech, r.Err)
			}
			shown := fmt.Sprint(r.Err, r.Reply, dialogue.String())
			if fields := strings.Fields(said.String()); len(fields) == 3 && strings.Contains(shown, fields[2]) || strings.Contains(shown, "s3cret-word") || strings.Contains(shown, "another") {
				t.Errorf("%s: a secret is shown: %s", mech, shown)
			}
		})
	}
}

// TestEchoedChallenge has a server that says a secret back as a challenge, and again when that is declined.
func TestEchoedChallenge(t *testing.T) {
	secret := "s3cret-word"
	encoded := base64.StdEncoding.EncodeToString([]byte("what is " + secret + "?"))
	for _, mech := range []string{"PLAIN", "XOAUTH2", "SCRAM-SHA-256"} {
		synctest.Test(t, func(t *testing.T) {
			pool := &smtp.Pool{Dial: serve([]string{"220 mx\r\n", "250-mx\r\n250 AUTH " + mech + "\r\n", "334 " + encoded + "\r\n", "334 " + secret + "\r\n"}, func(net.Conn) {})}
			to := &smtp.Server{Host: "mx", Security: smtp.Plaintext, Auth: &smtp.Auth{Username: "ada", Password: secret, AllowPlaintext: true}}
			if mech == "XOAUTH2" {
				to.Auth.Password = ""
				to.Auth.Token = func(context.Context) (string, time.Time, error) { return secret, time.Time{}, nil }
			}
			var dialogue smtp.Transcript
			r := pool.Deliver(smtp.WithTrace(t.Context(), dialogue.Trace()), to, envelope("a@a.test", hello, "b@b.test"))[0]
			if r.Err == nil || r.Phase != smtp.PhaseAuth {
				t.Errorf("%s: %v", mech, r.Err)
			}
			if shown := fmt.Sprint(r.Err, r.Reply, dialogue.String()); strings.Contains(shown, secret) || strings.Contains(shown, encoded) {
				t.Errorf("%s: a secret is shown: %s", mech, shown)
			}
		})
	}
}

// TestControls has addresses and parameters that would be commands or headers elsewhere.
func TestControls(t *testing.T) {
	const evil = "x\r\nRCPT TO:<evil@b.test>"
	for name, change := range map[string]func(*smtp.Envelope){
		"from":                func(e *smtp.Envelope) { e.From = "a@a.test" + evil },
		"path":                func(e *smtp.Envelope) { e.From = "a@a.test> SIZE=1 X=<" },
		"quoted":              func(e *smtp.Envelope) { e.From = "\"a\r\n\"@a.test" },
		"to":                  func(e *smtp.Envelope) { e.To[0].Address = "b@b.test>\r\nDATA" },
		"nul":                 func(e *smtp.Envelope) { e.To[0].Address = "b\x00@b.test" },
		"latin1":              func(e *smtp.Envelope) { e.To[0].Address = "\xfc@b.test" },
		"source":              func(e *smtp.Envelope) { e.To[0].Address = "@relay.test:b@b.test" },
		"comment":             func(e *smtp.Envelope) { e.To[0].Address = "b(c)@b.test" },
		"envid":               func(e *smtp.Envelope) { e.EnvelopeID = evil },
		"ret":                 func(e *smtp.Envelope) { e.Return = evil },
		"original":            func(e *smtp.Envelope) { e.To[0].Original = "b@b.test\r\nX-Injected: yes" },
		"original, not UTF-8": func(e *smtp.Envelope) { e.To[0].Original = "\xfc@b.test" },
	} {
		e := envelope("a@a.test", hello, "b@b.test")
		change(e)
		pool := &smtp.Pool{Dial: func(context.Context, string, string) (net.Conn, error) {
			return nil, fmt.Errorf("%s was dialled", name)
		}}
		var refused *smtp.EnvelopeError
		if r := pool.Deliver(t.Context(), &smtp.Server{Host: "mx"}, e)[0]; !errors.As(r.Err, &refused) || r.Phase != smtp.PhaseLocal {
			t.Errorf("%s: %v", name, r.Err)
		}
	}
	for _, host := range []string{"mx\r\nRSET", "mx x", "mx>"} {
		pool := &smtp.Pool{Hello: host, Dial: serve([]string{"220 mx\r\n"}, func(net.Conn) {})}
		if r := pool.Deliver(t.Context(), &smtp.Server{Host: "mx", Security: smtp.Plaintext}, envelope("a@a.test", hello, "b@b.test"))[0]; r.Err == nil || !strings.Contains(r.Err.Error(), "name to say") {
			t.Errorf("%q: %v", host, r.Err)
		}
	}
}
