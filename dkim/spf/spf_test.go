package spf_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/postrider/postrider/dkim"
	"github.com/postrider/postrider/dkim/spf"
)

// zone is lines of a name, a type and a value. "!" as type is a DNS that does not answer.
type zone string

func (z zone) find(name, kind string) ([]string, error) {
	var list []string
	name = strings.TrimSuffix(name, ".")
	for line := range strings.Lines(string(z)) {
		n, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		k, value, _ := strings.Cut(rest, " ")
		if n == name && k == "!" {
			return nil, &net.DNSError{Err: "SERVFAIL", Name: name, IsTemporary: true}
		}
		if n == name && k == kind {
			list = append(list, value)
		}
	}
	if list == nil {
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	return list, nil
}

func (z zone) LookupTXT(_ context.Context, name string) ([]string, error) { return z.find(name, "TXT") }

func (z zone) LookupAddr(_ context.Context, addr string) ([]string, error) {
	return z.find(addr, "PTR")
}

func (z zone) LookupMX(_ context.Context, name string) ([]*net.MX, error) {
	list, err := z.find(name, "MX")
	var hosts []*net.MX
	for _, h := range list {
		hosts = append(hosts, &net.MX{Host: h})
	}
	return hosts, err
}

func (z zone) LookupIPAddr(_ context.Context, name string) ([]net.IPAddr, error) {
	list, err := z.find(name, "A")
	var addrs []net.IPAddr
	for _, a := range list {
		addrs = append(addrs, net.IPAddr{IP: net.ParseIP(a)})
	}
	return addrs, err
}

const client = "192.0.2.1"

func query(domain string) spf.Query {
	return spf.Query{IP: netip.MustParseAddr(client), Sender: "a@" + domain, Hello: "mail.example.com"}
}

func TestCounts(t *testing.T) {
	includes := ""
	for i := range 11 {
		includes += fmt.Sprintf("i%d.test TXT v=spf1 ip4:198.51.100.%d -all\n", i, i)
	}
	z := zone(includes + `
plain.test TXT v=spf1 ip4:192.0.2.1 -all
other.test TXT v=spf1 ip4:198.51.100.1 -all
soft.test TXT v=spf1 ~all
two.test TXT v=spf1 -all
two.test TXT v=spf1 +all
beside.test TXT google-site-verification=x
beside.test TXT v=spf1 ip4:192.0.2.1 -all
a.test TXT v=spf1 a -all
a.test A 192.0.2.1
mx.test TXT v=spf1 mx -all
mx.test MX mx1.test.
mx.test MX mx2.test.
mx1.test A 198.51.100.1
mx2.test A 192.0.2.1
nested.test TXT v=spf1 include:mid.test include:other.test -all
mid.test TXT v=spf1 mx:mx.test a:a.test ~all
redirect.test TXT v=spf1 redirect=plain.test
exists.test TXT v=spf1 exists:%{i}.list.test -all
192.0.2.1.list.test A 127.0.0.2
ptr.test TXT v=spf1 ptr -all
192.0.2.1 PTR host.ptr.test.
host.ptr.test A 192.0.2.1
void2.test TXT v=spf1 a:v1.test a:v2.test ip4:192.0.2.1 -all
void3.test TXT v=spf1 a:v1.test a:v2.test mx:v3.test ip4:192.0.2.1 -all
ten.test TXT v=spf1 include:i0.test include:i1.test include:i2.test include:i3.test include:i4.test include:i5.test include:i6.test include:i7.test include:i8.test include:i9.test ip4:192.0.2.1 -all
eleven.test TXT v=spf1 include:i0.test include:i1.test include:i2.test include:i3.test include:i4.test include:i5.test include:i6.test include:i7.test include:i8.test include:i9.test include:i10.test ip4:192.0.2.1 -all
early.test TXT v=spf1 ip4:192.0.2.1 include:i0.test include:i1.test include:i2.test include:i3.test include:i4.test include:i5.test include:i6.test include:i7.test include:i8.test include:i9.test include:i10.test -all
loop.test TXT v=spf1 include:loop.test -all
wrong.test TXT v=spf1 ip4:192.0.2.1 ipv4:192.0.2.2 -all
inwrong.test TXT v=spf1 include:wrong.test -all
nowhere.test TXT v=spf1 include:missing.test -all
down.test !
indown.test TXT v=spf1 include:down.test -all
`)
	for domain, want := range map[string]string{
		"plain.test":    "pass 0 0, cost 0 0",
		"other.test":    "fail 0 0, cost 0 0",
		"soft.test":     "softfail 0 0, cost 0 0",
		"missing.test":  "none 0 0, cost 0 0",
		"two.test":      "permerror 0 0, cost 0 0",
		"beside.test":   "pass 0 0, cost 0 0",
		"a.test":        "pass 1 0, cost 1 0",
		"mx.test":       "pass 1 0, cost 1 0",
		"nested.test":   "pass 2 0, cost 4 0",
		"redirect.test": "pass 1 0, cost 1 0",
		"exists.test":   "pass 1 0, cost 1 1",
		"ptr.test":      "pass 1 0, cost 1 1",
		"void2.test":    "pass 2 2, cost 2 2",
		"void3.test":    "permerror 3 3, cost 3 3",
		"ten.test":      "pass 10 0, cost 10 0",
		"eleven.test":   "permerror 10 0, cost 11 0",
		"early.test":    "pass 0 0, cost 11 0",
		"loop.test":     "permerror 10 0, cost 100 0",
		"wrong.test":    "permerror 0 0, cost 0 0",
		"inwrong.test":  "permerror 1 0, cost 1 0",
		"nowhere.test":  "permerror 1 0, cost 1 0",
		"down.test":     "temperror 0 0, cost 0 0",
		"indown.test":   "temperror 1 0, cost 1 0",
	} {
		r, c := spf.Check(t.Context(), z, query(domain)), spf.Cost(t.Context(), z, domain)
		if got := fmt.Sprintf("%s %d %d, cost %d %d", r.Verdict, r.Lookups, r.Voids, c.Lookups, c.Voids); got != want {
			t.Errorf("%s: %s (%v), want %s", domain, got, r.Err, want)
		}
		if r.Domain != domain || strings.HasPrefix(r.Verdict, "pass") && r.Record == "" {
			t.Errorf("%s: %+v", domain, r)
		}
	}
	var syntax *spf.SyntaxError
	if r := spf.Check(t.Context(), z, query("inwrong.test")); !errors.As(r.Err, &syntax) || syntax.Term != "ipv4:192.0.2.2" {
		t.Errorf("a syntax error in an included record: %v", r.Err)
	}
	if r := spf.Check(t.Context(), z, query("nowhere.test")); r.Err == nil || !strings.Contains(r.Err.Error(), "at missing.test") {
		t.Errorf("an included domain without record: %v", r.Err)
	}
	if r := spf.Check(t.Context(), z, spf.Query{IP: netip.MustParseAddr("::ffff:192.0.2.1"), Hello: "plain.test"}); r.Verdict != "pass" || r.Domain != "plain.test" {
		t.Errorf("the null sender: %+v", r)
	}
}

func TestValidate(t *testing.T) {
	for _, good := range []string{"v=spf1", "V=SPF1 -ALL", "v=spf1 a mx ptr -all", "v=spf1  a/24 mx//64 a:x.test/24//64 ?all ", "v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 ~all",
		"v=spf1 exists:%{ir}.%{l1r+-}._spf.%{d2} redirect=_spf.%{d}", "v=spf1 exp=e.x.test x-new=%{c}", "v=spf1 include:_spf.x-1.test. a:%{h} a:100%%.test", "v=spf1 ip4:0.0.0.0/0"} {
		if err := spf.Validate(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"", "v=spf10", "v=spf1\t-all", "v=spf1 foo", "v=spf1 all:x.test", "v=spf1 include", "v=spf1 include:", "v=spf1 include:x", "v=spf1 a:", "v=spf1 a:x.test/33",
		"v=spf1 a/", "v=spf1 a//129", "v=spf1 a/024", "v=spf1 mx:x.test/24/64", "v=spf1 ip4:1.2.3", "v=spf1 ip4:1.2.3.4/33", "v=spf1 ip4:::1", "v=spf1 ip6:1.2.3.4", "v=spf1 ip6:fe80::1%eth0", "v=spf1 ip4",
		"v=spf1 redirect=a.test redirect=b.test", "v=spf1 exp=a.test exp=a.test", "v=spf1 redirect=", "v=spf1 exists:%{z}.test", "v=spf1 exists:%{d0}.test", "v=spf1 exists:%{d", "v=spf1 exists:%x.test",
		"v=spf1 exists:x.test%", "v=spf1 include:x.123", "v=spf1 include:x.-a", "v=spf1 \u00e4", "v=spf1 --all", "v=spf1 ptr/24", "v=spf1 exists:%{c}.test", "v=spf1 = -all"} {
		var e *spf.SyntaxError
		if err := spf.Validate(bad); !errors.As(err, &e) || e.Why == "" {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func FuzzCheck(f *testing.F) {
	f.Add("v=spf1 a mx include:%{d} exists:%{ir}.x.test redirect=x.test", "a@x.test")
	f.Add("v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 a//64 ptr -all", "x.test")
	f.Fuzz(func(t *testing.T, record, sender string) {
		if strings.ContainsAny(record, "\r\n") {
			return
		}
		z := zone("x.test TXT " + record)
		r := spf.Check(t.Context(), z, spf.Query{IP: netip.MustParseAddr(client), Sender: sender, Hello: "x.test"})
		if r.Lookups > spf.MaxLookups || r.Voids > spf.MaxVoids+1 {
			t.Errorf("%d lookups, %d void", r.Lookups, r.Voids)
		}
		if c := spf.Cost(t.Context(), z, "x.test"); c.Lookups > 100 {
			t.Errorf("%d lookups", c.Lookups)
		}
		if spf.Validate(record) == nil && r.Domain == "x.test" && r.Verdict == "none" && strings.HasSuffix(sender, "@x.test") {
			t.Errorf("%q is valid and not found", record)
		}
	})
}

func ExampleCheck() {
	dns := zone("example.com TXT v=spf1 ip4:192.0.2.0/24 include:_spf.example.net -all\n_spf.example.net TXT v=spf1 ip4:198.51.100.0/24 -all")
	r := spf.Check(context.Background(), dns, spf.Query{IP: netip.MustParseAddr("198.51.100.7"), Sender: "ada@example.com", Hello: "mail.example.com"})
	fmt.Println(r.Verdict, r.Lookups)
	fmt.Print(strings.ReplaceAll(dkim.AuthenticationResults("mx.example.org", r.AuthResult("ada@example.com")), "\r\n", "\n"))
	// Output:
	// pass 1
	// Authentication-Results: mx.example.org;
	//  spf=pass smtp.mailfrom=ada@example.com
}

func ExampleCost() {
	dns := zone("example.com TXT v=spf1 a mx include:_spf.example.net -all\n_spf.example.net TXT v=spf1 a:example.net -all")
	c := spf.Cost(context.Background(), dns, "example.com")
	fmt.Println(c.Lookups, "of", spf.MaxLookups, "lookups,", c.Voids, "of", spf.MaxVoids, "void")
	// Output: 4 of 10 lookups, 3 of 2 void
}

func ExampleValidate() {
	fmt.Println(spf.Validate("v=spf1 ipv4:192.0.2.1 -all"))
	// Output: spf: "ipv4:192.0.2.1": the mechanism is not known
}
