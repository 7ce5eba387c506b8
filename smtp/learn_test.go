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
)

// fragile is a server that dies when a second transaction comes before the first has ended. It
// counts what it took before it died.
type fragile struct {
	greeting string
	taken    atomic.Int32
	conns    atomic.Int32
}

func (f *fragile) dial(ctx context.Context, network, address string) (net.Conn, error) {
	near, far := net.Pipe()
	f.conns.Add(1)
	go f.serve(far)
	return near, nil
}

func (f *fragile) serve(c net.Conn) {
	defer c.Close()
	lines := make(chan string, 1000)
	go func() {
		defer close(lines)
		r := bufio.NewReader(c)
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			if strings.HasPrefix(line, "BDAT") {
				io.CopyN(io.Discard, r, int64(len(short)))
			}
			lines <- line
		}
	}()
	fmt.Fprintf(c, "220 %s\r\n", f.greeting)
	for line := range lines {
		switch line[:4] {
		case "EHLO":
			io.WriteString(c, "250-mx\r\n250-PIPELINING\r\n250 CHUNKING\r\n")
		case "BDAT":
			time.Sleep(time.Second)
			f.taken.Add(1)
			if len(lines) > 0 {
				return
			}
			fallthrough
		default:
			io.WriteString(c, "250 ok\r\n")
		}
	}
}

// TestFragile: what a server cannot bear is noticed at the price of few mails in doubt, and remembered.
func TestFragile(t *testing.T) {
	for _, test := range []struct {
		greeting string
		unsure   int
	}{{"mx ESMTP", 2}, {"mx Dovecot ready.", 0}} {
		synctest.Test(t, func(t *testing.T) {
			f := &fragile{greeting: test.greeting}
			pool := &smtp.Pool{Dial: f.dial, MaxConns: 1}
			var wait sync.WaitGroup
			var unsure, failed atomic.Int32
			for range 40 {
				wait.Go(func() {
					err := pool.Deliver(t.Context(), clear, envelope("a@a.test", short, "b@b.test"))[0].Err
					if errors.Is(err, smtp.ErrUnsure) {
						unsure.Add(1)
					} else if err != nil {
						failed.Add(1)
						t.Log(err)
					}
				})
			}
			wait.Wait()
			if int(unsure.Load()) != test.unsure || failed.Load() > 0 {
				t.Errorf("%s: %d in doubt, %d failed", test.greeting, unsure.Load(), failed.Load())
			}
			if n := f.taken.Load(); n < 39 || n > 40 {
				t.Errorf("%d taken", n)
			}
			pool.Close(t.Context())
			synctest.Wait()
		})
	}
}
