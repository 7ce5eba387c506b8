package mx_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/postrider/postrider/mx"
	"github.com/postrider/postrider/mx/mxtest"
)

const cached = `
	$TTL 600
	example.test.     SOA   ns.example.test. hostmaster.example.test. 1 7200 3600 1209600 60
	a.example.test.   300   A     9.0.0.1
	a.example.test.   200   A     9.0.0.2
	long.example.test. 86400 A    9.0.0.3
	never.example.test. 0   A     9.0.0.4
	alias.example.test. 30  CNAME a.example.test.
	high.example.test. 3000000000 A 9.0.0.5
	a.bare.test.      A     9.0.0.6`

func TestCacheLife(t *testing.T) {
	for _, c := range []struct {
		name string
		life time.Duration // zero: not kept
	}{
		{"a.example.test.", 200 * time.Second},
		{"long.example.test.", time.Hour},
		{"never.example.test.", 0},
		{"alias.example.test.", 30 * time.Second},
		{"high.example.test.", 0}, // RFC 2181 s. 8
		{"nobody.example.test.", 60 * time.Second},
		{"example.test.", 60 * time.Second}, // no address
		{"nobody.bare.test.", 0},            // no SOA: RFC 2308 s. 5
	} {
		synctest.Test(t, func(t *testing.T) {
			zone := mxtest.MustParse(cached)
			cache := &mx.Cache{Resolver: zone}
			ask := func() *dns.Msg {
				q := question(c.name, dns.TypeA)
				a, err := cache.Exchange(t.Context(), q)
				if err != nil || a.Id != q.Id || a.Question[0] != q.Question[0] {
					t.Fatal(a, err)
				}
				return a
			}
			first := ask()
			time.Sleep(max(0, c.life-time.Millisecond))
			last := ask()
			want := 1
			if c.life == 0 {
				want = 2
			}
			if asked := len(zone.Asked()); asked != want {
				t.Errorf("%s: asked %d times within its life, want %d", c.name, asked, want)
			}
			time.Sleep(time.Millisecond)
			ask()
			if asked := len(zone.Asked()); asked != want+1 {
				t.Errorf("%s: asked %d times after its life, want %d", c.name, asked, want+1)
			}
			for i := range first.Answer {
				was, is := first.Answer[i].Header().Ttl, last.Answer[i].Header().Ttl
				if passed := was - is; c.life > 0 && passed != uint32((c.life-time.Millisecond)/time.Second) {
					t.Errorf("%s: TTL %d became %d", c.name, was, is)
				}
			}
		})
	}
}

func TestCacheKeepsNoFailure(t *testing.T) {
	zone := mxtest.MustParse(cached)
	cache := &mx.Cache{Resolver: zone}
	broken := errors.New("broken")
	for name, f := range map[string]mxtest.Fault{
		"SERVFAIL":  {Rcode: dns.RcodeServerFailure, Times: 1},
		"REFUSED":   {Rcode: dns.RcodeRefused, Times: 1},
		"truncated": {Truncate: true, Times: 1},
		"forged": {Times: 1, Mangle: func(a *dns.Msg) []*dns.Msg {
			a.Question = question("evil.test.", dns.TypeA).Question
			return []*dns.Msg{a}
		}},
	} {
		zone.Fail("a.example.test", f)
		q := question("a.example.test.", dns.TypeA)
		q.CheckingDisabled = name == "REFUSED" // questions that differ in a bit are kept apart
		q.AuthenticatedData = name == "truncated"
		q.RecursionDesired = name != "forged"
		if name == "SERVFAIL" {
			q.SetEdns0(1232, true)
		}
		cache.Exchange(t.Context(), q)
		for range 2 {
			if got := text(cache.Exchange(t.Context(), q)); got != "NOERROR 9.0.0.1 9.0.0.2" {
				t.Errorf("after %s: %s", name, got)
			}
		}
	}
	q := question("a.example.test.", dns.TypeA)
	q.SetEdns0(1232, false)
	if got := text(cache.Exchange(t.Context(), q)); got != "NOERROR 9.0.0.1 9.0.0.2" {
		t.Errorf("without DO: %s", got)
	}
	if asked := len(zone.Asked()); asked != 9 {
		t.Errorf("asked %d times, want each failure and each success once", asked)
	}
	failing := &mx.Cache{Resolver: resolverFunc(func(context.Context, *dns.Msg) (*dns.Msg, error) { return nil, broken })}
	if _, err := failing.Exchange(t.Context(), question("a.test.", dns.TypeA)); !errors.Is(err, broken) {
		t.Error(err)
	}
}

// What a caller does to an answer must not reach the next one.
func TestCacheAnswersAreCopies(t *testing.T) {
	cache := &mx.Cache{Resolver: mxtest.MustParse(cached)}
	for range 3 {
		a, err := cache.Exchange(t.Context(), question("A.Example.test.", dns.TypeA))
		if got := text(a, err); got != "NOERROR 9.0.0.1 9.0.0.2" || a.Question[0].Name != "A.Example.test." {
			t.Fatal(got, a.Question)
		}
		a.Answer[0].(*dns.A).A[3] = 66
		a.Answer = a.Answer[:1]
	}
}

func TestCacheAsksOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		zone := mxtest.MustParse(cached)
		zone.Fail(".", mxtest.Fault{Delay: time.Second})
		cache := &mx.Cache{Resolver: zone}
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if got := text(cache.Exchange(t.Context(), question("never.example.test.", dns.TypeA))); got != "NOERROR 9.0.0.4" {
					t.Error(got)
				}
			})
		}
		wg.Wait()
		if asked := len(zone.Asked()); asked != 1 {
			t.Errorf("50 callers asked %d times", asked)
		}
	})
}

// A resolver that panics takes down whoever asked, not those who wait for him.
func TestCacheSurvivesPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		cache := &mx.Cache{Resolver: resolverFunc(func(_ context.Context, q *dns.Msg) (*dns.Msg, error) {
			if calls++; calls == 1 {
				time.Sleep(time.Second)
				panic("broken resolver")
			}
			return benchAnswer(q), nil
		})}
		go func() {
			defer func() { recover() }()
			cache.Exchange(t.Context(), question("a.test.", dns.TypeA))
		}()
		synctest.Wait()
		if got := text(cache.Exchange(t.Context(), question("a.test.", dns.TypeA))); got != "NOERROR 9.0.0.1" {
			t.Error(got)
		}
	})
}

// Whoever sends mail to a million names must not fill the memory.
func TestCacheIsBounded(t *testing.T) {
	heap := func() int {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	const size = 1 << 20
	asked := 0
	cache := &mx.Cache{Size: size, Resolver: resolverFunc(func(_ context.Context, q *dns.Msg) (*dns.Msg, error) {
		asked++
		return benchAnswer(q), nil
	})}
	before := heap()
	for i := range 12_000 {
		if _, err := cache.Exchange(t.Context(), question(fmt.Sprintf("d%d.test.", i), dns.TypeMX)); err != nil {
			t.Fatal(err)
		}
	}
	if grown := heap() - before; grown > 2*size {
		t.Errorf("the heap grew by %d octets for a Size of %d", grown, size)
	}
	was := asked
	known := 0
	for i := range 12_000 {
		cache.Exchange(t.Context(), question(fmt.Sprintf("d%d.test.", 11_999-i), dns.TypeMX))
		if asked == was {
			known++
		}
		was = asked
	}
	if known < 1000 {
		t.Errorf("only %d answers were kept", known)
	}
}
