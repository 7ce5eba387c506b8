package smtp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func addrs(list ...string) []netip.AddrPort {
	var all []netip.AddrPort
	for _, a := range list {
		all = append(all, netip.AddrPortFrom(netip.MustParseAddr(a), 25))
	}
	return all
}

// race is a network in which each address takes its time and then connects or fails.
type race struct {
	after map[string]time.Duration // negative: fails after so long
	begin time.Time

	mu     sync.Mutex
	dialed []string
	open   []*racer
}

type racer struct {
	net.Conn
	closed bool
}

func (r *racer) Close() error {
	r.closed = true
	return nil
}

func (r *race) dial(ctx context.Context, network, address string) (net.Conn, error) {
	r.mu.Lock()
	r.dialed = append(r.dialed, fmt.Sprint(address, "@", time.Since(r.begin)))
	r.mu.Unlock()
	host, _, _ := net.SplitHostPort(address)
	d, ok := r.after[host]
	if !ok {
		<-ctx.Done() // black hole
		return nil, ctx.Err()
	}
	<-time.After(max(d, -d)) // does not look at ctx: the worst dial function
	if d < 0 {
		return nil, errors.New(host + " refused")
	}
	c := new(racer)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open = append(r.open, c)
	return c, nil
}

func TestHappyEyeballs(t *testing.T) {
	const ms = time.Millisecond
	four := []string{"2001:db8::1", "2001:db8::2", "192.0.2.1", "192.0.2.2"}
	for _, test := range []struct {
		name   string
		addrs  []string
		after  map[string]time.Duration
		dialed string
		winner string
		took   time.Duration
		left   int // connections that come too late
	}{
		{"first answers", four, map[string]time.Duration{"2001:db8::1": 100 * ms},
			"[2001:db8::1]:25@0s", "2001:db8::1", 100 * ms, 0},
		{"families take turns", four, map[string]time.Duration{"192.0.2.1": 10 * ms},
			"[2001:db8::1]:25@0s 192.0.2.1:25@250ms", "192.0.2.1", 260 * ms, 0},
		{"failure starts the next at once", four, map[string]time.Duration{"2001:db8::1": -5 * ms, "192.0.2.1": -5 * ms, "2001:db8::2": 5 * ms},
			"[2001:db8::1]:25@0s 192.0.2.1:25@5ms [2001:db8::2]:25@10ms", "2001:db8::2", 15 * ms, 0},
		{"the slow one may still win", four, map[string]time.Duration{"2001:db8::1": 300 * ms, "192.0.2.1": 100 * ms},
			"[2001:db8::1]:25@0s 192.0.2.1:25@250ms", "2001:db8::1", 300 * ms, 1},
		{"all fail", four[2:], map[string]time.Duration{"192.0.2.1": -1 * ms, "192.0.2.2": -400 * ms},
			"192.0.2.1:25@0s 192.0.2.2:25@1ms", "", 401 * ms, 0},
		{"four first", []string{"192.0.2.1", "2001:db8::1", "192.0.2.2"}, map[string]time.Duration{"192.0.2.2": 0},
			"192.0.2.1:25@0s [2001:db8::1]:25@250ms 192.0.2.2:25@500ms", "192.0.2.2", 500 * ms, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &race{after: test.after, begin: time.Now()}
				c, addr, err := dialAddrs(t.Context(), r.dial, "tcp", addrs(test.addrs...))
				took := time.Since(r.begin)
				if (c != nil) != (test.winner != "") || (err == nil) != (test.winner != "") {
					t.Fatalf("%v, %v", c, err)
				}
				if test.winner != "" && addr.Addr() != netip.MustParseAddr(test.winner) {
					t.Errorf("winner %v, want %s", addr, test.winner)
				}
				if took != test.took {
					t.Errorf("took %v, want %v", took, test.took)
				}
				<-time.After(time.Second)
				synctest.Wait()
				if got := strings.Join(r.dialed, " "); got != test.dialed {
					t.Errorf("dialed %s\nwant %s", got, test.dialed)
				}
				closed := 0
				for _, o := range r.open {
					if o.closed {
						closed++
					}
				}
				if closed != test.left || c != nil && c.(*racer).closed {
					t.Errorf("%d late connections closed, want %d", closed, test.left)
				}
				if err != nil && err.Error() != "192.0.2.1 refused; 192.0.2.2 refused" {
					t.Errorf("error %q must name every failure", err)
				}
			})
		})
	}
}

func TestHappyEyeballsEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		r := &race{after: map[string]time.Duration{"192.0.2.1": time.Hour}, begin: time.Now()}
		_, _, err := dialAddrs(ctx, r.dial, "tcp", addrs("192.0.2.1", "192.0.2.2"))
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(r.begin) != time.Second {
			t.Errorf("%v after %v", err, time.Since(r.begin))
		}
		<-time.After(2 * time.Hour)
		synctest.Wait()
		if len(r.open) != 1 || !r.open[0].closed {
			t.Error("the connection that came after the end was not closed")
		}
	})
	if _, _, err := dialAddrs(t.Context(), nil, "tcp", nil); err == nil {
		t.Error("no address, no error")
	}
}

func TestInterleave(t *testing.T) {
	var many []string
	for i := range 100 {
		many = append(many, fmt.Sprintf("192.0.2.%d", i))
	}
	got := interleave(addrs(append(many, "2001:db8::1")...))
	if len(got) != maxAddrs || got[1] != addrs("2001:db8::1")[0] || got[2] != addrs("192.0.2.1")[0] {
		t.Errorf("%v", got)
	}
	in := addrs("2001:db8::1", "::ffff:192.0.2.1", "2001:db8::2")
	if got := interleave(in); !slices.Equal(got, in) {
		t.Errorf("%v", got)
	}
}
