package mx_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/miekg/dns"

	"github.com/postrider/postrider/mx"
	"github.com/postrider/postrider/mx/mxtest"
)

func rr(t testing.TB, text string) dns.RR {
	t.Helper()
	r, err := dns.NewRR(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Records that the question does not lead to may come from anybody: they are neither used nor kept.
func TestUnrelatedRecords(t *testing.T) {
	zone := mxtest.MustParse(world)
	zone.Fail(".", mxtest.Fault{Mangle: func(a *dns.Msg) []*dns.Msg {
		for _, text := range []string{
			"evil.test. MX 0 evil.test.",
			"mx1.example.test. A 6.6.6.6", "mx2.example.test. A 6.6.6.6", "evil.test. A 6.6.6.6",
			"evil.test. CNAME mx1.example.test.", "test. NS evil.test.", "example.test. CH TXT x",
		} {
			extra := rr(t, text)
			if name := extra.Header().Name; name == a.Question[0].Name && extra.Header().Rrtype == a.Question[0].Qtype {
				continue // that would be the resolver's own word
			}
			a.Answer = append(a.Answer, extra)
			a.Extra = append(a.Extra, extra)
		}
		return []*dns.Msg{a}
	}})
	router := &mx.Router{Resolver: zone}
	for range 2 {
		got := brief(router.Route(t.Context(), "example.test"))
		want := "10 mx1.example.test [2600::1]:25 9.0.0.1:25 | 20 mx2.example.test [2600::2]:25 9.0.0.2:25 9.0.0.3:25"
		if got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestHostileAnswers(t *testing.T) {
	chain := func(n int) func(a *dns.Msg) *dns.Msg {
		return func(a *dns.Msg) *dns.Msg {
			a.Answer = nil
			for i := range n {
				from, to := fmt.Sprintf("c%d.test.", i), fmt.Sprintf("c%d.test.", i+1)
				if i == 0 {
					from = a.Question[0].Name
				}
				a.Answer = append(a.Answer, rr(t, from+" CNAME "+to))
			}
			a.Answer = append(a.Answer, rr(t, fmt.Sprintf("c%d.test. MX 10 mx1.example.test.", n)))
			return a
		}
	}
	for name, c := range map[string]struct {
		mangle func(a *dns.Msg) *dns.Msg
		want   string
	}{
		"no answer":        {func(a *dns.Msg) *dns.Msg { return nil }, "451 4.4.3 the MX lookup failed: the resolver gave no answer"},
		"a question":       {func(a *dns.Msg) *dns.Msg { a.Response = false; return a }, "451 4.4.3 the MX lookup failed: the answer is to another question"},
		"another question": {func(a *dns.Msg) *dns.Msg { a.Question[0].Name = "evil.test."; return a }, "451 4.4.3 the MX lookup failed: the answer is to another question"},
		"another class":    {func(a *dns.Msg) *dns.Msg { a.Question[0].Qclass = dns.ClassCHAOS; return a }, "451 4.4.3 the MX lookup failed: the answer is to another question"},
		"two questions": {func(a *dns.Msg) *dns.Msg { a.Question = append(a.Question, a.Question...); return a },
			"451 4.4.3 the MX lookup failed: the answer is to another question"},
		"odd code":           {func(a *dns.Msg) *dns.Msg { a.Rcode = 4000; return a }, "451 4.4.3 the MX lookup failed: the resolver answers code 4000"},
		"a chain of 10":      {chain(10), "10 mx1.example.test [2600::1]:25 9.0.0.1:25"},
		"a chain of 11":      {chain(11), "451 4.4.3 the MX lookup failed: the chain of aliases (CNAME) is too long or a loop"},
		"a chain of 1000":    {chain(1000), "451 4.4.3 the MX lookup failed: the chain of aliases (CNAME) is too long or a loop"},
		"alias to itself":    {func(a *dns.Msg) *dns.Msg { a.Answer = []dns.RR{rr(t, "example.test. CNAME example.test.")}; return a }, "451 4.4.3 the MX lookup failed: the chain of aliases (CNAME) is too long or a loop"},
		"a name denied with": {func(a *dns.Msg) *dns.Msg { a.Rcode = dns.RcodeNameError; return a }, "451 4.4.3 the MX lookup failed: the answer contradicts itself: records for a name that does not exist"},
		"a referral": {func(a *dns.Msg) *dns.Msg { a.Answer, a.Ns = nil, []dns.RR{rr(t, "test. NS ns.test.")}; return a },
			"451 4.4.3 the MX lookup failed: the resolver refers to other servers"},
		"negative, with the zone's servers": {func(a *dns.Msg) *dns.Msg {
			a.Answer, a.Ns = nil, []dns.RR{rr(t, "test. NS ns.test."), rr(t, "test. SOA ns.test. h.test. 1 2 3 4 5")}
			return a
		}, "550 5.4.4 the domain has no MX record, and as a host: the host has no address"},
		"another class's record": {func(a *dns.Msg) *dns.Msg { a.Answer = []dns.RR{rr(t, "example.test. CH MX 0 evil.test.")}; return a },
			"550 5.4.4 the domain has no MX record, and as a host: the host has no address"},
	} {
		t.Run(name, func(t *testing.T) {
			zone := mxtest.MustParse(world)
			zone.Fail("example.test", mxtest.Fault{Type: dns.TypeMX, Mangle: func(a *dns.Msg) []*dns.Msg { return []*dns.Msg{c.mangle(a)} }})
			if got := brief((&mx.Router{Resolver: zone}).Route(t.Context(), "example.test")); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// A forwarder may answer with the alias alone; its target is asked for.
func TestAliasAlone(t *testing.T) {
	zone := mxtest.MustParse(world)
	zone.Fail(".", mxtest.Fault{Mangle: func(a *dns.Msg) []*dns.Msg {
		if len(a.Answer) > 1 && a.Answer[0].Header().Rrtype == dns.TypeCNAME {
			a.Answer = a.Answer[:1]
		}
		return []*dns.Msg{a}
	}})
	got := brief((&mx.Router{Resolver: zone}).Route(t.Context(), "hostalias.test"))
	if want := "10 alias.hostalias.test [2600::1]:25 9.0.0.1:25"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// FuzzAnswer lets the resolver answer anything to every question.
func FuzzAnswer(f *testing.F) {
	for _, name := range []string{"example.test.", "alias.test.", "null.test.", "a.hostloop.test.", "rebound.rebound.test."} {
		for _, qtype := range []uint16{dns.TypeMX, dns.TypeA, dns.TypeAAAA} {
			a, err := mxtest.MustParse(world).Exchange(context.Background(), question(name, qtype))
			if err != nil {
				f.Fatal(err)
			}
			packet, err := a.Pack()
			if err != nil {
				f.Fatal(err)
			}
			f.Add(packet, packet)
		}
	}
	f.Fuzz(func(t *testing.T, first, later []byte) {
		var n atomic.Int32
		router := &mx.Router{TrustAD: true, Resolver: resolverFunc(func(_ context.Context, q *dns.Msg) (*dns.Msg, error) {
			packet := later
			if q.Question[0].Qtype == dns.TypeMX {
				packet = first
			}
			if n.Add(1) > 100 {
				t.Error("more than 100 questions")
			}
			a := new(dns.Msg)
			if err := a.Unpack(packet); err != nil {
				return nil, err
			}
			a.Question, a.Response = q.Question, true
			return a, nil
		})}
		route, err := router.Route(t.Context(), "example.test")
		if err != nil {
			var e *mx.Error
			if !errors.As(err, &e) || e.Code < 400 || e.Code > 599 || e.Status == "" || strings.ContainsAny(err.Error(), "\r\n\x00") {
				t.Errorf("%q", err)
			}
			return
		}
		if len(route.Hosts) == 0 || len(route.Hosts) > 20 {
			t.Errorf("%d hosts", len(route.Hosts))
		}
		usable := 0
		for _, h := range route.Hosts {
			if h.Err == nil {
				usable++
			}
			if (h.Err == nil) != (len(h.Addrs) > 0) || len(h.Addrs) > 16 {
				t.Errorf("%s: %d addresses, %v", h.Name, len(h.Addrs), h.Err)
			}
			for _, addr := range h.Addrs {
				if err := mx.Guard(addr.Addr(), nil); err != nil {
					t.Error(err)
				}
			}
		}
		if usable == 0 {
			t.Error("no host is usable, and no error")
		}
	})
}
