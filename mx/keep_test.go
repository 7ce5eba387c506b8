package mx_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/postrider/postrider/mx"
	"github.com/postrider/postrider/mx/mxtest"
)

// How long a router keeps what it has learned; a question that comes again is asked again after that.
func TestRouterKeepsAnswers(t *testing.T) {
	for _, c := range []struct {
		name, zone string
		fault      mxtest.Fault
		question   string
		life       time.Duration
	}{
		{"MX", "a.test. 60 MX 10 h.test.\nh.test. 3600 A 9.0.0.1", mxtest.Fault{}, "a.test. MX", time.Minute},
		{"the shortest MX", "a.test. 600 MX 10 h.test.\na.test. 60 MX 20 h.test.\nh.test. 3600 A 9.0.0.1", mxtest.Fault{}, "a.test. MX", time.Minute},
		{"an alias", "a.test. 60 CNAME b.test.\nb.test. 3600 MX 10 h.test.\nh.test. 3600 A 9.0.0.1", mxtest.Fault{}, "a.test. MX", time.Minute},
		{"addresses", "a.test. 3600 MX 10 h.test.\nh.test. 120 A 9.0.0.1\nh.test. 90 AAAA 2600::1", mxtest.Fault{}, "h.test. A", 90 * time.Second},
		{"a day", "a.test. 86400 MX 10 h.test.\nh.test. 86400 A 9.0.0.1\nh.test. 86400 AAAA 2600::1", mxtest.Fault{}, "a.test. MX", time.Hour},
		{"a name that does not exist", "test. 3600 SOA n.test. h.test. 1 2 3 4 60", mxtest.Fault{}, "a.test. MX", time.Minute},
		{"a day of that", "test. 86400 SOA n.test. h.test. 1 2 3 4 86400", mxtest.Fault{}, "a.test. MX", 5 * time.Minute},
		{"that without SOA", "b.test. A 9.0.0.1", mxtest.Fault{}, "a.test. MX", 10 * time.Second},
		{"no MX", "test. 3600 SOA n.test. h.test. 1 2 3 4 60\na.test. 3600 A 9.0.0.1", mxtest.Fault{}, "a.test. MX", time.Minute},
		{"half an answer", "a.test. 3600 MX 10 h.test.\nh.test. 3600 A 9.0.0.1", mxtest.Fault{Type: dns.TypeAAAA, Rcode: dns.RcodeServerFailure}, "h.test. A", 10 * time.Second},
		{"a failure", "a.test. 3600 MX 10 h.test.", mxtest.Fault{Type: dns.TypeMX, Rcode: dns.RcodeServerFailure}, "a.test. MX", 0},
		{"TTL 0", "a.test. 0 MX 10 h.test.\nh.test. A 9.0.0.1", mxtest.Fault{}, "a.test. MX", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				zone := mxtest.MustParse(c.zone)
				zone.Fail(".", c.fault)
				router := &mx.Router{Resolver: zone}
				asked := func() (n int) {
					router.Route(t.Context(), "a.test")
					for _, q := range zone.Asked() {
						if q == c.question {
							n++
						}
					}
					return n
				}
				first := asked()
				time.Sleep(max(0, c.life-time.Millisecond))
				if within := asked(); within != first && c.life > 0 {
					t.Errorf("asked again within %v", c.life)
				}
				before := asked()
				time.Sleep(time.Millisecond)
				if after := asked(); after != before+1 {
					t.Errorf("asked %d times more after %v", after-before, c.life)
				}
			})
		})
	}
}

// All that can be asked at the same time is.
func TestQuestionsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		zone := mxtest.MustParse(world)
		zone.Fail(".", mxtest.Fault{Delay: time.Second})
		start := time.Now()
		if _, err := (&mx.Router{Resolver: zone}).Route(t.Context(), "example.test"); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("MX, A and AAAA of two hosts took %v at a second each, want two seconds", took)
		}
	})
}

func TestAddressesAreBounded(t *testing.T) {
	var zone strings.Builder
	zone.WriteString("a.test. MX 10 h.test.\n")
	for i := range 30 {
		fmt.Fprintf(&zone, "h.test. A 9.0.0.%d\nh.test. AAAA 2600::%d\n", i, i)
	}
	route, err := (&mx.Router{Resolver: mxtest.MustParse(zone.String())}).Route(t.Context(), "a.test")
	if err != nil {
		t.Fatal(err)
	}
	addrs := route.Hosts[0].Addrs
	if len(addrs) != 16 || addrs[0].String() != "[2600::]:25" || addrs[1].String() != "9.0.0.0:25" || addrs[15].String() != "9.0.0.7:25" {
		t.Errorf("%d addresses: %v", len(addrs), addrs)
	}
}

// A host is authentic only where both families are; a domain only where each step to its records is.
func TestAuthenticIsTheWhole(t *testing.T) {
	for _, unsigned := range []uint16{0, dns.TypeA, dns.TypeAAAA} {
		zone := mxtest.MustParse(world)
		zone.Authenticate("test")
		zone.Fail(".", mxtest.Fault{Type: unsigned, Mangle: func(a *dns.Msg) []*dns.Msg {
			a.AuthenticatedData = a.AuthenticatedData && unsigned == 0
			return []*dns.Msg{a}
		}})
		route, err := (&mx.Router{Resolver: zone, TrustAD: true}).Route(t.Context(), "example.test")
		if err != nil {
			t.Fatal(err)
		}
		if want := unsigned == 0; route.Hosts[0].Authentic != want {
			t.Errorf("%d unsigned: host authentic %v", unsigned, route.Hosts[0].Authentic)
		}
	}
	zone := mxtest.MustParse(world)
	zone.Authenticate("test")
	zone.Fail("alias.test", mxtest.Fault{Mangle: func(a *dns.Msg) []*dns.Msg {
		a.Answer, a.AuthenticatedData = a.Answer[:1], false // the alias alone, and unsigned
		return []*dns.Msg{a}
	}})
	route, err := (&mx.Router{Resolver: zone, TrustAD: true}).Route(t.Context(), "alias.test")
	if err != nil || route.Authentic {
		t.Errorf("an unsigned alias to a signed domain: authentic, %v", err)
	}
}

func TestIdleSockets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		zone := mxtest.MustParse("a.test. A 9.0.0.1")
		zone.Fail(".", mxtest.Fault{Delay: time.Millisecond})
		opened := 0
		inner := pipes(map[string]*mxtest.Zone{"9.9.9.9:53": zone})
		var mu sync.Mutex
		d := &mx.DNS{Servers: []string{"9.9.9.9"}, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			mu.Lock()
			defer mu.Unlock()
			opened++
			return inner(ctx, network, address)
		}}
		ask := func(n, want int, when string) {
			t.Helper()
			opened = 0
			var wg sync.WaitGroup
			for range n {
				wg.Go(func() {
					if got := text(d.Exchange(t.Context(), question("a.test.", dns.TypeA))); got != "NOERROR 9.0.0.1" {
						t.Error(got)
					}
				})
			}
			wg.Wait()
			if opened != want {
				t.Errorf("%s: %d sockets opened, want %d", when, opened, want)
			}
		}
		ask(20, 20, "at first")
		ask(20, 4, "with 16 idle")
		time.Sleep(9 * time.Second)
		ask(1, 0, "after 9 seconds")
		time.Sleep(11 * time.Second)
		ask(1, 1, "after 11 seconds more")
		d.CloseIdle()
		ask(1, 1, "after CloseIdle")
		d.CloseIdle()
	})
}

// A slow answer is waited for, not asked for again.
func TestSlowAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		zone := mxtest.MustParse("a.test. A 9.0.0.1")
		zone.Fail(".", mxtest.Fault{Delay: 4 * time.Second})
		d := &mx.DNS{Servers: []string{"9.9.9.9"}, Dial: pipes(map[string]*mxtest.Zone{"9.9.9.9:53": zone})}
		defer d.CloseIdle()
		start := time.Now()
		got := text(d.Exchange(t.Context(), question("a.test.", dns.TypeA)))
		if took := time.Since(start); got != "NOERROR 9.0.0.1" || took != 4*time.Second || len(zone.Asked()) != 1 {
			t.Errorf("%s after %v and %d questions", got, took, len(zone.Asked()))
		}
	})
}

// Ids must not be guessed: they are spread over their whole range.
func TestIDsAreRandom(t *testing.T) {
	seen := make(map[uint16]bool)
	high := 0
	zone := mxtest.MustParse("a.test. A 9.0.0.1")
	zone.Fail(".", mxtest.Fault{Mangle: func(a *dns.Msg) []*dns.Msg {
		seen[a.Id] = true
		if a.Id >= 1<<15 {
			high++
		}
		return []*dns.Msg{a}
	}})
	d := &mx.DNS{Servers: []string{listen(t, zone).Addr}}
	q := question("a.test.", dns.TypeA) // with one id for all
	for range 200 {
		if a, err := d.Exchange(t.Context(), q); err != nil || a.Id != q.Id {
			t.Fatal(a, err)
		}
	}
	zone.Heal() // with the zone's lock, under which Mangle runs
	if len(seen) < 190 || high < 50 || high > 150 {
		t.Errorf("%d different ids of 200, %d in the upper half", len(seen), high)
	}
}
