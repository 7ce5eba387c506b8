package smtp_test

import (
	"bufio"
	"context"
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

// TestReaderGoes gives up the mail whose caller reads the replies, in the middle of one. Those behind it read on
// from there.
func TestReaderGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pipe := smtptest.NewPipe()
		go func() {
			c, err := pipe.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			r := bufio.NewReader(c)
			say := func(text string) { io.WriteString(c, text) }
			say("220 mx\r\n")
			for mails := 0; ; {
				line, err := r.ReadString('\n')
				switch {
				case err != nil:
					return
				case strings.HasPrefix(line, "EHLO"):
					say("250-mx\r\n250-PIPELINING\r\n250 CHUNKING\r\n")
				case strings.HasPrefix(line, "BDAT"):
					io.CopyN(io.Discard, r, int64(len(short)))
					if mails++; mails > 2 { // those before show that mails may share the connection
						say("250-2.0.0 fir")
						time.Sleep(10 * time.Second)
						say("st line\r\n250 2.0.0 taken as " + fmt.Sprint(mails) + "\r\n")
					} else {
						time.Sleep(time.Second)
						say("250 2.0.0 ok\r\n")
					}
				default:
					say("250 2.1.0 ok\r\n")
				}
			}
		}()
		pool := &smtp.Pool{Hello: "client.example.test", MaxConns: 1, Dial: pipe.Dial}
		defer pool.Close(t.Context())
		to := &smtp.Server{Host: "mx.example.test", Security: smtp.Plaintext}
		deliver := func(ctx context.Context) smtp.Result {
			return pool.Deliver(ctx, to, envelope("a@a.test", short, "b@b.test"))[0]
		}
		var wait sync.WaitGroup
		for range 2 {
			wait.Go(func() {
				if r := deliver(t.Context()); r.Err != nil {
					t.Error(r.Err)
				}
			})
			time.Sleep(100 * time.Millisecond)
		}
		wait.Wait()
		synctest.Wait()
		wait.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			begin := time.Now()
			if r := deliver(ctx); r.Err == nil || time.Since(begin) != 3*time.Second {
				t.Errorf("the first: %v after %v", r.Err, time.Since(begin))
			}
		})
		time.Sleep(time.Second)
		wait.Go(func() {
			if r := deliver(t.Context()); r.Err != nil || r.Reply.Text != "first line\ntaken as 4" {
				t.Errorf("the second: %v %q", r.Err, r.Reply)
			}
		})
		wait.Wait()
	})
}

// TestIdleEnds has the server end connections that are idle: at once, so that nobody listens yet, and later. The
// next mail does not see it, and none is kept that has ended.
func TestIdleEnds(t *testing.T) {
	for _, end := range []string{"", "421 4.3.2 closing\r\n", "250 2.0.0 what nobody asked for\r\n"} {
		for _, wait := range []time.Duration{0, 10 * time.Second} {
			synctest.Test(t, func(t *testing.T) {
				var servers, clients []net.Conn
				var ended atomic.Int64
				w := newWorld(t, &smtptest.Server{Delay: map[string]time.Duration{"END": time.Second}})
				defer w.Close()
				w.pool.InFlight = 1
				w.to.Security = smtp.Plaintext
				var mu sync.Mutex
				w.pool.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
					c, err := w.Dial(ctx, network, address)
					if err != nil {
						return nil, err
					}
					between := smtptest.NewPipe()
					go func() {
						far, _ := between.Accept()
						mu.Lock()
						servers, clients = append(servers, far), append(clients, c)
						mu.Unlock()
						go io.Copy(c, far)
						io.Copy(far, c)
					}()
					near, err := between.Dial(ctx, network, address)
					return closing{near.(quiet), &ended}, err
				}
				w.deliverMany(t, 5)
				synctest.Wait()
				for i, c := range servers {
					go func() {
						if end != "" { // a pipe waits for a reader of nothing, too
							io.WriteString(c, end)
						}
						if end == "" || i%2 == 0 {
							c.Close()
						}
					}()
				}
				synctest.Wait()
				time.Sleep(wait)
				if wait > 0 && ended.Load() != 5 {
					t.Errorf("%q: %d of 5 connections were let go", end, ended.Load())
				}
				w.deliverMany(t, 1)
				if n := w.Count(); n != 6 {
					t.Errorf("%q after %v: %d messages", end, wait, n)
				}
				for _, c := range clients {
					c.Close()
				}
				w.pool.Close(t.Context())
			})
		}
	}
}

type quiet interface {
	net.Conn
	Quiet() bool
}

type closing struct {
	quiet
	n *atomic.Int64
}

func (c closing) Close() error {
	c.n.Add(1)
	return c.quiet.Close()
}
