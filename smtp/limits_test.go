package smtp_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
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

// TestPoolLimits counts the connections that a pool makes.
func TestPoolLimits(t *testing.T) {
	for _, test := range []struct {
		name       string
		extensions []string
		pool       func(*smtp.Pool)
		mails      int // one after the other
		pause      time.Duration
		want       int64
	}{
		{"kept", nil, func(p *smtp.Pool) {}, 10, 0, 1},
		{"idle time", nil, func(p *smtp.Pool) {}, 3, 31 * time.Second, 3},
		{"within idle time", nil, func(p *smtp.Pool) {}, 5, 29 * time.Second, 1},
		{"age", nil, func(p *smtp.Pool) { p.MaxAge = time.Minute }, 7, 20 * time.Second, 3},
		{"messages", nil, func(p *smtp.Pool) { p.MaxMessages = 3 }, 7, 0, 3},
		{"none kept", nil, func(p *smtp.Pool) { p.MaxIdle = -1 }, 3, 0, 3},
		{"MAILMAX", []string{"PIPELINING", "CHUNKING", "LIMITS MAILMAX=2"}, func(p *smtp.Pool) {}, 5, 0, 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, &smtptest.Server{Extensions: test.extensions})
				defer w.close(t)
				w.to.Security = smtp.Plaintext
				test.pool(w.pool)
				for range test.mails {
					w.deliverMany(t, 1)
					time.Sleep(test.pause)
				}
				if got := w.Sessions(); got != test.want {
					t.Errorf("%d connections, want %d", got, test.want)
				}
			})
		})
	}
}

// TestMaxIdle keeps few of the connections to many servers.
func TestMaxIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &smtptest.Server{Record: true})
		defer w.Close()
		w.to.Security, w.pool.MaxIdle = smtp.Plaintext, 3
		for i := range 10 {
			to := *w.to
			to.Policy = fmt.Sprint(i)
			if r := w.pool.Deliver(t.Context(), &to, envelope("a@a.test", hello, "b@b.test"))[0]; r.Err != nil {
				t.Error(r.Err)
			}
		}
		time.Sleep(time.Second)
		if n := strings.Count(w.Transcript(), "C: QUIT"); n < 7 {
			t.Errorf("%d of 10 connections are ended", n)
		}
		if err := w.pool.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if n := strings.Count(w.Transcript(), "C: QUIT"); n != 10 {
			t.Errorf("after Close %d of 10 connections are ended", n)
		}
	})
}

// TestSpread sends many mails at once to a server that takes one at a time: on several connections, and
// no more than allowed.
func TestSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &smtptest.Server{Extensions: []string{}, Delay: map[string]time.Duration{"": time.Second}})
		defer w.close(t)
		w.to.Security = smtp.Plaintext
		w.pool.MaxConns = 5
		begin := time.Now()
		w.deliverMany(t, 50)
		if w.Sessions() != 5 {
			t.Errorf("%d connections", w.Sessions())
		}
		// 10 mails on each, 4 commands of a second and a round trip each, and the first connection shows what
		// the server can do.
		if took := time.Since(begin); took > 60*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// TestRefusedConnection: a server that limits the connections of a client keeps those that stand.
func TestRefusedConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int32
		w := newWorld(t, &smtptest.Server{Extensions: []string{}, Reply: func(verb, line string) string {
			if verb == "CONNECT" && n.Add(1) > 2 {
				return "421 4.7.0 too many connections"
			}
			return ""
		}})
		defer w.close(t)
		w.to.Security = smtp.Plaintext
		w.deliverMany(t, 100)
		smtptest.Expect(t, w.Server, 100)
		if n := n.Load(); n > 20 {
			t.Errorf("%d connections were tried", n)
		}
	})
}

// TestDown: when no connection can be made, all that wait learn it from one try.
func TestDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		pool := &smtp.Pool{Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			tries++
			time.Sleep(time.Second)
			return nil, errors.New("connection refused")
		}}
		done := make(chan string)
		for i := range 5 {
			go func() {
				e := envelope("a@b.test", short, fmt.Sprintf("c%d@b.test", i))
				done <- fates(pool.Deliver(t.Context(), &smtp.Server{Host: "mx.b.test"}, e))
			}()
		}
		for range 5 {
			if got := <-done; !strings.HasSuffix(got, " connect temporary\n") {
				t.Error(got)
			}
		}
		if tries != 1 {
			t.Errorf("%d tries", tries)
		}
	})
}

// TestClose: mail in flight is finished, what waits is told, what comes later is refused.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &smtptest.Server{Extensions: []string{}, Delay: map[string]time.Duration{"END": time.Minute}})
		defer w.Close()
		w.to.Security = smtp.Plaintext
		w.pool.MaxConns = 1
		results := make(chan error, 2)
		for range 2 {
			go func() {
				results <- w.pool.Deliver(t.Context(), w.to, envelope("a@b.test", short, "c@b.test"))[0].Err
			}()
			time.Sleep(time.Second)
		}
		if err := w.pool.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if first, second := <-results, <-results; !errors.Is(first, smtp.ErrClosed) || second != nil {
			t.Errorf("%v and %v", first, second)
		}
		if r := w.pool.Deliver(t.Context(), w.to, envelope("a@b.test", short, "c@b.test")); !errors.Is(r[0].Err, smtp.ErrClosed) {
			t.Errorf("after Close: %v", r[0].Err)
		}
		smtptest.Expect(t, w.Server, 1)
	})
}

// TestCloseCut: Close does not wait longer than its context.
func TestCloseCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &smtptest.Server{Reply: func(verb, line string) string {
			if verb == "END" {
				return smtptest.Hang
			}
			return ""
		}})
		defer w.Close()
		result := make(chan error, 1)
		go func() {
			result <- w.pool.Deliver(t.Context(), w.to, envelope("a@b.test", short, "c@b.test"))[0].Err
		}()
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := w.pool.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if err := <-result; !errors.Is(err, smtp.ErrUnsure) {
			t.Error(err)
		}
	})
}

// TestCloseCutWriting: nor does it when a write waits for a server that reads nothing more.
func TestCloseCutWriting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pool := hostile(func(c net.Conn, r *bufio.Reader) {
			io.CopyN(io.Discard, r, head)
			io.WriteString(c, "250 ok\r\n250 ok\r\n")
			io.CopyN(io.Discard, r, 100000)
			time.Sleep(time.Hour)
		})
		result := make(chan error, 1)
		go func() {
			body := strings.Repeat(strings.Repeat("x", 70)+"\r\n", 100000)
			result <- pool.Deliver(t.Context(), clear, envelope("a@a.test", body, "b@b.test"))[0].Err
		}()
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := pool.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if err := <-result; err == nil || errors.Is(err, smtp.ErrUnsure) {
			t.Error(err)
		}
		time.Sleep(time.Hour)
	})
}

// TestCloseTwice: each of several who close waits for the connections, and none for ever.
func TestCloseTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &smtptest.Server{Delay: map[string]time.Duration{"END": time.Minute}})
		defer w.Close()
		begin := time.Now()
		go w.pool.Deliver(t.Context(), w.to, envelope("a@b.test", short, "c@b.test"))
		time.Sleep(time.Second)
		var wait sync.WaitGroup
		for range 3 {
			wait.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				if err := w.pool.Close(ctx); err != nil || time.Since(begin) < time.Minute {
					t.Errorf("%v after %v", err, time.Since(begin))
				}
			})
		}
		wait.Wait()
	})
}
