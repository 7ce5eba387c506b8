package dmarc_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/postrider/postrider/dkim"
	"github.com/postrider/postrider/dkim/dmarc"
)

// The walk of RFC 9989 s. 4.10: eight questions at most, whatever the name.
func TestTreeWalk(t *testing.T) {
	for domain, want := range map[string]string{
		"a.b.c.d.e.f.g.h.i.j.mail.example.com": "a.b.c.d.e.f.g.h.i.j.mail.example.com g.h.i.j.mail.example.com h.i.j.mail.example.com i.j.mail.example.com j.mail.example.com mail.example.com example.com com",
		"mail.a.b.c.d.e.f.g.example.com":       "mail.a.b.c.d.e.f.g.example.com c.d.e.f.g.example.com d.e.f.g.example.com e.f.g.example.com f.g.example.com g.example.com example.com com",
		"a.b.c.d.e.f.example.com":              "a.b.c.d.e.f.example.com b.c.d.e.f.example.com c.d.e.f.example.com d.e.f.example.com e.f.example.com f.example.com example.com com",
		"b.c.d.e.f.example.com":                "b.c.d.e.f.example.com c.d.e.f.example.com d.e.f.example.com e.f.example.com f.example.com example.com com",
		"Example.COM.":                         "example.com com",
		"com":                                  "com",
		"m\u00fcnchen.example":                 "xn--mnchen-3ya.example example",
	} {
		var z zone
		d, err := z.resolver().Discover(t.Context(), domain)
		if got := strings.ReplaceAll(strings.Join(z.asked, " "), "_dmarc.", ""); got != want || err != nil || d.At != "" {
			t.Errorf("%s: asked for %s (%+v, %v)\nwant %s", domain, got, d, err, want)
		}
	}
}

// psd=n and psd=y end the walk (step 2 and 6).
func TestTreeWalkStops(t *testing.T) {
	for _, psd := range []string{"y", "n"} {
		z := zone{text: "_dmarc.example.com v=DMARC1; p=none; psd=" + psd}
		d, err := z.resolver().Discover(t.Context(), "mail.example.com")
		if got := strings.Join(z.asked, " "); got != "_dmarc.mail.example.com _dmarc.example.com" || err != nil {
			t.Errorf("psd=%s: asked for %s (%+v, %v)", psd, got, d, err)
		}
	}
}

// Which record applies (s. 4.10.1), and whose the domain is (s. 4.10.2).
func TestDiscover(t *testing.T) {
	for _, c := range []struct{ why, zone, domain, at, organization string }{
		{"its own record", "_dmarc.example.com v=DMARC1; p=none", "example.com", "example.com", "example.com"},
		{"that of the organisation", "_dmarc.example.com v=DMARC1; p=none", "a.mail.example.com", "example.com", "example.com"},
		{"its own before that of the organisation", "_dmarc.mail.example.com v=DMARC1; p=none\n_dmarc.example.com v=DMARC1; p=reject", "mail.example.com", "mail.example.com", "example.com"},
		{"the one in between counts for nothing", "_dmarc.mail.example.com v=DMARC1; p=none\n_dmarc.example.com v=DMARC1; p=reject", "a.mail.example.com", "example.com", "example.com"},
		{"psd=n makes an organisation", "_dmarc.mail.example.com v=DMARC1; p=none; psd=n\n_dmarc.example.com v=DMARC1; p=reject", "a.mail.example.com", "mail.example.com", "mail.example.com"},
		{"psd=n of its own", "_dmarc.mail.example.com v=DMARC1; p=none; psd=n\n_dmarc.example.com v=DMARC1; p=reject", "mail.example.com", "mail.example.com", "mail.example.com"},
		{"psd=y: the organisation is one below", "_dmarc.com v=DMARC1; p=none; psd=y", "a.mail.example.com", "com", "example.com"},
		{"psd=y, and the organisation has its own", "_dmarc.com v=DMARC1; p=reject; psd=y\n_dmarc.example.com v=DMARC1; p=none", "a.mail.example.com", "example.com", "example.com"},
		{"psd=y with two labels", "_dmarc.example.com v=DMARC1; p=none; psd=y\n_dmarc.mail.example.com v=DMARC1; p=none", "mail.example.com", "mail.example.com", "mail.example.com"},
		{"mail from a public suffix", "_dmarc.com v=DMARC1; p=none; psd=y", "com", "com", "com"},
		{"a record of com that says nothing of psd", "_dmarc.com v=DMARC1; p=none", "example.com", "com", "com"},
		{"nothing", "", "mail.example.com", "", "mail.example.com"},
		{"two records are none", "_dmarc.example.com v=DMARC1; p=none\n_dmarc.example.com v=DMARC1; p=none", "example.com", "", "example.com"},
		{"two records, and one above", "_dmarc.a.example.com v=DMARC1; p=none\n_dmarc.a.example.com v=DMARC1; p=none\n_dmarc.example.com v=DMARC1; p=none", "a.example.com", "example.com", "example.com"},
		{"others beside it", "_dmarc.example.com v=spf1 -all\n_dmarc.example.com v=DMARC1; p=none\n_dmarc.example.com v=DMARC2", "example.com", "example.com", "example.com"},
		{"case", "_dmarc.example.com v=DMARC1; p=none", "EXAMPLE.com", "example.com", "example.com"},
	} {
		z := zone{text: c.zone}
		d, err := z.resolver().Discover(t.Context(), c.domain)
		if err != nil || d.At != c.at || d.Organization != c.organization {
			t.Errorf("%s: %+v, %v; want %s of organisation %s", c.why, d, err, c.at, c.organization)
		}
	}
	z := zone{text: "_dmarc.example.com !"}
	if _, err := z.resolver().Discover(t.Context(), "mail.example.com"); !errors.Is(err, errDown) {
		t.Errorf("the DNS is down: %v", err)
	}
	for _, name := range []string{"", ".", "a..b", strings.Repeat("abc.", 70), "a b.com", "-"} {
		if d, err := z.resolver().Discover(t.Context(), name); err == nil {
			t.Errorf("%q: %+v", name, d)
		}
	}
}

func TestEvaluate(t *testing.T) {
	const strict = "_dmarc.example.com v=DMARC1; p=reject; adkim=s; aspf=s"
	const relaxed = "_dmarc.example.com v=DMARC1; p=reject; sp=quarantine; np=none"
	const apart = relaxed + "\n_dmarc.shop.example.com v=DMARC1; p=quarantine; psd=n"
	for _, c := range []struct {
		why, zone string
		message   dmarc.Message
		want      string
	}{
		{"DKIM, same domain", relaxed, dmarc.Message{From: "example.com", DKIM: passed("Example.com")}, "pass dkim"},
		{"SPF, same domain", relaxed, dmarc.Message{From: "example.com", SPF: "example.com"}, "pass spf"},
		{"both", relaxed, dmarc.Message{From: "example.com", SPF: "example.com", DKIM: passed("example.com")}, "pass spf dkim"},
		{"DKIM, a subdomain, relaxed", relaxed, dmarc.Message{From: "example.com", DKIM: passed("a.b.example.com")}, "pass dkim"},
		{"DKIM, a parent, relaxed", relaxed, dmarc.Message{From: "news.example.com", DKIM: passed("example.com")}, "pass dkim"},
		{"DKIM, a cousin, relaxed", relaxed, dmarc.Message{From: "news.example.com", DKIM: passed("foo.example.com")}, "pass dkim"},
		{"SPF, a cousin, relaxed", relaxed, dmarc.Message{From: "news.example.com", SPF: "foo.example.com"}, "pass spf"},
		{"the second signature", relaxed, dmarc.Message{From: "example.com", DKIM: passed("example.net", "example.com")}, "pass dkim"},
		{"DKIM, strict, same", strict, dmarc.Message{From: "example.com", DKIM: passed("EXAMPLE.com")}, "pass dkim"},
		{"DKIM, strict, subdomain", strict, dmarc.Message{From: "example.com", DKIM: passed("a.example.com")}, "fail reject"},
		{"SPF, strict, subdomain", strict, dmarc.Message{From: "example.com", SPF: "a.example.com"}, "fail reject"},
		{"another domain", relaxed, dmarc.Message{From: "example.com", SPF: "example.net", DKIM: passed("example.org", "badexample.com")}, "fail reject"},
		{"nothing passed", relaxed, dmarc.Message{From: "example.com"}, "fail reject"},
		{"a signature that failed", relaxed, dmarc.Message{From: "example.com", DKIM: []dkim.Verification{{Result: dkim.Fail, Domain: "example.com"}}}, "fail reject"},
		{"a signature of a key in test mode", relaxed, dmarc.Message{From: "example.com", DKIM: []dkim.Verification{{Result: dkim.Pass, Testing: true, Domain: "example.com"}}}, "fail reject"},
		{"a signature of nonsense", relaxed, dmarc.Message{From: "example.com", DKIM: passed("", "a..b")}, "fail reject"},
		{"sp for a subdomain", relaxed, dmarc.Message{From: "a.example.com"}, "fail quarantine"},
		{"np for one that does not exist", relaxed, dmarc.Message{From: "missing.example.com"}, "fail none"},
		{"np, and the DNS does not answer", relaxed, dmarc.Message{From: "down.example.com"}, "temperror"},
		{"p where there is no sp", strict, dmarc.Message{From: "a.example.com"}, "fail reject"},
		{"p where there is no np or sp", strict, dmarc.Message{From: "missing.example.com"}, "fail reject"},
		{"sp where there is no np", "_dmarc.example.com v=DMARC1; p=reject; sp=quarantine", dmarc.Message{From: "missing.example.com"}, "fail quarantine"},
		{"np is not for the domain itself", "_dmarc.missing.example.com v=DMARC1; p=reject; np=none", dmarc.Message{From: "missing.example.com"}, "fail reject"},
		{"sp of its own record is not for it", "_dmarc.a.example.com v=DMARC1; p=reject; sp=none", dmarc.Message{From: "a.example.com"}, "fail reject"},
		{"sp of the public suffix", "_dmarc.com v=DMARC1; p=reject; sp=quarantine; psd=y", dmarc.Message{From: "example.com"}, "fail quarantine"},
		{"t=y: reject", strict + "; t=y", dmarc.Message{From: "example.com"}, "fail quarantine"},
		{"t=y: quarantine", "_dmarc.example.com v=DMARC1; p=quarantine; t=y", dmarc.Message{From: "example.com"}, "fail none"},
		{"t=y: none", "_dmarc.example.com v=DMARC1; p=none; t=y", dmarc.Message{From: "example.com"}, "fail none"},
		{"psd=n parts organisations", apart, dmarc.Message{From: "example.com", DKIM: passed("shop.example.com")}, "fail reject"},
		{"psd=n parts organisations, the other way", apart, dmarc.Message{From: "shop.example.com", DKIM: passed("example.com")}, "fail quarantine"},
		{"psd=n holds one together", apart, dmarc.Message{From: "shop.example.com", DKIM: passed("a.shop.example.com")}, "pass dkim"},
		{"psd=y parts what is below", "_dmarc.com v=DMARC1; p=reject; psd=y", dmarc.Message{From: "example.com", DKIM: passed("other.com")}, "fail reject"},
		{"no record", "", dmarc.Message{From: "example.com", DKIM: passed("example.com")}, "none"},
		{"a record that does nothing", "_dmarc.example.com v=DMARC1; p=destroy", dmarc.Message{From: "example.com"}, "none"},
		{"unknown tags", "_dmarc.example.com v=DMARC1; p=reject; zz=1", dmarc.Message{From: "example.com"}, "fail reject"},
		{"author is no domain", relaxed, dmarc.Message{From: "a..b"}, "none"},
		{"the DNS does not answer for the author", "_dmarc.example.com !", dmarc.Message{From: "example.com"}, "temperror"},
		{"the DNS does not answer for a signer", relaxed + "\n_dmarc.example.net !", dmarc.Message{From: "example.com", DKIM: passed("example.net")}, "temperror"},
		{"the DNS does not answer for a signer, but another is aligned", relaxed + "\n_dmarc.example.net !", dmarc.Message{From: "example.com", DKIM: passed("example.net", "example.com")}, "pass dkim"},
		{"the DNS does not answer for SPF, but DKIM is aligned", relaxed + "\n_dmarc.example.net !", dmarc.Message{From: "example.com", SPF: "example.net", DKIM: passed("example.com")}, "pass dkim"},
		{"IDN", "_dmarc.xn--mnchen-3ya.example v=DMARC1; p=reject", dmarc.Message{From: "M\u00fcnchen.example", DKIM: passed("xn--mnchen-3ya.example")}, "pass dkim"},
	} {
		z := zone{text: c.zone}
		v := z.resolver("missing.example.com").Evaluate(t.Context(), c.message)
		got := v.Result
		if v.SPF {
			got += " spf"
		}
		if v.DKIM {
			got += " dkim"
		}
		if v.Policy != "" {
			got += " " + string(v.Policy)
		}
		if got != c.want || (v.Result == "temperror") != errors.Is(v.Err, errDown) {
			t.Errorf("%s: %s (%v), want %s", c.why, got, v.Err, c.want)
		}
	}
}

// Many signatures of hostile names cost few questions each, and none twice.
func TestQuestionsAreBounded(t *testing.T) {
	z := zone{text: "_dmarc.example.com v=DMARC1; p=reject"}
	var domains []string
	for i := range 10 {
		domains = append(domains, fmt.Sprintf("%d.", i)+strings.Repeat("a.", 100)+"example.net")
	}
	z.resolver().Evaluate(t.Context(), dmarc.Message{From: "example.com", SPF: domains[0], DKIM: passed(domains...)})
	seen := map[string]bool{}
	for _, name := range z.asked {
		if seen[name] {
			t.Errorf("asked twice for %s", name)
		}
		seen[name] = true
	}
	if len(z.asked) > 2+10+7 {
		t.Errorf("%d questions", len(z.asked))
	}
}

func ExampleResolver() {
	r := dmarc.Resolver{LookupTXT: func(_ context.Context, name string) ([]string, error) {
		if name == "_dmarc.example.com" {
			return []string{"v=DMARC1; p=reject"}, nil
		}
		return nil, nil
	}}
	v := r.Evaluate(context.Background(), dmarc.Message{From: "news.example.com", SPF: "bounces.example.net"})
	fmt.Println(v.Result, v.Policy, "by the record of", v.At)

	v = r.Evaluate(context.Background(), dmarc.Message{From: "news.example.com", SPF: "bounces.example.com"})
	fmt.Println(v.Result, v.SPF)
	// Output:
	// fail reject by the record of example.com
	// pass true
}

func ExampleVerdict_AuthResult() {
	var v dmarc.Verdict
	v.Result, v.Domain = "pass", "example.com"
	fmt.Print(strings.ReplaceAll(dkim.AuthenticationResults("mx.example.org", v.AuthResult()), "\r\n", "\n"))
	// Output:
	// Authentication-Results: mx.example.org;
	//  dmarc=pass header.from=example.com
}
