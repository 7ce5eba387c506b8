package mx_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/miekg/dns"

	"github.com/postrider/postrider/mx"
	"github.com/postrider/postrider/mx/mxtest"
)

// brief writes a route as its hosts in order: "10 mx1.example.test 9.0.0.1:25 | ...".
func brief(route *mx.Route, err error) string {
	if err != nil {
		var e *mx.Error
		if !errors.As(err, &e) {
			return "not an *mx.Error: " + err.Error()
		}
		return fmt.Sprintf("%d %s %v", e.Code, e.Status, e.Err)
	}
	var words []string
	for _, h := range route.Hosts {
		word := fmt.Sprintf("%d %s", h.Preference, h.Name)
		for _, addr := range h.Addrs {
			word += " " + addr.String()
		}
		if h.Err != nil {
			word += " " + h.Err.Error()
		}
		words = append(words, word)
	}
	return strings.Join(words, " | ")
}

const world = `
	example.test.           MX   20 mx2.example.test.
	example.test.           MX   10 mx1.example.test.
	mx1.example.test.       A    9.0.0.1
	mx1.example.test.       AAAA 2600::1
	mx2.example.test.       A    9.0.0.2
	mx2.example.test.       A    9.0.0.3
	mx2.example.test.       AAAA 2600::2
	only6.example.test.     AAAA 2600::6

	null.test.              MX   0 .
	null.test.              A    9.0.0.1
	mixednull.test.         MX   0 .
	mixednull.test.         MX   5 mx1.example.test.
	nomx.test.              A    9.0.0.4
	nomx.test.              AAAA 2600::4
	nothing.test.           TXT  "neither MX nor address"
	gone.test.              MX   10 gone.example.test.
	gone.test.              MX   20 nothing.test.
	partly.test.            MX   10 gone.example.test.
	partly.test.            MX   20 mx1.example.test.
	twice.test.             MX   20 mx1.example.test.
	twice.test.             MX   10 MX1.Example.test.

	alias.test.             CNAME example.test.
	aliasnomx.test.         CNAME nomx.test.
	aliasgone.test.         CNAME nobody.test.
	aliasloop.test.         CNAME aliasloop2.test.
	aliasloop2.test.        CNAME aliasloop.test.
	hostalias.test.         MX   10 alias.hostalias.test.
	alias.hostalias.test.   CNAME mx1.example.test.
	hostloop.test.          MX   10 a.hostloop.test.
	hostloop.test.          MX   20 mx1.example.test.
	a.hostloop.test.        CNAME b.hostloop.test.
	b.hostloop.test.        CNAME a.hostloop.test.

	xn--mnchen-3ya.test.    MX   10 mx1.example.test.
	literal.test.           MX   10 9.0.0.1.
	odd.test.               MX   10 a\032b.example.test.
	odd.test.               MX   20 under_score.example.test.
	under_score.example.test. A  9.0.0.5

	inside.test.            MX   10 inside.inside.test.
	inside.inside.test.     A    10.0.0.1
	rebound.test.           MX   10 rebound.rebound.test.
	rebound.rebound.test.   CNAME localhost.rebound.test.
	localhost.rebound.test. A    127.0.0.1
	localhost.rebound.test. AAAA ::1
	localhost.rebound.test. AAAA ::ffff:127.0.0.1
	half.test.              MX   10 half.half.test.
	half.half.test.         A    192.168.0.1
	half.half.test.         A    9.0.0.7
	half.half.test.         AAAA 64:ff9b::10.0.0.1
	insidenomx.test.        A    169.254.169.254
`

func TestRoute(t *testing.T) {
	zone := mxtest.MustParse(world)
	zone.Fail("servfail.test", mxtest.Fault{Rcode: dns.RcodeServerFailure})
	zone.Fail("refused.test", mxtest.Fault{Rcode: dns.RcodeRefused})
	zone.Fail("cut.test", mxtest.Fault{Truncate: true})
	long := strings.Repeat("a", 64)
	for domain, want := range map[string]string{
		"example.test":    "10 mx1.example.test [2600::1]:25 9.0.0.1:25 | 20 mx2.example.test [2600::2]:25 9.0.0.2:25 9.0.0.3:25",
		"Example.TEST.":   "10 mx1.example.test [2600::1]:25 9.0.0.1:25 | 20 mx2.example.test [2600::2]:25 9.0.0.2:25 9.0.0.3:25",
		"null.test":       "556 5.1.10 the domain takes no mail (null MX)",
		"mixednull.test":  "5 mx1.example.test [2600::1]:25 9.0.0.1:25",
		"nomx.test":       "0 nomx.test [2600::4]:25 9.0.0.4:25",
		"nothing.test":    "550 5.4.4 the domain has no MX record, and as a host: the host has no address",
		"nobody.test":     "550 5.1.2 the domain does not exist",
		"gone.test":       "550 5.4.4 no host can be used: gone.example.test: the host does not exist (5.4.4); nothing.test: the host has no address (5.4.4)",
		"partly.test":     "10 gone.example.test gone.example.test: the host does not exist (5.4.4) | 20 mx1.example.test [2600::1]:25 9.0.0.1:25",
		"twice.test":      "10 mx1.example.test [2600::1]:25 9.0.0.1:25",
		"servfail.test":   "451 4.4.3 the MX lookup failed: the resolver answers SERVFAIL",
		"refused.test":    "451 4.4.3 the MX lookup failed: the resolver answers REFUSED",
		"cut.test":        "451 4.4.3 the MX lookup failed: the answer is truncated",
		"alias.test":      "10 mx1.example.test [2600::1]:25 9.0.0.1:25 | 20 mx2.example.test [2600::2]:25 9.0.0.2:25 9.0.0.3:25",
		"aliasnomx.test":  "0 aliasnomx.test [2600::4]:25 9.0.0.4:25",
		"aliasgone.test":  "550 5.1.2 the domain does not exist",
		"aliasloop.test":  "451 4.4.3 the MX lookup failed: the chain of aliases (CNAME) is too long or a loop",
		"hostalias.test":  "10 alias.hostalias.test [2600::1]:25 9.0.0.1:25",
		"hostloop.test":   "10 a.hostloop.test a.hostloop.test: the address lookup failed: the chain of aliases (CNAME) is too long or a loop (4.4.3) | 20 mx1.example.test [2600::1]:25 9.0.0.1:25",
		"münchen.test":    "10 mx1.example.test [2600::1]:25 9.0.0.1:25",
		"MÜNCHEN。test":    "10 mx1.example.test [2600::1]:25 9.0.0.1:25",
		"literal.test":    "550 5.4.4 no host can be used: 9.0.0.1: the host does not exist (5.4.4)",
		"odd.test":        `10 a\032b.example.test a\032b.example.test: the name has a character that is no letter, digit or hyphen (5.4.4) | 20 under_score.example.test 9.0.0.5:25`,
		"inside.test":     "550 5.4.4 no host can be used: inside.inside.test: the address 10.0.0.1 is refused: it is private, not on the public Internet (5.4.4)",
		"insidenomx.test": "550 5.4.4 the domain has no MX record, and as a host: the address 169.254.169.254 is refused: it is link-local, not on the public Internet",
		"rebound.test":    "550 5.4.4 no host can be used: rebound.rebound.test: the address 127.0.0.1 is refused: it is loopback, not on the public Internet (5.4.4)",
		"half.test":       "10 half.half.test 9.0.0.7:25",

		"[9.0.0.9]":                         "0 [9.0.0.9] 9.0.0.9:25",
		"[IPv6:2600::9]":                    "0 [2600::9] [2600::9]:25",
		"[ipv6:2600::9]":                    "0 [2600::9] [2600::9]:25",
		"[127.0.0.1]":                       "550 5.4.4 the address 127.0.0.1 is refused: it is loopback, not on the public Internet",
		"[IPv6:::ffff:127.0.0.1]":           "550 5.4.4 the address ::ffff:127.0.0.1 is refused: it is loopback, not on the public Internet",
		"[2600::9]":                         "550 5.1.2 the address literal is neither [IPv4] nor [IPv6:address]",
		"[9.0.0.9":                          "550 5.1.2 the address literal has no closing bracket",
		"[IPv6:fe80::1%eth0]":               "550 5.1.2 the address literal is neither [IPv4] nor [IPv6:address]",
		"[tag:anything]":                    "550 5.1.2 the address literal is neither [IPv4] nor [IPv6:address]",
		"9.0.0.9":                           "550 5.1.2 an address in place of a domain is written in brackets",
		"":                                  "550 5.1.2 the name is empty",
		".":                                 "550 5.1.2 the name is empty",
		"a..test":                           "550 5.1.2 the name has an empty label",
		"ä..test":                           "550 5.1.2 the name has an empty label",
		long + ".test":                      "550 5.1.2 the name has a label longer than 63 octets",
		strings.Repeat("a.", 127) + "a":     "550 5.1.2 the name is longer than 253 octets",
		strings.Repeat("a.", 125) + "test":  "550 5.1.2 the name is longer than 253 octets",
		strings.Repeat("a.", 124) + "b.tes": "550 5.1.2 the domain does not exist",
		"-a.test":                           "550 5.1.2 the name has a label with a hyphen at its end",
		"a b.test":                          "550 5.1.2 the name has a character that is no letter, digit or hyphen",
		"a\x00.test":                        "550 5.1.2 the name has a character that is no letter, digit or hyphen",
		"a\r\nb.test":                       "550 5.1.2 the name has a character that is no letter, digit or hyphen",
	} {
		t.Run(domain, func(t *testing.T) {
			router := &mx.Router{Resolver: zone}
			if got := brief(router.Route(t.Context(), domain)); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			if got := brief(router.Route(t.Context(), domain)); got != want {
				t.Errorf("from memory: %s", got)
			}
		})
	}
	_, err := (&mx.Router{Resolver: zone}).Route(t.Context(), "a\r\n\x00\xff\u202eb"+strings.Repeat("c", 1000))
	if text := err.Error(); strings.ContainsAny(text, "\r\n\x00\u202e") || !utf8.ValidString(text) || len(text) > 400 {
		t.Errorf("%q", text)
	}
	for _, domain := range []string{"\xff0", "xn--a.test", "xn--\u00e4.test", "a\u200d.test", "\u0301a.test"} {
		if got := brief((&mx.Router{Resolver: zone}).Route(t.Context(), domain)); !strings.HasPrefix(got, "550 5.1.2 the domain is not a valid international name") {
			t.Errorf("%q: %s", domain, got)
		}
	}
}

func TestRouteByConfiguration(t *testing.T) {
	zone := mxtest.MustParse(world)
	for _, c := range []struct {
		name, domain string
		router       *mx.Router
		want         string
	}{
		{"port", "partly.test", &mx.Router{Port: 2525}, "10 gone.example.test gone.example.test: the host does not exist (5.4.4) | 20 mx1.example.test [2600::1]:2525 9.0.0.1:2525"},
		{"ip4", "nomx.test", &mx.Router{Network: "ip4"}, "0 nomx.test 9.0.0.4:25"},
		{"ip6", "nomx.test", &mx.Router{Network: "ip6"}, "0 nomx.test [2600::4]:25"},
		{"ip", "nomx.test", &mx.Router{Network: "ip"}, "0 nomx.test [2600::4]:25 9.0.0.4:25"},
		{"wrong network", "nomx.test", &mx.Router{Network: "tcp"}, `451 4.3.5 mx: Router.Network is "tcp", not ip, ip4 or ip6`},
		{"no such family", "only6.example.test", &mx.Router{Network: "ip4"}, "550 5.4.4 the domain has no MX record, and as a host: the host has no IPv4 address"},
		{"literal of the other family", "[IPv6:2600::9]", &mx.Router{Network: "ip4"}, "550 5.4.4 the address is refused: only IPv4 is used"},
		{"allow private", "inside.test", &mx.Router{Allow: prefixes("10.0.0.0/8")}, "10 inside.inside.test 10.0.0.1:25"},
		{"allow loopback", "rebound.test", &mx.Router{Allow: prefixes("127.0.0.0/8")}, "10 rebound.rebound.test [::ffff:127.0.0.1]:25 127.0.0.1:25"},
		{"allow another", "inside.test", &mx.Router{Allow: prefixes("10.1.0.0/16")}, "550 5.4.4 no host can be used: inside.inside.test: the address 10.0.0.1 is refused: it is private, not on the public Internet (5.4.4)"},
		{"allow a literal", "[127.0.0.1]", &mx.Router{Allow: prefixes("127.0.0.1/32"), Port: 2525}, "0 [127.0.0.1] 127.0.0.1:2525"},
		{"behind this host", "example.test", &mx.Router{Self: []string{"MX2.example.test."}}, "10 mx1.example.test [2600::1]:25 9.0.0.1:25"},
		{"this host is best", "example.test", &mx.Router{Self: []string{"mx1.example.test"}}, "554 5.4.6 mail loops: this host, mx1.example.test, is the domain's best MX"},
		{"this host is the domain", "nomx.test", &mx.Router{Self: []string{"nomx.test"}}, "554 5.4.6 mail loops: the domain is this host itself"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.router.Resolver = zone
			if got := brief(c.router.Route(t.Context(), c.domain)); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func prefixes(texts ...string) (list []netip.Prefix) {
	for _, text := range texts {
		list = append(list, netip.MustParsePrefix(text))
	}
	return list
}

// A host that looks no better than this one may be this one's backup: all of its preference go.
func TestSelfCutsEquals(t *testing.T) {
	zone := mxtest.MustParse(`
		a.test. MX 5 best.a.test.
		a.test. MX 10 self.a.test.
		a.test. MX 10 equal.a.test.
		a.test. MX 20 worse.a.test.
		best.a.test. A 9.0.0.1
		self.a.test. A 9.0.0.2
		equal.a.test. A 9.0.0.3
		worse.a.test. A 9.0.0.4`)
	for range 20 { // the order among equals is by chance
		router := &mx.Router{Resolver: zone, Self: []string{"self.a.test"}}
		route, err := router.Route(t.Context(), "a.test")
		if got, want := brief(route, err), "5 best.a.test 9.0.0.1:25"; got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
		if len(route.Notes) != 1 || !strings.Contains(route.Notes[0], "3 hosts of preference 10 and worse are left out") {
			t.Fatalf("notes: %q", route.Notes)
		}
	}
}

func TestEqualsAreShuffled(t *testing.T) {
	router := &mx.Router{Resolver: mxtest.MustParse(`
		a.test. MX 10 x.a.test.
		a.test. MX 10 y.a.test.
		a.test. MX 10 z.a.test.
		a.test. MX 5  first.a.test.
		*.a.test. A 9.0.0.1`)}
	first := make(map[string]int)
	for range 600 {
		route, err := router.Route(t.Context(), "a.test")
		if err != nil || len(route.Hosts) != 4 || route.Hosts[0].Name != "first.a.test" {
			t.Fatal(brief(route, err))
		}
		first[route.Hosts[1].Name]++
	}
	for _, name := range []string{"x.a.test", "y.a.test", "z.a.test"} {
		if first[name] < 100 { // 200 expected; 100 is nine standard deviations away
			t.Errorf("%s came first %d times of 600: %v", name, first[name], first)
		}
	}
}

func TestHostsAreBounded(t *testing.T) {
	text := "*.a.test. A 9.0.0.1\n"
	for i := range 300 {
		text += fmt.Sprintf("a.test. MX %d mx%d.a.test.\n", i, i)
	}
	zone := mxtest.MustParse(text)
	route, err := (&mx.Router{Resolver: zone}).Route(t.Context(), "a.test")
	if err != nil || len(route.Hosts) != 20 || route.Hosts[0].Name != "mx0.a.test" || route.Hosts[19].Name != "mx19.a.test" {
		t.Fatal(brief(route, err))
	}
	if asked := len(zone.Asked()); asked != 41 {
		t.Errorf("%d questions, want 41", asked)
	}
}

func TestAuthentic(t *testing.T) {
	zone := mxtest.MustParse(world)
	zone.Authenticate("example.test", "hostalias.test")
	for _, c := range []struct {
		router             *mx.Router
		domain             string
		route, host        bool
		canonical, hostsAt string
	}{
		{&mx.Router{Resolver: zone, TrustAD: true}, "example.test", true, true, "example.test", "mx1.example.test"},
		{&mx.Router{Resolver: zone, TrustAD: true}, "twice.test", false, true, "twice.test", "mx1.example.test"},
		{&mx.Router{Resolver: zone, TrustAD: true}, "hostalias.test", true, true, "hostalias.test", "mx1.example.test"},
		{&mx.Router{Resolver: zone, TrustAD: true}, "alias.test", false, true, "example.test", "mx1.example.test"},
		{&mx.Router{Resolver: zone}, "example.test", false, false, "example.test", "mx1.example.test"},
	} {
		route, err := c.router.Route(t.Context(), c.domain)
		if err != nil {
			t.Fatal(err)
		}
		host := route.Hosts[0]
		if route.Authentic != c.route || host.Authentic != c.host || route.Canonical != c.canonical || host.Canonical != c.hostsAt {
			t.Errorf("%s: route %v (%s), host %v (%s)", c.domain, route.Authentic, route.Canonical, host.Authentic, host.Canonical)
		}
	}
}

// A family that fails does not stop the other; where nothing else is known, nothing is said for good.
func TestHalfAnAnswer(t *testing.T) {
	for _, c := range []struct {
		fault mxtest.Fault
		want  string
	}{
		{mxtest.Fault{Type: dns.TypeAAAA, Rcode: dns.RcodeServerFailure}, "0 nomx.test 9.0.0.4:25"},
		{mxtest.Fault{Type: dns.TypeA, Rcode: dns.RcodeServerFailure}, "0 nomx.test [2600::4]:25"},
		{mxtest.Fault{Type: dns.TypeMX, Rcode: dns.RcodeServerFailure}, "451 4.4.3 the MX lookup failed: the resolver answers SERVFAIL"},
	} {
		zone := mxtest.MustParse(world)
		zone.Fail("nomx.test", c.fault)
		if got := brief((&mx.Router{Resolver: zone}).Route(t.Context(), "nomx.test")); got != c.want {
			t.Errorf("%s fails: got %s, want %s", dns.TypeToString[c.fault.Type], got, c.want)
		}
	}
	zone := mxtest.MustParse(world)
	zone.Fail("only6.example.test", mxtest.Fault{Type: dns.TypeAAAA, Rcode: dns.RcodeServerFailure})
	got := brief((&mx.Router{Resolver: zone}).Route(t.Context(), "only6.example.test"))
	if want := "451 4.4.3 the domain has no MX record, and as a host: the address lookup failed: the resolver answers SERVFAIL"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		zone := mxtest.MustParse(world)
		zone.Fail("dead.test", mxtest.Fault{Drop: true})
		router := &mx.Router{Resolver: zone}

		start := time.Now()
		got := brief(router.Route(t.Context(), "dead.test"))
		if want := "451 4.4.3 the MX lookup failed: context deadline exceeded"; got != want || time.Since(start) != 30*time.Second {
			t.Errorf("a silent resolver: %s after %v", got, time.Since(start))
		}

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start = time.Now()
		if _, err := router.Route(ctx, "dead.test"); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("the caller's deadline: %v after %v", err, time.Since(start))
		}

		for _, c := range []struct {
			wait time.Duration
			asks int
		}{{0, 5}, {59 * time.Minute, 0}, {2 * time.Minute, 5}} {
			time.Sleep(c.wait)
			before := len(zone.Asked())
			if _, err := router.Route(t.Context(), "example.test"); err != nil {
				t.Fatal(err)
			}
			if asked := len(zone.Asked()) - before; asked != c.asks {
				t.Errorf("after %v: %d questions, want %d", c.wait, asked, c.asks)
			}
		}
	})
}

// One of many equal callers asks. Who gives up does so alone: if it is the one who asks, another takes over.
func TestEqualCallersAskOnce(t *testing.T) {
	for impatient, questions := range map[int]int{1: 5, 0: 6} {
		synctest.Test(t, func(t *testing.T) {
			zone := mxtest.MustParse(world)
			zone.Fail(".", mxtest.Fault{Delay: time.Second})
			router := &mx.Router{Resolver: zone}
			errs := make(chan error, 100)
			for i := range 100 {
				ctx := t.Context()
				if i == impatient {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, time.Millisecond)
					defer cancel()
				}
				go func() {
					_, err := router.Route(ctx, "example.test")
					errs <- err
				}()
				synctest.Wait()
			}
			failed := 0
			for range 100 {
				if err := <-errs; err != nil {
					failed++
				}
			}
			if failed != 1 {
				t.Errorf("%d callers failed, want the impatient one", failed)
			}
			if asked := zone.Asked(); len(asked) != questions {
				t.Errorf("caller %d is impatient: %d questions for 100 callers, want %d: %q", impatient, len(asked), questions, asked)
			}
		})
	}
}
