package smtp_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/smtp"
	"github.com/postrider/postrider/smtp/smtptest"
)

// lines makes a message of exactly n octets.
func lines(n int) string {
	line := strings.Repeat("x", 78) + "\r\n"
	head := n % len(line)
	if head < 2 {
		head += len(line)
	}
	return strings.Repeat("y", head-2) + "\r\n" + strings.Repeat(line, (n-head)/len(line))
}

// TestInFlight counts the transactions that are on their way at a time: no more than are allowed, by number and by
// octets, and as many as are allowed.
func TestInFlight(t *testing.T) {
	for _, test := range []struct {
		inFlight, octets, want int
	}{
		{0, 100, 10}, {4, 100, 4}, {1, 100, 1}, {-1, 100, 1}, {10, 200 << 10, 2}, {10, 120 << 10, 4},
		{10, 256 << 10, 2}, {10, 300 << 10, 1}, // a large one has the connection's octets for itself
	} {
		t.Run(fmt.Sprint(test.inFlight, " of ", test.octets), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, &smtptest.Server{Delay: map[string]time.Duration{"END": time.Minute}})
				defer w.close(t)
				w.to.Security = smtp.Plaintext
				w.pool.MaxConns, w.pool.InFlight, w.pool.MaxMessages = 1, test.inFlight, 100
				var mu sync.Mutex
				now, most := 0, 0
				w.pool.Trace = &smtp.Trace{
					Command: func(line string) {
						mu.Lock()
						defer mu.Unlock()
						if strings.HasPrefix(line, "MAIL") {
							now++
							most = max(most, now)
						}
					},
					Reply: func(r smtp.Reply) {
						mu.Lock()
						defer mu.Unlock()
						if r.Text == "accepted" {
							now--
						}
					},
				}
				body := lines(test.octets)
				var wait sync.WaitGroup
				for range 30 {
					wait.Go(func() {
						if r := w.pool.Deliver(t.Context(), w.to, envelope("a@b.test", body, "c@b.test"))[0]; r.Err != nil {
							t.Error(r.Err)
						}
					})
				}
				wait.Wait()
				if most != test.want || now != 0 {
					t.Errorf("%d in flight, want %d; %d are left", most, test.want, now)
				}
			})
		})
	}
}

// TestLargest: up to 256 KB a message leaves with its MAIL, one octet more waits for an accepted recipient.
func TestLargest(t *testing.T) {
	for octets, want := range map[int]int64{256 << 10: 1, 256<<10 + 1: 2} {
		for _, known := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, &smtptest.Server{Extensions: []string{"PIPELINING", "CHUNKING"}})
				defer w.close(t)
				w.to.Security = smtp.Plaintext
				w.deliverMany(t, 1)
				before := w.Turns()
				e := envelope("a@b.test", lines(octets), "c@b.test")
				turns := want
				if !known {
					e.Size = -1
				}
				if !known && want > 1 {
					turns = 3 // BDAT needs the size: with DATA, the 354 comes before the message
				}
				if r := w.pool.Deliver(t.Context(), w.to, e)[0]; r.Err != nil || r.Size != int64(octets) {
					t.Errorf("%d octets of %d: %v", r.Size, octets, r.Err)
				}
				// The end of a flight is seen at the next one, which is QUIT.
				if got := w.Turns() - before; got != turns {
					t.Errorf("%d octets, size known %v: %d round trips, want %d", octets, known, got, turns)
				}
			})
		}
	}
}

// TestRolling has a server that takes a piece of the message just within the limit, again and again: the limit is
// that of a piece, not of the message.
func TestRolling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := lines(1 << 20)
		pool := hostile(func(c net.Conn, r *bufio.Reader) {
			io.CopyN(io.Discard, r, head)
			io.WriteString(c, "250 ok\r\n250 ok\r\n")
			line, _ := r.ReadString('\n') // BDAT
			for left := int64(len(body)); left > 0; {
				time.Sleep(2 * time.Minute)
				n, err := io.CopyN(io.Discard, r, min(left, 64<<10))
				if left -= n; err != nil {
					t.Errorf("after %q, %d octets before the end: %v", line, left, err)
					return
				}
			}
			io.WriteString(c, "250 2.0.0 at last\r\n")
			io.Copy(io.Discard, r)
		})
		begin := time.Now()
		got := fates(pool.Deliver(t.Context(), clear, envelope("a@a.test", body, "b@b.test")))
		if got != "b final ok 250 2.0.0 at last\n" {
			t.Error(got)
		}
		if took := time.Since(begin); took != 32*time.Minute {
			t.Errorf("took %v", took)
		}
		pool.Close(t.Context())
		time.Sleep(time.Minute)
	})
}
