package postrider

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
	"github.com/postrider/postrider/dkim"
	"github.com/postrider/postrider/mx/mxtest"
)

var preflightKeys = sync.OnceValue(func() map[string]crypto.Signer {
	keys := map[string]crypto.Signer{}
	for name, bits := range map[string]int{"rsa": 2048, "other": 2048, "ed": 0} {
		k, err := dkim.GenerateKey(bits)
		if err != nil {
			panic(err)
		}
		keys[name] = k
	}
	k, err := rsa.GenerateKey(rand.Reader, 1024) // which dkim.GenerateKey does not make
	if err != nil {
		panic(err)
	}
	keys["short"] = k
	return keys
})

// goodZone is a domain that everybody likes; the cases change a line of it.
const goodZone = `
good.test. MX 10 mail.good.test.
good.test. TXT "site-verification=1"
good.test. TXT "v=spf1 ip4:192.0.2.25 -all"
_dmarc.good.test. TXT "v=DMARC1; p=reject; rua=mailto:dmarc@good.test"
_mta-sts.good.test. TXT "v=STSv1; id=20260101;"
_smtp._tls.good.test. TXT "v=TLSRPTv1; rua=mailto:tls@good.test"
default._bimi.good.test. TXT "v=BIMI1; l=https://good.test/logo.svg; a="
mail.good.test. A 192.0.2.25
mail.good.test. TXT "v=spf1 a -all"
25.2.0.192.in-addr.arpa. PTR mail.good.test.
`

func keyRecord(name, key string) string {
	r, err := dkim.Key{Signer: preflightKeys()[key]}.Record()
	if err != nil {
		panic(err)
	}
	return r.Zone(name + "._domainkey.good.test")
}

// patient is a doctor's patient: mail from good.test, signed by a published RSA and an Ed25519 key.
func patient(zone string) *Doctor {
	keys := preflightKeys()
	return &Doctor{
		Client: &Client{
			Transport: &Direct{Hello: "mail.good.test"},
			Signer: dkim.Signer{Keys: []dkim.Key{
				{Domain: "good.test", Selector: "rsa", Signer: keys["rsa"]},
				{Domain: "good.test", Selector: "ed", Signer: keys["ed"]},
			}},
		},
		Resolver: mxtest.MustParse(zone),
		Sources:  []netip.Addr{netip.MustParseAddr("192.0.2.25")},
		Bulk:     true,
		Sample: &Message{From: Addr("", "news@good.test"), To: []Address{Addr("", "b@x.test")}, Subject: "The news of this week", Text: "Unsubscribe: https://good.test/u/1",
			Unsubscribe: &Unsubscribe{URL: "https://good.test/u/1"}},
	}
}

func withKeys() string { return goodZone + keyRecord("rsa", "rsa") + keyRecord("ed", "ed") }

func swap(old, new string) func(string) string {
	return func(zone string) string {
		if !strings.Contains(zone, old) {
			panic("the zone has no " + old)
		}
		return strings.Replace(zone, old, new, 1)
	}
}

// without takes out all lines that match.
func without(pattern string) func(string) string {
	re := regexp.MustCompile(`(?m)^` + pattern + `.*?(\(\n(\t.*\n)+|\n)`)
	return func(zone string) string {
		if !re.MatchString(zone) {
			panic("the zone has no " + pattern)
		}
		return re.ReplaceAllString(zone, "")
	}
}

func add(lines string) func(string) string {
	return func(zone string) string { return zone + lines + "\n" }
}

func verdictsOf(r *Report) string {
	var list []string
	for _, j := range r.Judgements {
		list = append(list, j.Receiver+" "+j.Result)
	}
	return strings.Join(list, ", ")
}

// rulesOf lists the findings that are not good.
func rulesOf(r *Report) string {
	var list []string
	for _, f := range r.Findings {
		if f.Severity > SeverityPass {
			list = append(list, f.Severity.String()+" "+f.Rule)
		}
	}
	return strings.Join(list, ", ")
}

const (
	allPass   = "Gmail pass, Yahoo pass, Microsoft pass, Apple pass"
	allRefuse = "Gmail refused, Yahoo refused, Microsoft refused, Apple refused"
	atRiskOne = "Gmail refused, Yahoo refused, Microsoft refused, Apple at risk" // of bulk mail
	allRisk   = "Gmail at risk, Yahoo at risk, Microsoft at risk, Apple at risk"
)

func TestPreflightGood(t *testing.T) {
	r, err := patient(withKeys()).Preflight(t.Context(), "news@Good.Test")
	if err != nil {
		t.Fatal(err)
	}
	if got := verdictsOf(r); got != allPass || r.Err() != nil || rulesOf(r) != "" {
		t.Errorf("%s; findings %s; %v", got, rulesOf(r), r.Err())
	}
	var passed []string
	for _, f := range r.Findings {
		passed = append(passed, f.Rule)
	}
	if got := strings.Join(passed, " "); got != "mx-pass spf-pass dkim-pass dkim-pass dmarc-pass ptr-pass helo-pass tls-pass mta-sts-pass tlsrpt-pass bimi-pass" {
		t.Errorf("good findings: %s", got)
	}
}

// Few mails a day: the rules for all senders.
func TestPreflightFewMails(t *testing.T) {
	for _, c := range []struct {
		why      string
		zone     func(string) string
		unsigned bool
		verdicts string
	}{
		{"good", nil, false, allPass},
		{"no SPF", without(`good.test. TXT "v=spf1`), false, "Gmail pass, Yahoo pass, Microsoft pass, Apple at risk"},
		{"no DKIM", nil, true, "Gmail pass, Yahoo pass, Microsoft pass, Apple at risk"},
		{"no DMARC", without(`_dmarc`), false, "Gmail pass, Yahoo pass, Microsoft pass, Apple at risk"},
		{"neither, and p=reject", without(`good.test. TXT "v=spf1`), true, allRefuse},
		{"neither, and no DMARC", func(z string) string { return without(`_dmarc`)(without(`good.test. TXT "v=spf1`)(z)) }, true, "Gmail refused, Yahoo refused, Microsoft at risk, Apple refused"},
		{"no PTR", without(`25.2.0.192`), false, "Gmail refused, Yahoo refused, Microsoft at risk, Apple refused"},
	} {
		zone := withKeys()
		if c.zone != nil {
			zone = c.zone(zone)
		}
		d := patient(zone)
		d.Bulk, d.Sample = false, nil
		if c.unsigned {
			d.Client.Signer = nil
		}
		r, err := d.Preflight(t.Context(), "news@good.test")
		if err != nil {
			t.Fatal(err)
		}
		if got := verdictsOf(r); got != c.verdicts || (r.Err() != nil) != strings.Contains(c.verdicts, "refused") {
			t.Errorf("%s: %s (%v), want %s; %s", c.why, got, r.Err(), c.verdicts, rulesOf(r))
		}
	}
}

// The DNS fails at each question in its turn: never a refusal, never a clean bill.
func TestPreflightDNSTrouble(t *testing.T) {
	zone := mxtest.MustParse(withKeys())
	d := patient("")
	d.Resolver = zone
	if _, err := d.Preflight(t.Context(), "news@good.test"); err != nil {
		t.Fatal(err)
	}
	asked := zone.Asked()
	slices.Sort(asked)
	asked = slices.Compact(asked)
	for _, question := range asked {
		name, kind, _ := strings.Cut(question, " ")
		d.Resolver = breaking{mxtest.MustParse(withKeys()), name, dns.StringToType[kind]}
		r, err := d.Preflight(t.Context(), "news@good.test")
		if err != nil {
			t.Fatal(err)
		}
		if got := verdictsOf(r); strings.Contains(got, "refused") {
			t.Errorf("no answer to %s: %s (%s)", question, got, rulesOf(r))
		}
		rules := strings.ReplaceAll(rulesOf(r), "warning dns-trouble", "")
		if kind != "AAAA" && !strings.Contains(rulesOf(r), "dns-trouble") || strings.Contains(rules, "failure") {
			t.Errorf("no answer to %s: %s", question, rulesOf(r))
		}
	}
	if len(asked) < 12 {
		t.Errorf("only %d questions: %s", len(asked), asked)
	}
}

// breaking does not answer one question.
type breaking struct {
	*mxtest.Zone
	name string
	kind uint16
}

func (b breaking) Exchange(ctx context.Context, q *dns.Msg) (*dns.Msg, error) {
	if q.Question[0].Name == b.name && q.Question[0].Qtype == b.kind {
		return nil, errors.New("timeout")
	}
	return b.Zone.Exchange(ctx, q)
}

func TestPreflightErrors(t *testing.T) {
	d := patient(withKeys())
	for _, from := range []string{"", "news", "news@", "a b@good.test", "news@good.test\r\n"} {
		if r, err := d.Preflight(t.Context(), from); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %+v, %v", from, r, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Preflight(ctx, "news@good.test"); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	d.ReturnPath = "no address"
	if _, err := d.Preflight(t.Context(), "news@good.test"); !errors.Is(err, ErrInvalid) {
		t.Errorf("a malformed return path: %v", err)
	}
}

// What strangers publish must not command the terminal.
func TestPreflightPrintable(t *testing.T) {
	d := patient(swap(`"v=spf1 ip4:192.0.2.25 -all"`, `"v=spf1 \027[2J\007\010ok -all"`)(withKeys()))
	r, err := d.Preflight(t.Context(), "news@good.test")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.Findings {
		if strings.ContainsAny(f.Evidence+f.Remedy, "\x1b\x07\n\x00") {
			t.Errorf("%q", f)
		}
	}
}

func TestPreflightFilter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		zone := mxtest.MustParse(without(`25.2.0.192`)(withKeys()))
		d := patient("")
		d.Resolver, d.Client.Transport = zone, new(Record)
		d.Hello = "mail.good.test"
		c := &Client{Transport: d.Client.Transport, Signer: d.Client.Signer, Filters: []Filter{d.Filter()}}
		send := func(to string) error {
			_, err := c.Send(t.Context(), &Message{From: Addr("", "news@good.test"), To: []Address{Addr("", to)}, Subject: "s", Text: "t"})
			return err
		}
		for to, refuses := range map[string]bool{"b@gmail.com": true, "b@GoogleMail.com": true, "b@yahoo.co.uk": true, "b@icloud.com": true, "b@hotmail.com": false, "b@example.org": false, "b@yahoo.example": false} {
			if err := send(to); refuses != errors.Is(err, ErrInvalid) || refuses && !strings.Contains(err.Error(), "ptr-missing") {
				t.Errorf("%s: %v", to, err)
			}
		}
		before := len(zone.Asked())
		if send("b@gmail.com"); len(zone.Asked()) != before {
			t.Error("the identity was looked at twice within five minutes")
		}
		if err := zone.Load(withKeys()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(6 * time.Minute)
		if err := send("b@gmail.com"); err != nil {
			t.Errorf("after it was mended: %v", err)
		}
		before = len(zone.Asked())
		time.Sleep(50 * time.Minute)
		if send("b@gmail.com"); len(zone.Asked()) != before {
			t.Error("a good identity was looked at twice within an hour")
		}
		if err := zone.Load(swap("MX 10 mail.good.test.", "MX 0 .")(withKeys())); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if err := send("b@example.org"); !errors.Is(err, ErrInvalid) {
			t.Errorf("what all refuse: %v", err)
		}
		zone.Fail(".", mxtest.Fault{Rcode: dns.RcodeServerFailure})
		time.Sleep(time.Hour)
		if err := send("b@example.org"); err != nil {
			t.Errorf("while the DNS is down: %v", err)
		}
	})
}

func ExampleClient_Preflight() {
	key, err := dkim.GenerateKey(2048)
	if err != nil {
		panic(err)
	}
	client := &Client{Signer: dkim.Signer{Keys: []dkim.Key{{Domain: "example.com", Selector: "s2026", Signer: key}}}}
	doctor := &Doctor{
		Client:   client, // client.Preflight(ctx, from) asks the DNS of this host
		Resolver: mxtest.MustParse("example.com. MX 10 mail.example.com.\nexample.com. TXT \"v=spf1 ip4:192.0.2.25 -all\""),
		Sources:  []netip.Addr{netip.MustParseAddr("192.0.2.25")},
		Hello:    "mail.example.com",
	}
	report, err := doctor.Preflight(context.Background(), "ada@example.com")
	if err != nil {
		panic(err)
	}
	for _, f := range report.Findings {
		if f.Severity == SeverityFailure {
			fmt.Println(f.Rule)
		}
	}
	for _, j := range report.Judgements {
		fmt.Println(j.Receiver, j.Result)
	}
	// Output:
	// dkim-record-missing
	// ptr-missing
	// Gmail refused
	// Yahoo refused
	// Microsoft at risk
	// Apple refused
}
