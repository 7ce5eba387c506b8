package dane_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/postrider/postrider/mx"
	"github.com/postrider/postrider/mx/dane"
	"github.com/postrider/postrider/mx/mxtest"
)

var digest = strings.Repeat("ab", 32)

// zone has hosts of every kind below signed.test, and an unsigned neighbour.
func zone(t *testing.T) *mxtest.Zone {
	z := mxtest.MustParse(fmt.Sprintf(`
		signed.test. MX 10 good.signed.test.
		good.signed.test. A 192.0.2.1
		_25._tcp.good.signed.test. TLSA 3 1 1 %[1]s
		_2525._tcp.good.signed.test. TLSA 2 1 1 %[1]s
		none.signed.test. A 192.0.2.1
		pkix.signed.test. A 192.0.2.1
		_25._tcp.pkix.signed.test. TLSA 1 1 1 %[1]s
		odd.signed.test. A 192.0.2.1
		_25._tcp.odd.signed.test. TLSA 3 9 9 %[1]s
		mixed.signed.test. A 192.0.2.1
		_25._tcp.mixed.signed.test. TLSA 1 1 1 %[1]s
		_25._tcp.mixed.signed.test. TLSA 3 1 1 %[1]s
		shared.signed.test. A 192.0.2.1
		_25._tcp.shared.signed.test. CNAME tlsa.signed.test.
		tlsa.signed.test. TLSA 3 1 1 %[1]s
		outside.signed.test. A 192.0.2.1
		_25._tcp.outside.signed.test. CNAME tlsa.unsigned.test.
		tlsa.unsigned.test. TLSA 3 1 1 %[1]s
		alias.signed.test. CNAME good.signed.test.
		aliasown.signed.test. CNAME none.signed.test.
		_25._tcp.aliasown.signed.test. TLSA 3 1 1 %[1]s
		aliasout.signed.test. CNAME host.unsigned.test.
		_25._tcp.aliasout.signed.test. TLSA 3 1 1 %[1]s
		host.unsigned.test. A 192.0.2.1
		alias.unsigned.test. CNAME good.signed.test.
		_25._tcp.host.unsigned.test. TLSA 3 1 1 %[1]s
		six.signed.test. AAAA 2001:db8::1
		sixalias.signed.test. CNAME six.signed.test.
		_25._tcp.six.signed.test. TLSA 3 1 1 %[1]s
	`, digest))
	z.Authenticate("signed.test")
	return z
}

func routeTo(z mx.Resolver, hosts ...mx.Host) *mx.Route {
	return &mx.Route{Domain: "signed.test", Hosts: hosts, Authentic: true, Trusted: true, Resolver: z}
}

func TestPolicy(t *testing.T) {
	for _, c := range []struct {
		host, canonical string
		authentic       bool
		level           mx.Level
		names           string
	}{
		{"good.signed.test", "good.signed.test", true, mx.DANE, "good.signed.test signed.test"},
		{"none.signed.test", "none.signed.test", true, mx.Opportunistic, ""},
		{"pkix.signed.test", "pkix.signed.test", true, mx.Encrypted, ""},
		{"odd.signed.test", "odd.signed.test", true, mx.Encrypted, ""},
		{"mixed.signed.test", "mixed.signed.test", true, mx.DANE, "mixed.signed.test signed.test"},
		{"shared.signed.test", "shared.signed.test", true, mx.DANE, "shared.signed.test signed.test"},
		{"outside.signed.test", "outside.signed.test", true, mx.Opportunistic, ""},
		{"alias.signed.test", "good.signed.test", true, mx.DANE, "good.signed.test alias.signed.test signed.test"},
		{"aliasown.signed.test", "none.signed.test", true, mx.DANE, "aliasown.signed.test signed.test"},
		{"aliasout.signed.test", "host.unsigned.test", false, mx.DANE, "aliasout.signed.test signed.test"},
		{"alias.unsigned.test", "good.signed.test", false, mx.Opportunistic, ""},
		{"host.unsigned.test", "host.unsigned.test", false, mx.Opportunistic, ""},
		{"sixalias.signed.test", "six.signed.test", true, mx.DANE, "six.signed.test sixalias.signed.test signed.test"},
	} {
		t.Run(c.host, func(t *testing.T) {
			z := zone(t)
			r := routeTo(z, mx.Host{Name: c.host, Canonical: c.canonical, Authentic: c.authentic})
			if err := new(dane.Policy).Apply(context.Background(), r); err != nil {
				t.Fatal(err)
			}
			h := r.Hosts[0]
			if h.Err != nil || h.Demand.Level != c.level || strings.Join(h.Demand.Names, " ") != c.names {
				t.Fatalf("host %+v, want level %v, names %q", h, c.level, c.names)
			}
			if (h.Demand.Verify != nil) != (c.level == mx.DANE) || (h.Demand.Why != "") != (c.level > mx.Opportunistic) {
				t.Errorf("demand %+v", h.Demand)
			}
			if strings.HasSuffix(c.host, ".unsigned.test") && slices.ContainsFunc(z.Asked(), func(q string) bool { return strings.HasSuffix(q, "TLSA") }) {
				t.Errorf("a host without DNSSEC was asked for TLSA: %q", z.Asked())
			}
		})
	}
}

func TestPolicyPort(t *testing.T) {
	r := routeTo(zone(t), mx.Host{Name: "good.signed.test", Authentic: true, Addrs: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:2525")}})
	if err := new(dane.Policy).Apply(context.Background(), r); err != nil {
		t.Fatal(err)
	}
	if why := r.Hosts[0].Demand.Why; !strings.Contains(why, "2 1 1") {
		t.Errorf("the records of port 2525 are not used: %q", why)
	}
}

// The name that the domain is an alias of is a reference name too (RFC 7672 s. 3.2.2).
func TestPolicyAliasDomain(t *testing.T) {
	r := routeTo(zone(t), mx.Host{Name: "good.signed.test", Authentic: true})
	r.Domain, r.Canonical = "next.test", "signed.test"
	if err := new(dane.Policy).Apply(context.Background(), r); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(r.Hosts[0].Demand.Names, " "); got != "good.signed.test next.test signed.test" {
		t.Errorf("names %q", got)
	}
}

// Whatever keeps TLSA records from us makes the host unusable for now and never weaker.
func TestPolicyBrokenDNS(t *testing.T) {
	for name, fault := range map[string]mxtest.Fault{
		"servfail":  {Type: dns.TypeTLSA, Rcode: dns.RcodeServerFailure},
		"refused":   {Type: dns.TypeTLSA, Rcode: dns.RcodeRefused},
		"notimp":    {Type: dns.TypeTLSA, Rcode: dns.RcodeNotImplemented},
		"truncated": {Type: dns.TypeTLSA, Truncate: true},
	} {
		t.Run(name, func(t *testing.T) {
			z := zone(t)
			z.Fail("_tcp.good.signed.test", fault)
			r := routeTo(z, mx.Host{Name: "good.signed.test", Authentic: true}, mx.Host{Name: "mixed.signed.test", Authentic: true},
				mx.Host{Name: "alias.signed.test", Canonical: "good.signed.test", Authentic: true})
			if err := new(dane.Policy).Apply(context.Background(), r); err != nil {
				t.Fatal(err)
			}
			for _, i := range []int{0, 2} {
				var e *mx.Error
				if !errors.As(r.Hosts[i].Err, &e) || !e.Temporary() {
					t.Errorf("%s: Err %v, want a temporary *mx.Error", r.Hosts[i].Name, r.Hosts[i].Err)
				}
			}
			if r.Hosts[1].Err != nil || r.Hosts[1].Demand.Level != mx.DANE {
				t.Errorf("the next host is %+v", r.Hosts[1])
			}
			if f := r.Findings[0]; f.Type != "tlsa" || f.Result != "dnssec-invalid" || f.Reason == "" {
				t.Errorf("finding %+v", f)
			}
		})
	}
}

// An attacker who answers in place of the resolver's signed zone can only make DANE vanish by
// taking the AD bit away, which a resolver on loopback does not let him.
func TestPolicyForgedAnswer(t *testing.T) {
	z := zone(t)
	z.Fail("_tcp.good.signed.test", mxtest.Fault{Mangle: func(m *dns.Msg) []*dns.Msg {
		for _, rr := range m.Answer {
			rr.Header().Name = "_25._tcp.elsewhere.test."
		}
		return []*dns.Msg{m}
	}})
	r := routeTo(z, mx.Host{Name: "good.signed.test", Authentic: true})
	if err := new(dane.Policy).Apply(context.Background(), r); err != nil {
		t.Fatal(err)
	}
	if len(r.Findings) != 0 {
		t.Errorf("records of another name were used: %+v", r.Findings)
	}
}

func TestPolicyInert(t *testing.T) {
	var notices []string
	p := &dane.Policy{Notice: func(_ context.Context, n string) { notices = append(notices, n) }}
	for range 3 {
		r := &mx.Route{Domain: "signed.test", Resolver: zone(t), Hosts: []mx.Host{{Name: "good.signed.test", Authentic: true}}}
		if err := p.Apply(context.Background(), r); err != nil {
			t.Fatal(err)
		}
		if r.Hosts[0].Demand.Level != mx.Opportunistic || len(r.Notes) != 1 {
			t.Errorf("route %+v", r)
		}
	}
	if len(notices) != 1 || !strings.Contains(notices[0], "AD") {
		t.Errorf("notices %q, want one", notices)
	}
	// Not signed is not the same as not trusted: nothing is wrong then.
	p = &dane.Policy{Notice: func(context.Context, string) { t.Error("notice for an unsigned domain") }}
	r := &mx.Route{Domain: "unsigned.test", Trusted: true, Resolver: zone(t), Hosts: []mx.Host{{Name: "good.signed.test", Authentic: true}}}
	if err := p.Apply(context.Background(), r); err != nil || r.Hosts[0].Demand.Level != mx.Opportunistic {
		t.Errorf("route %+v, %v", r, err)
	}
}

// A host that cannot be used is not asked about, and a stronger demand stays.
func TestPolicyOnlyRaises(t *testing.T) {
	r := routeTo(zone(t), mx.Host{Name: "good.signed.test", Authentic: true, Err: errors.New("no address")},
		mx.Host{Name: "pkix.signed.test", Authentic: true, Demand: mx.Demand{Level: mx.Verified, Why: "because"}})
	if err := new(dane.Policy).Apply(context.Background(), r); err != nil {
		t.Fatal(err)
	}
	if r.Hosts[0].Demand.Level != mx.Opportunistic || r.Hosts[1].Demand.Level != mx.Verified || !strings.HasPrefix(r.Hosts[1].Demand.Why, "because; ") {
		t.Errorf("hosts %+v", r.Hosts)
	}
}
