package mx_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/postrider/postrider/mx"
)

// labRouter asks the lab's validating resolver and may dial loopback, where the lab is.
func labRouter(t *testing.T) *mx.Router {
	t.Helper()
	if os.Getenv("LAB_DIR") == "" {
		t.Skip("lab is not running: see .ci/lab/README.md")
	}
	return &mx.Router{
		Resolver: &mx.DNS{Servers: []string{os.Getenv("LAB_RESOLVER")}},
		Allow:    prefixes("127.0.0.0/8", "::1/128"),
	}
}

func TestLabRoutes(t *testing.T) {
	const noHost, servfail = "the host does not exist (5.4.4)", "451 4.4.3 the MX lookup failed: the resolver answers SERVFAIL"
	for domain, want := range map[string]string{
		"example.test":        "10 mx1.example.test 127.0.0.10:25",
		"null.test":           "556 5.1.10 the domain takes no mail (null MX)",
		"nomx.test":           "0 nomx.test 127.0.0.10:25",
		"nothing.test":        "550 5.4.4 the domain has no MX record, and as a host: the host has no address",
		"no-such.test":        "550 5.1.2 the domain does not exist",
		"servfail.test":       servfail,
		"bogus.test":          servfail,
		"expired.test":        servfail,
		"multi.test":          "10 dead.multi.test 127.0.0.99:25 | 20 busy.multi.test 127.0.0.41:25 | 30 missing.multi.test missing.multi.test: " + noHost + " | 40 mx1.multi.test 127.0.0.10:25 | 50 mx2.multi.test 127.0.0.11:25",
		"alldead.test":        "10 dead1.alldead.test 127.0.0.99:25 | 20 dead2.alldead.test 127.0.0.98:25",
		"dual.test":           "10 mx.dual.test [::1]:25 127.0.0.10:25",
		"loop.test":           "10 alias.loop.test 127.0.0.10:25",
		"looped.loop.test":    "451 4.4.3 no host can be used: a.loop.test: the address lookup failed: the resolver answers SERVFAIL (4.4.3)",
		"domain.loop.test":    "10 mx.loop.test 127.0.0.10:25",
		"xn--mnchen-3ya.test": "10 mx1.xn--mnchen-3ya.test 127.0.0.10:25",
		"München.test":        "10 mx1.xn--mnchen-3ya.test 127.0.0.10:25",
		"bogustlsa.test":      "10 mx1.bogustlsa.test 127.0.0.10:25",
	} {
		t.Run(domain, func(t *testing.T) {
			if got := brief(labRouter(t).Route(t.Context(), domain)); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

// Without leave, nothing in the lab is dialled.
func TestLabGuard(t *testing.T) {
	router := labRouter(t)
	router.Allow = nil
	for _, domain := range []string{"example.test", "nomx.test", "multi.test", "dual.test", "loop.test", "domain.loop.test", "manyaddr.test"} {
		got := brief(router.Route(t.Context(), domain))
		if !strings.HasPrefix(got, "550 5.4.4 ") || !strings.Contains(got, "loopback, not on the public Internet") {
			t.Errorf("%s: %s", domain, got)
		}
	}
}

func TestLabManyHosts(t *testing.T) {
	route, err := labRouter(t).Route(t.Context(), "big.test") // 60 MX records: truncated over UDP
	if err != nil || len(route.Hosts) != 20 || route.Hosts[19].Preference != 20 {
		t.Fatal(brief(route, err))
	}
	if want := "of 60 MX hosts the best 20 are used"; !slices.Contains(route.Notes, want) {
		t.Errorf("notes %q", route.Notes)
	}
	route, err = labRouter(t).Route(t.Context(), "manyaddr.test")
	if err != nil || len(route.Hosts) != 1 || len(route.Hosts[0].Addrs) != 3 {
		t.Error(brief(route, err))
	}
	first := make(map[string]int)
	router := labRouter(t)
	for range 90 {
		route, err = router.Route(t.Context(), "equal.test")
		if err != nil || len(route.Hosts) != 3 {
			t.Fatal(brief(route, err))
		}
		first[route.Hosts[0].Name]++
	}
	if len(first) != 3 {
		t.Errorf("three equal hosts came first: %v", first)
	}
}

// The lab's resolver validates and is on loopback, so that its AD bit is believed.
func TestLabAuthentic(t *testing.T) {
	for domain, want := range map[string]bool{"dane.test": true, "plain.dane.test": true, "example.test": false} {
		route, err := labRouter(t).Route(t.Context(), domain)
		if err != nil {
			t.Fatal(err)
		}
		if route.Authentic != want || route.Hosts[0].Authentic != want || !route.Trusted {
			t.Errorf("%s: route %v, host %v, trusted %v", domain, route.Authentic, route.Hosts[0].Authentic, route.Trusted)
		}
	}
	q := question("bogustlsa.test.", dns.TypeMX)
	a, err := labRouter(t).Resolver.Exchange(t.Context(), q)
	if err != nil || a.AuthenticatedData {
		t.Errorf("AD without being asked for: %v, %v", a, err)
	}
}
