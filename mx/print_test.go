package mx_test

import (
	"context"
	"crypto/tls"
	"errors"
	"strings"
	"testing"

	"github.com/postrider/postrider/mx"
	"github.com/postrider/postrider/mx/mxtest"
)

func TestRouteString(t *testing.T) {
	zone := mxtest.MustParse(`
		a.test.    CNAME b.test.
		b.test.    MX 10 alias.test.
		b.test.    MX 20 mx2.test.
		b.test.    MX 30 mx3.test.
		b.test.    MX 40 mx4.test.
		alias.test. CNAME mx1.test.
		mx1.test.  A 9.0.0.1
		mx2.test.  A 9.0.0.2
		mx3.test.  A 9.0.0.3
		mx4.test.  A 127.0.0.1
		nomx.test. A 9.0.0.4`)
	zone.Authenticate("test")
	levels := policyFunc(func(_ context.Context, r *mx.Route) error {
		for i := range r.Hosts {
			d := &r.Hosts[i].Demand
			switch r.Hosts[i].Name {
			case "alias.test":
				d.Raise(mx.DANE, "TLSA of mx1.test")
				d.Verify = func(tls.ConnectionState) error { return nil }
			case "mx2.test":
				d.Raise(mx.Verified, "MTA-STS")
				d.Names = []string{"mx2.test", "b.test"}
			case "mx3.test":
				d.Raise(mx.Encrypted, "memory")
				d.Verify = func(tls.ConnectionState) error { return nil }
			}
		}
		return nil
	})
	router := &mx.Router{Resolver: zone, TrustAD: true, Policies: []mx.Policy{levels}}
	for domain, want := range map[string]string{
		"a.test": `a.test: by MX, authenticated by DNSSEC
     10 alias.test
        an alias of mx1.test
        9.0.0.1:25
        dane: TLS with the key that the domain's TLSA records name (TLSA of mx1.test)
     20 mx2.test
        9.0.0.2:25
        verified: TLS with a valid certificate for mx2.test or b.test (MTA-STS)
     30 mx3.test
        9.0.0.3:25
        encrypted: TLS, with whatever certificate, and a policy's own check (memory)
     40 mx4.test
        cannot be used: mx4.test: the address 127.0.0.1 is refused: it is loopback, not on the public Internet (5.4.4)
  note: the domain is an alias (CNAME) of b.test
`,
		"nomx.test": `nomx.test: by its own addresses, for it has no MX record, authenticated by DNSSEC
      0 nomx.test
        9.0.0.4:25
        opportunistic: TLS where it is offered, with whatever certificate (no policy asks for more)
`,
		"[9.0.0.9]": `[9.0.0.9]: by address, not signed by DNSSEC
      0 [9.0.0.9]
        9.0.0.9:25
        opportunistic: TLS where it is offered, with whatever certificate (no policy asks for more)
`,
	} {
		route, err := router.Route(t.Context(), domain)
		if err != nil {
			t.Fatal(err)
		}
		if got := route.String(); got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
	}
}

// What a domain publishes must not reach a terminal as it is.
func TestRouteStringIsPrintable(t *testing.T) {
	evil := "x\x1b[31m\r\n\x00\u202e"
	route := &mx.Route{Domain: "a.test", Notes: []string{evil}, Hosts: []mx.Host{
		{Name: "a.test", Demand: mx.Demand{Why: evil}},
		{Name: "b.test", Err: errors.New(evil)},
	}}
	if got := route.String(); strings.ContainsAny(got, "\x1b\r\x00\u202e") || strings.Count(got, "\n") != 7 {
		t.Errorf("%q", got)
	}
}
