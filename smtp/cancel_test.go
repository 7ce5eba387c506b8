package smtp_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/smtp"
	"github.com/postrider/postrider/smtp/smtptest"
)

// TestCancel ends the context at every step at which a server can hang. Deliver returns at that very time.
func TestCancel(t *testing.T) {
	hang := func(at string) func(verb, line string) string {
		return func(verb, line string) string {
			if verb == at {
				return smtptest.Hang
			}
			return ""
		}
	}
	for _, test := range []struct {
		name       string
		extensions []string
		hang, want string
	}{
		{"greeting", nil, "CONNECT", "b greeting temporary"},
		{"hello", nil, "EHLO", "b hello temporary"},
		{"starttls", nil, "STARTTLS", "b tls temporary"},
		{"auth", nil, "AUTH", "b auth temporary"},
		// The whole mail is on its way, and nobody knows what the server does with it.
		{"mail, chunking", nil, "MAIL", "b mail unsure"},
		{"end, chunking", nil, "END", "b final unsure"},
		{"mail", []string{"PIPELINING", "STARTTLS"}, "MAIL", "b mail temporary"},
		{"rcpt", []string{"PIPELINING", "STARTTLS"}, "RCPT", "b rcpt temporary"},
		{"data", []string{"PIPELINING", "STARTTLS"}, "DATA", "b data temporary"},
		{"end", []string{"PIPELINING", "STARTTLS"}, "END", "b final unsure"},
		{"lockstep mail", []string{"STARTTLS"}, "MAIL", "b mail temporary"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, &smtptest.Server{Extensions: test.extensions, Reply: hang(test.hang), Users: map[string]string{"ada": "secret"}})
				defer w.Close()
				w.to.Auth = &smtp.Auth{Username: "ada", Password: "secret"}
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				defer cancel()
				begin := time.Now()
				results := w.pool.Deliver(ctx, w.to, envelope("a@example.test", hello, "b@example.test"))
				if took := time.Since(begin); took != 3*time.Second {
					t.Errorf("returned after %v", took)
				}
				if got := strings.TrimSpace(fates(results)); got != test.want || !errors.Is(results[0].Err, context.DeadlineExceeded) {
					t.Errorf("got %s (%v), want %s", got, results[0].Err, test.want)
				}
				if results[0].Duration != 3*time.Second {
					t.Errorf("duration %v", results[0].Duration)
				}
				w.pool.Close(t.Context())
			})
		})
	}
}

// TestCancelSilence ends the context while nothing comes from a dial function that does not look at it, in a
// handshake, or from a server that stopped reading within a large message.
func TestCancelSilence(t *testing.T) {
	silent := func(c net.Conn) { io.Copy(io.Discard, c) }
	for _, test := range []struct {
		name     string
		security smtp.Security
		dial     func(ctx context.Context, network, address string) (net.Conn, error)
		want     string
	}{
		{"dial", smtp.Plaintext, func(context.Context, string, string) (net.Conn, error) {
			time.Sleep(time.Hour)
			return nil, errors.New("too late")
		}, "b connect temporary"},
		{"greeting", smtp.Plaintext, serve(nil, silent), "b greeting temporary"},
		{"implicit handshake", smtp.ImplicitTLS, serve(nil, silent), "b tls temporary"},
		{"handshake", smtp.StartTLS, serve([]string{"220 mx\r\n", "250-mx\r\n250 STARTTLS\r\n", "220 go\r\n"}, silent), "b tls temporary"},
		{"opportunistic handshake", smtp.Opportunistic, serve([]string{"220 mx\r\n", "250-mx\r\n250 STARTTLS\r\n", "220 go\r\n"}, silent), "b tls temporary"},
		{"message", smtp.Plaintext, hostile(func(c net.Conn, r *bufio.Reader) {
			io.CopyN(io.Discard, r, head)
			io.WriteString(c, "250 ok\r\n250 ok\r\n")
			io.CopyN(io.Discard, r, 100000)
			time.Sleep(time.Hour)
		}).Dial, "b data temporary"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var open atomic.Int32
				pool := &smtp.Pool{Hello: "c.test", Dial: countOpen(test.dial, &open)}
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				defer cancel()
				begin := time.Now()
				to := &smtp.Server{Host: "mx.b.test", Security: test.security}
				results := pool.Deliver(ctx, to, envelope("a@a.test", lines(1<<20), "b@b.test"))
				if took := time.Since(begin); took != 3*time.Second {
					t.Errorf("returned after %v", took)
				}
				if got := strings.TrimSpace(fates(results)); got != test.want || !errors.Is(results[0].Err, context.DeadlineExceeded) {
					t.Errorf("got %s (%v), want %s", got, results[0].Err, test.want)
				}
				synctest.Wait()
				if open.Load() > 0 {
					t.Error("the connection stands")
				}
				if err := pool.Close(t.Context()); err != nil || time.Since(begin) != 3*time.Second {
					t.Errorf("Close: %v after %v", err, time.Since(begin))
				}
				time.Sleep(2 * time.Hour) // for what hangs
			})
		})
	}
}

// countOpen counts the connections that are not closed.
func countOpen(dial func(ctx context.Context, network, address string) (net.Conn, error), open *atomic.Int32) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		open.Add(1)
		return &openConn{Conn: c, open: open}, nil
	}
}

type openConn struct {
	net.Conn
	once sync.Once
	open *atomic.Int32
}

func (c *openConn) Close() error {
	c.once.Do(func() { c.open.Add(-1) })
	return c.Conn.Close()
}

// TestCancelOne ends the context of one of several mails on a connection: the others are not harmed.
func TestCancelOne(t *testing.T) {
	for name, extensions := range map[string][]string{"chunking": nil, "pipelining": {"PIPELINING"}, "lockstep": {}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var slow atomic.Bool
				w := newWorld(t, &smtptest.Server{Extensions: extensions, Reply: func(verb, line string) string {
					if slow.Load() && verb == "END" {
						time.Sleep(10 * time.Second)
					}
					return ""
				}})
				defer w.close(t)
				w.to.Security = smtp.Plaintext
				w.pool.MaxConns = 1
				w.deliverMany(t, 1)
				slow.Store(true)
				var bad atomic.Int32
				for i, patience := range []time.Duration{time.Hour, 3 * time.Second, time.Hour, 15 * time.Second, time.Hour} {
					go func() {
						ctx, cancel := context.WithTimeout(t.Context(), patience)
						defer cancel()
						begin := time.Now()
						r := w.pool.Deliver(ctx, w.to, envelope("a@example.test", hello, "b@example.test"))[0]
						if patience == time.Hour && r.Err != nil {
							t.Errorf("mail %d: %v", i, r.Err)
						}
						if patience < time.Hour && (r.Err == nil || time.Since(begin) != patience) {
							t.Errorf("mail %d: %v after %v", i, r.Err, time.Since(begin))
						}
						if patience < time.Hour && !errors.Is(r.Err, smtp.ErrUnsure) {
							bad.Add(1)
						}
					}()
					synctest.Wait()
				}
				time.Sleep(5 * time.Minute)
				// Those that are in doubt may have come, the others must not.
				if n := w.Count(); n < 4 || n > 6-int64(bad.Load()) {
					t.Errorf("%d messages, %d are known not to have been sent", n, bad.Load())
				}
			})
		})
	}
}

// TestCancelRefused ends the context of a mail whose MAIL is refused and whose other replies are still to come: the
// mail behind it, which is sent in full, is not harmed.
func TestCancelRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pipe := smtptest.NewPipe()
		defer pipe.Close()
		go func() {
			c, err := pipe.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			r := bufio.NewReader(c)
			say := func(text string) { io.WriteString(c, text+"\r\n") }
			say("220 mx")
			for {
				line, err := r.ReadString('\n')
				switch {
				case err != nil:
					return
				case strings.HasPrefix(line, "EHLO"):
					say("250-mx\r\n250-PIPELINING\r\n250 CHUNKING")
				case strings.HasPrefix(line, "MAIL FROM:<refused@"):
					say("550 5.7.1 no")
				case strings.HasPrefix(line, "RCPT TO:<slow@"):
					time.Sleep(10 * time.Second)
					say("503 5.5.1 no MAIL")
				case strings.HasPrefix(line, "BDAT"):
					io.CopyN(io.Discard, r, int64(len(short)))
					time.Sleep(time.Second)
					say("250 2.0.0 ok")
				default:
					say("250 2.0.0 ok")
				}
			}
		}()
		pool := &smtp.Pool{Hello: "client.example.test", MaxConns: 1, Dial: pipe.Dial}
		to := &smtp.Server{Host: "mx.example.test", Security: smtp.Plaintext}
		deliver := func(ctx context.Context, from, body, rcpt string) error {
			return pool.Deliver(ctx, to, envelope(from, body, rcpt))[0].Err
		}
		var wait sync.WaitGroup
		good := func() {
			wait.Go(func() {
				if err := deliver(t.Context(), "a@a.test", short, "b@b.test"); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		good()
		wait.Wait()
		good() // the two show that mails may share the connection
		good()
		wait.Wait()
		wait.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			large := strings.Repeat(short, 300<<10/len(short)) // it waits for an accepted recipient
			if err := deliver(ctx, "refused@a.test", large, "slow@b.test"); err == nil || !strings.Contains(err.Error(), "5.7.1") {
				t.Error(err)
			}
		})
		synctest.Wait()
		good()
		wait.Wait()
		pool.Close(t.Context())
	})
}

// TestCancelThenGone has a server close the connection with 421 in answer to a mail that was given up before: what
// its caller was told stands, and nobody tries it again.
func TestCancelThenGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var slow atomic.Bool
		w := newWorld(t, &smtptest.Server{Reply: func(verb, line string) string {
			switch {
			case slow.Load() && verb == "END":
				time.Sleep(10 * time.Second)
			case verb == "MAIL" && strings.Contains(line, "gone@"):
				return "421 4.3.2 closing"
			}
			return ""
		}})
		defer w.close(t)
		w.to.Security = smtp.Plaintext
		w.pool.MaxConns = 1
		w.deliverMany(t, 3)
		slow.Store(true)
		var wait sync.WaitGroup
		wait.Go(func() {
			if r := w.pool.Deliver(t.Context(), w.to, envelope("a@a.test", hello, "b@b.test"))[0]; r.Err != nil {
				t.Errorf("the first: %v", r.Err)
			}
		})
		synctest.Wait()
		wait.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			results := w.pool.Deliver(ctx, w.to, envelope("gone@a.test", hello, "b@b.test"))
			if !errors.Is(results[0].Err, smtp.ErrUnsure) || !errors.Is(results[0].Err, context.DeadlineExceeded) {
				t.Errorf("the second: %v", results[0].Err)
			}
		})
		wait.Wait()
		synctest.Wait()
		if n := w.Sessions(); n != 1 {
			t.Errorf("%d connections", n)
		}
	})
}

// TestCancelGoneAway has a caller go at the moment in which the server says, of his mail, that it closes the
// connection: what another makes of that is no longer his.
func TestCancelGoneAway(t *testing.T) {
	for range 100 {
		synctest.Test(t, func(t *testing.T) {
			closing := make(chan struct{})
			var mails atomic.Int32
			pool := hostile(func(c net.Conn, r *bufio.Reader) {
				for line, err := r.ReadString('\n'); err == nil; line, err = r.ReadString('\n') {
					if strings.HasPrefix(line, "MAIL") && mails.Add(1) == 2 {
						go io.Copy(io.Discard, r)
						<-closing
						io.WriteString(c, "421 4.3.2 closing\r\n")
						return
					}
					if strings.HasPrefix(line, "BDAT") {
						r.Discard(len(short))
					}
					io.WriteString(c, "250 ok\r\n")
				}
			})
			pool.MaxConns = 1
			deliver := func(ctx context.Context) smtp.Result {
				return pool.Deliver(ctx, clear, envelope("a@a.test", short, "b@b.test"))[0]
			}
			if r := deliver(t.Context()); r.Err != nil {
				t.Fatal(r.Err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			var wait sync.WaitGroup
			wait.Go(func() {
				// Should the 421 come first, he may be on another connection before he goes, and even be done.
				if r := deliver(ctx); r.Err != nil && !errors.Is(r.Err, context.Canceled) {
					t.Errorf("the caller who went: %v", r.Err)
				}
			})
			synctest.Wait()
			wait.Go(func() {
				if r := deliver(t.Context()); r.Err != nil {
					t.Errorf("the other: %v", r.Err)
				}
			})
			synctest.Wait()
			go close(closing)
			cancel()
			wait.Wait()
			pool.Close(t.Context())
		})
	}
}
