package smtp_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/smtp"
	"github.com/postrider/postrider/smtp/smtptest"
)

const rtt = 2 * delay

// TestRoundTrips counts them: time passes only on the link.
func TestRoundTrips(t *testing.T) {
	pipelining := []string{"PIPELINING", "STARTTLS"}
	for _, test := range []struct {
		name       string
		extensions []string
		security   smtp.Security
		auth       bool
		cold, warm float64 // round trips; a Link shows the greeting half a round trip after the connection
		bulk       float64 // for a message, of many at once on one connection
	}{
		{"chunking", nil, smtp.Plaintext, false, 3.5, 1, 0.14},
		{"chunking, TLS, AUTH", nil, smtp.StartTLS, true, 7.5, 1, 0.14},
		{"pipelining", pipelining, smtp.Plaintext, false, 4.5, 2, 1.02},
		{"lockstep", []string{}, smtp.Plaintext, false, 6.5, 4, 4},
		{"lockstep, CHUNKING", []string{"CHUNKING"}, smtp.Plaintext, false, 5.5, 3, 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, &smtptest.Server{Extensions: test.extensions, Users: map[string]string{"ada": "secret"}})
				defer w.close(t)
				w.pool.MaxConns = 1
				w.to.Security = test.security
				if test.auth {
					w.to.Auth = &smtp.Auth{Username: "ada", Password: "secret"}
				}
				count := func(n int) float64 {
					begin := time.Now()
					w.deliverMany(t, n)
					return float64(time.Since(begin)) / float64(rtt) / float64(n)
				}
				if got := count(1); got != test.cold {
					t.Errorf("cold: %v round trips, want %v", got, test.cold)
				}
				if got := count(1); got != test.warm {
					t.Errorf("warm: %v round trips, want %v", got, test.warm)
				}
				if got := count(50); got > test.bulk {
					t.Errorf("many at once: %v round trips each, want %v", got, test.bulk)
				}
				smtptest.Expect(t, w.Server, 52)
				if n := w.Sessions(); n != 1 {
					t.Errorf("%d connections", n)
				}
			})
		})
	}
}

// deliverMany delivers n mails at once.
func (w *world) deliverMany(t *testing.T, n int) {
	var wait sync.WaitGroup
	for i := range n {
		wait.Go(func() {
			e := envelope(fmt.Sprintf("a%d@example.test", i), hello, "b@example.test")
			for _, r := range w.pool.Deliver(t.Context(), w.to, e) {
				if r.Err != nil {
					t.Error(r.Err)
				}
			}
		})
	}
	wait.Wait()
}

// TestManyCallers sends from thousands of goroutines to several servers.
func TestManyCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &smtptest.Server{Discard: true})
		defer w.close(t)
		var wait sync.WaitGroup
		for i := range 2000 {
			wait.Go(func() {
				to := *w.to
				to.Policy = fmt.Sprint(i % 7)
				size := 100 + i*37%70000
				body := "Subject: x\r\n\r\n" + strings.Repeat(strings.Repeat(".", 70)+"\r\n", size/72)
				if results := w.pool.Deliver(t.Context(), &to, envelope(fmt.Sprintf("a%d@example.test", i%10), body, "b@example.test")); results[0].Err != nil {
					t.Error(results[0].Err)
				}
			})
		}
		wait.Wait()
		if n := w.Count(); n != 2000 {
			t.Errorf("%d messages", n)
		}
		if n := w.Sessions(); n > 7*8 {
			t.Errorf("%d connections", n)
		}
	})
}

// TestLarge sends messages that do not fit in memory's share: they wait for an accepted recipient.
func TestLarge(t *testing.T) {
	body := "Subject: large\r\n\r\n" + strings.Repeat(".line that begins with a dot\r\n", 40000)
	for _, extensions := range [][]string{nil, {"PIPELINING"}, {}} {
		for _, size := range []int64{int64(len(body)), -1} {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, &smtptest.Server{Extensions: extensions, Refuse: map[string]string{"no@example.test": "550 no"}})
				defer w.close(t)
				w.to.Security = smtp.Plaintext
				e := envelope("a@example.test", body, "no@example.test")
				opened := 0
				e.Size, e.Open = size, func() (io.ReadCloser, error) { opened++; return opener(body)() }
				if got := fates(w.pool.Deliver(t.Context(), w.to, e)); got != "no rcpt permanent 550 no\n" {
					t.Errorf("refused: %s", got)
				}
				if size > 0 && opened > 0 {
					t.Error("the message of a refused recipient was opened")
				}
				e.To = smtp.Addresses("b@example.test", "no@example.test")
				// Mail that comes at the same time is not harmed.
				w.pool.MaxConns = 1
				done := make(chan struct{})
				go func() { defer close(done); w.deliverMany(t, 5) }()
				results := w.pool.Deliver(t.Context(), w.to, e)
				if results[0].Err != nil || results[0].Size != int64(len(body)) {
					t.Errorf("%v, %d octets", results[0].Err, results[0].Size)
				}
				<-done
				found := false
				for _, m := range smtptest.Expect(t, w.Server, 6) {
					found = found || string(m.Data) == body
				}
				if !found {
					t.Error("the message is not the same")
				}
			})
		}
	}
}

// TestSource is about bodies that fail or are not what they say: nothing of them is ever accepted, and
// other mail goes its way.
func TestSource(t *testing.T) {
	long := strings.Repeat(strings.Repeat("x", 70)+"\r\n", 5000)
	for _, test := range []struct {
		name, body string
		size       int64
		fail       bool
		want       string
	}{
		{"bare LF", "a\nb\r\n", 5, false, "local permanent"},
		{"bare CR", "a\rb\r\n", 5, false, "local permanent"},
		{"CR at the end", "a\r", 2, false, "local permanent"},
		{"long line", strings.Repeat("x", 999) + "\r\n", 1001, false, "local permanent"},
		{"too short", "abc\r\n", 6, false, "local permanent"},
		{"too long", "abc\r\n", 4, false, "local permanent"},
		{"fails", "abc\r\n", 10, true, "local temporary"},
		{"large, bare LF", long + "\n.\n", int64(len(long)) + 3, false, "data permanent"},
		{"large, bare CR at the end", long + "\r", int64(len(long)) + 1, false, "data permanent"},
		{"large, too short", long, int64(len(long)) + 1, false, "data permanent"},
		{"large, too long", long + "x\r\n", int64(len(long)) + 1, false, "data permanent"},
		{"large, fails", long, int64(len(long)) + 100, true, "data temporary"},
		{"large, 8 bit", long + "\xfc\r\n", int64(len(long)) + 3, false, "data permanent"},
		{"large, size unknown, bare LF", long + "\n.\n", -1, false, "data permanent"},
		{"large, size unknown, fails", long, -1, true, "data temporary"},
	} {
		for name, extensions := range map[string][]string{"bdat": nil, "data": {"PIPELINING", "8BITMIME"}, "lockstep": {}} {
			t.Run(test.name+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, &smtptest.Server{Extensions: extensions})
					w.to.Security = smtp.Plaintext
					w.deliverMany(t, 1)
					e := envelope("a@example.test", test.body, "b@example.test")
					e.Size = test.size
					if test.fail {
						e.Open = func() (io.ReadCloser, error) {
							return io.NopCloser(io.MultiReader(strings.NewReader(test.body), broken{})), nil
						}
					}
					if got := fates(w.pool.Deliver(t.Context(), w.to, e)); got != "b "+test.want+"\n" {
						t.Errorf("got %s", got)
					}
					w.deliverMany(t, 1)
					w.pool.Close(context.Background())
					w.Close()
					if n := w.Count(); n != 2 {
						t.Errorf("%d messages were accepted", n)
					}
					if large := strings.HasPrefix(test.want, "data"); w.Sessions() != map[bool]int64{true: 2, false: 1}[large] {
						t.Errorf("%d connections", w.Sessions())
					}
				})
			})
		}
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, fmt.Errorf("the disk is gone") }
