package smtp_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/smtp"
	"github.com/postrider/postrider/smtp/smtptest"
)

// hostile is a server that says what it likes after the reply to EHLO.
func hostile(serve func(c net.Conn, r *bufio.Reader)) *smtp.Pool {
	return &smtp.Pool{Hello: "c.test", Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		near, far := net.Pipe()
		go func() {
			defer far.Close()
			r := bufio.NewReader(far)
			io.WriteString(far, "220 mx\r\n")
			r.ReadString('\n')
			io.WriteString(far, "250-mx\r\n250-PIPELINING\r\n250 CHUNKING\r\n")
			serve(far, r)
		}()
		return near, nil
	}}
}

// The octets of MAIL and RCPT in these tests, and of the whole flight with BDAT and the short message.
const head, flight = 42, 78

var clear = &smtp.Server{Host: "mx.b.test", Security: smtp.Plaintext}

func TestHostileReplies(t *testing.T) {
	endless := strings.Repeat("250-again\r\n", 4096/11)
	for _, test := range []struct {
		name, want string // want may give a choice, where it matters which of two goroutines comes first
		serve      func(c net.Conn, r *bufio.Reader)
	}{
		{"answers before it is asked", "b mail temporary|b final temporary", func(c net.Conn, r *bufio.Reader) {
			io.WriteString(c, "250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n")
		}},
		{"answers before the message is there", "b final temporary", func(c net.Conn, r *bufio.Reader) {
			c.Read(make([]byte, 50)) // of a write that has more
			io.WriteString(c, "250 ok\r\n250 ok\r\n250 ok\r\n")
			time.Sleep(5 * time.Minute)
		}},
		{"endless reply", "b mail unsure", func(c net.Conn, r *bufio.Reader) {
			io.CopyN(io.Discard, r, flight)
			for {
				if _, err := io.WriteString(c, endless); err != nil {
					return
				}
			}
		}},
		{"endless line", "b mail unsure", func(c net.Conn, r *bufio.Reader) {
			io.CopyN(io.Discard, r, flight)
			for {
				if _, err := io.WriteString(c, "250 "+endless[:4]); err != nil {
					return
				}
			}
		}},
		{"one octet a minute", "b mail unsure", func(c net.Conn, r *bufio.Reader) {
			io.CopyN(io.Discard, r, flight)
			for {
				time.Sleep(time.Minute)
				if _, err := io.WriteString(c, "2"); err != nil {
					return
				}
			}
		}},
		{"one line a minute", "b mail unsure", func(c net.Conn, r *bufio.Reader) {
			io.CopyN(io.Discard, r, flight)
			for {
				time.Sleep(time.Minute)
				if _, err := io.WriteString(c, "250-x\r\n"); err != nil {
					return
				}
			}
		}},
		{"354 to BDAT", "b final unsure", func(c net.Conn, r *bufio.Reader) {
			io.CopyN(io.Discard, r, flight)
			io.WriteString(c, "250 ok\r\n250 ok\r\n354 go\r\n")
		}},
		{"accepts what it refused", "b final unsure", func(c net.Conn, r *bufio.Reader) {
			io.CopyN(io.Discard, r, flight)
			io.WriteString(c, "550 no\r\n250 ok\r\n250 ok\r\n")
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pool := hostile(test.serve)
				begin := time.Now()
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				results := pool.Deliver(t.Context(), clear, envelope("a@a.test", short, "b@b.test"))
				runtime.ReadMemStats(&after)
				if got := strings.TrimSpace(fates(results)); !slices.Contains(strings.Split(test.want, "|"), got) {
					t.Errorf("got %s (%v), want %s", got, results[0].Err, test.want)
				}
				if took := time.Since(begin); took > 15*time.Minute {
					t.Errorf("took %v", took)
				}
				if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
					t.Errorf("%d octets of memory", n)
				}
				pool.Close(t.Context())
				time.Sleep(time.Hour) // for the server
			})
		})
	}
}

// TestManyRecipients sends to a thousand over a connection that buffers nothing, to a server that answers
// each command before it reads the next.
func TestManyRecipients(t *testing.T) {
	for _, extensions := range [][]string{nil, {"PIPELINING"}, {}} {
		synctest.Test(t, func(t *testing.T) {
			text := strings.Repeat("no ", 400)
			s := (&smtptest.Server{Listener: smtptest.NewPipe(), Extensions: extensions, Reply: func(verb, line string) string {
				if verb == "RCPT" && strings.Contains(line, "no") {
					return "550 " + text
				}
				return ""
			}}).Start()
			defer s.Close()
			pool := &smtp.Pool{Dial: s.Dial}
			to := make([]string, 2500)
			for i := range to {
				to[i] = fmt.Sprintf("%s%d@b.test", []string{"yes", "no"}[i%2], i)
			}
			results := pool.Deliver(t.Context(), clear, envelope("a@a.test", short, to...))
			kept := 0
			for i, r := range results {
				if r.Recipient != to[i] || (r.Err == nil) != (i%2 == 0) {
					t.Fatalf("%s: %+v", to[i], r)
				}
				kept += len(r.Reply.Text)
			}
			if kept > 3*(64<<10)+4096*2500/2 {
				t.Errorf("%d octets of text are kept", kept)
			}
			// 2500 recipients are three transactions.
			smtptest.Expect(t, s, 3)
			pool.Close(t.Context())
		})
	}
}

// TestStalledReader is a server that stops reading within a message.
func TestStalledReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := strings.Repeat(strings.Repeat("x", 70)+"\r\n", 100000)
		pool := hostile(func(c net.Conn, r *bufio.Reader) {
			io.CopyN(io.Discard, r, head)
			io.WriteString(c, "250 ok\r\n250 ok\r\n")
			io.CopyN(io.Discard, r, 100000)
			time.Sleep(time.Hour)
		})
		begin := time.Now()
		results := pool.Deliver(t.Context(), clear, envelope("a@a.test", body, "b@b.test"))
		if got := fates(results); got != "b data temporary\n" || !errors.Is(results[0].Err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: %v", got, results[0].Err)
		}
		if took := time.Since(begin); took != 3*time.Minute {
			t.Errorf("took %v", took)
		}
		pool.Close(t.Context())
		time.Sleep(time.Hour)
	})
}

// TestEarlyRefusal is a server that refuses a message before it has all of it: the rest is spared.
func TestEarlyRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := strings.Repeat(strings.Repeat("x", 70)+"\r\n", 100000)
		read := 0
		pool := hostile(func(c net.Conn, r *bufio.Reader) {
			io.CopyN(io.Discard, r, head)
			io.WriteString(c, "250 ok\r\n250 ok\r\n")
			io.CopyN(io.Discard, r, 100000)
			io.WriteString(c, "552 5.3.4 too big\r\n")
			n, _ := io.Copy(io.Discard, r)
			read = 100000 + int(n)
		})
		results := pool.Deliver(t.Context(), clear, envelope("a@a.test", body, "b@b.test"))
		if got := fates(results); got != "b data permanent 552 5.3.4 too big\n" {
			t.Error(got)
		}
		synctest.Wait()
		if read > 1<<20 {
			t.Errorf("%d octets were sent", read)
		}
		pool.Close(t.Context())
	})
}
