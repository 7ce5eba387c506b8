package postrider

import (
	"crypto/rsa"
	"math/big"
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"github.com/postrider/postrider/dkim"
	"github.com/postrider/postrider/mx/mxtest"
)

// Several things at once, which a table of single changes does not show.
func TestPreflightTogether(t *testing.T) {
	servfail := mxtest.Fault{Rcode: dns.RcodeServerFailure}
	for _, c := range []struct {
		why      string
		zone     func(string) string
		fail     []string
		patient  func(*Doctor)
		rules    string // some of them
		verdicts string
	}{
		{"no SPF, and no answer about the keys", without(`good.test. TXT "v=spf1`), []string{"_domainkey.good.test."}, nil, "failure spf-missing, warning dns-trouble",
			"Gmail refused, Yahoo refused, Microsoft refused, Apple at risk"},
		{"the same of few mails", without(`good.test. TXT "v=spf1`), []string{"_domainkey.good.test."}, func(d *Doctor) { d.Bulk = false }, "failure spf-missing, warning dns-trouble", allRisk},
		{"no answer about the reverse name", nil, []string{"25.2.0.192.in-addr.arpa."}, nil, "warning dns-trouble", allRisk},
		{"one source without name, no answer about another", nil, []string{"25.2.0.192.in-addr.arpa."}, func(d *Doctor) {
			d.Sources = []netip.Addr{netip.MustParseAddr("192.0.2.99"), netip.MustParseAddr("192.0.2.25")}
		}, "failure ptr-missing", "Gmail refused, Yahoo refused, Microsoft refused, Apple refused"},
		{"null MX, and a return path that is good", func(z string) string {
			return swap("MX 10 mail.good.test.", "MX 0 .")(z) + "b.good.test. MX 10 mail.good.test.\nb.good.test. TXT \"v=spf1 ip4:192.0.2.25 -all\"\n"
		}, nil, func(d *Doctor) { d.ReturnPath = "bounces@b.good.test" }, "failure mx-null", allRefuse},
		{"a return path without MX", add("b.good.test. TXT \"v=spf1 ip4:192.0.2.25 -all\""), nil, func(d *Doctor) { d.ReturnPath = "bounces@b.good.test" }, "failure mx-missing", allRefuse},
		{"a key of 768 bits", func(z string) string {
			tiny := dkim.Record{Key: &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 767), E: 65537}}
			return without(`rsa._domainkey`)(z) + tiny.Zone("rsa._domainkey.good.test")
		}, nil, func(d *Doctor) { d.Bulk = false }, "failure dkim-key-short", "Gmail refused, Yahoo refused, Microsoft pass, Apple at risk"},
		{"a combined way", nil, nil, func(d *Doctor) {
			direct := d.Client.Transport.(*Direct)
			d.Client.Transport = Failover{&RoundRobin{Transports: []Transport{&Relay{Host: "r.test"}}}, &Record{Transport: direct}}
		}, "", allPass},
		{"an IPv6 source", add("mail.good.test. AAAA 2001:db8::25\n" + reverseName(netip.MustParseAddr("2001:db8::25")) + " PTR mail.good.test."), nil, func(d *Doctor) {
			d.Sources = append(d.Sources, netip.MustParseAddr("2001:db8::25"))
		}, "failure spf-fail", "Gmail refused, Yahoo refused, Microsoft refused, Apple at risk"},
	} {
		zone := withKeys()
		if c.zone != nil {
			zone = c.zone(zone)
		}
		d := patient(zone)
		for _, name := range c.fail {
			d.Resolver.(*mxtest.Zone).Fail(name, servfail)
		}
		if c.patient != nil {
			c.patient(d)
		}
		r, err := d.Preflight(t.Context(), "news@good.test")
		if err != nil {
			t.Fatal(err)
		}
		if got := verdictsOf(r); got != c.verdicts || !strings.Contains(rulesOf(r), c.rules) {
			t.Errorf("%s: %s\nwant %s\n%s", c.why, got, c.verdicts, rulesOf(r))
		}
	}
}

// The remedy for SPF is a record that works.
func TestPreflightRemedy(t *testing.T) {
	zone := swap("ip4:192.0.2.25 -all", "include:x.good.test -all")(withKeys()) + "x.good.test. TXT \"v=spf1 -all\"\n"
	d := patient(zone)
	r, err := d.Preflight(t.Context(), "news@good.test")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.Findings {
		if _, record, ok := strings.Cut(f.Remedy, "publish instead: "); ok && f.Rule == "spf-fail" {
			if record != `good.test. IN TXT "v=spf1 ip4:192.0.2.25 include:x.good.test -all"` {
				t.Errorf("remedy %s", record)
			}
			d = patient(without(`good.test. TXT "v=spf1`)(zone) + record)
			if r, err = d.Preflight(t.Context(), "news@good.test"); err != nil || verdictsOf(r) != allPass {
				t.Errorf("after the remedy: %s, %v", verdictsOf(r), err)
			}
			return
		}
	}
	t.Errorf("no remedy: %s", rulesOf(r))
}

func TestAsker(t *testing.T) {
	zone := mxtest.MustParse(`
a.test. A 192.0.2.1
txt.test. TXT "one \"two\"" " \200\\three"
alias.test. CNAME a.test.
sub.empty.test. A 192.0.2.2
`)
	zone.Fail("a.test", mxtest.Fault{Type: dns.TypeAAAA, Rcode: dns.RcodeServerFailure})
	zone.Fail("six.test", mxtest.Fault{Type: dns.TypeAAAA, Rcode: dns.RcodeServerFailure})
	a := asker{zone}
	if list, err := a.LookupTXT(t.Context(), "txt.test"); err != nil || len(list) != 1 || list[0] != "one \"two\" \xc8\\three" {
		t.Errorf("%q, %v", list, err)
	}
	for _, name := range []string{"a.test", "alias.test.", "A.TEST"} {
		if list, err := a.addrs(t.Context(), name); err != nil || len(list) != 1 {
			t.Errorf("%s: %v, %v", name, list, err)
		}
	}
	if _, err := a.LookupIPAddr(t.Context(), "six.test"); err == nil || notFound(err) {
		t.Errorf("no A, and no answer about AAAA: %v", err)
	}
	for _, name := range []string{"", ".", "none.test", "a..test", strings.Repeat("a", 64) + ".test", strings.Repeat("abc.", 80), "txt.test"} {
		if list, err := a.addrs(t.Context(), name); len(list) > 0 || !notFound(err) {
			t.Errorf("%.20q: %v, %v", name, list, err)
		}
	}
	for name, want := range map[string]bool{"a.test": true, "txt.test": true, "empty.test": true, "none.test": false} {
		if ok, err := a.exists(t.Context(), name); ok != want || err != nil {
			t.Errorf("%s exists: %v, %v", name, ok, err)
		}
	}
	zone.Fail(".", mxtest.Fault{Rcode: dns.RcodeServerFailure})
	if ok, err := a.exists(t.Context(), "none.test"); ok || err == nil {
		t.Errorf("no answer: %v, %v", ok, err)
	}
}
