package postrider

import (
	"bytes"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"

	msgauth "github.com/emersion/go-msgauth/dkim"
	"github.com/postrider/postrider/dkim"
	"github.com/postrider/postrider/smtp"
)

// One zone for each finding: what is changed in a good domain, what the doctor says, and what
// receivers do with bulk mail.
func TestPreflightFindings(t *testing.T) {
	for _, c := range []struct {
		why      string
		zone     func(string) string
		patient  func(*Doctor)
		rules    string
		verdicts string
	}{
		{"null MX", swap("MX 10 mail.good.test.", "MX 0 ."), nil, "failure mx-null", allRefuse},
		{"no MX, an address", swap("good.test. MX 10 mail.good.test.", "good.test. A 192.0.2.80"), nil, "notice mx-implicit", allPass},
		{"no MX, no address", swap("good.test. MX 10 mail.good.test.\n", ""), nil, "failure mx-missing", allRefuse},

		{"no SPF", without(`good.test. TXT "v=spf1`), nil, "failure spf-missing", atRiskOne},
		{"two SPF records", add(`good.test. TXT "v=spf1 mx -all"`), nil, "failure spf-malformed", atRiskOne},
		{"SPF syntax", swap("ip4:192.0.2.25 -all", "ipv4:192.0.2.25 -all"), nil, "failure spf-malformed", atRiskOne},
		{"SPF for others only", swap("ip4:192.0.2.25 -all", "ip4:192.0.2.26 -all"), nil, "failure spf-fail", atRiskOne},
		{"SPF softfail", swap("ip4:192.0.2.25 -all", "~all"), nil, "failure spf-softfail", atRiskOne},
		{"SPF neutral", swap("ip4:192.0.2.25 -all", "?all"), nil, "failure spf-neutral", atRiskOne},
		{"SPF for everybody", swap("ip4:192.0.2.25 -all", "+all"), nil, "warning spf-open", allPass},
		{"SPF, 11 lookups before the match", swap("ip4:192.0.2.25 -all", strings.Repeat("a:mail.good.test ", 0)+strings.Repeat("mx:x.test ", 11)+"ip4:192.0.2.25 -all"), nil,
			"failure spf-lookups, warning spf-voids", atRiskOne},
		{"SPF, 11 lookups after the match", swap("ip4:192.0.2.25 -all", "ip4:192.0.2.25"+strings.Repeat(" a:other.good.test", 11)+` -all"`+"\nother.good.test. A 192.0.2.77\nx.good.test. TXT \"x"), nil,
			"failure spf-lookups", allPass},
		{"SPF, 9 lookups", swap("ip4:192.0.2.25 -all", "ip4:192.0.2.25"+strings.Repeat(" a:other.good.test", 9)+` -all"`+"\nother.good.test. A 192.0.2.77\nx.good.test. TXT \"x"), nil,
			"notice spf-lookups-near", allPass},
		{"SPF, void lookups before the match", swap("ip4:192.0.2.25 -all", "a:v1.test a:v2.test a:v3.test ip4:192.0.2.25 -all"), nil, "warning spf-voids", atRiskOne},
		{"SPF of an included domain", swap("ip4:192.0.2.25 -all", "include:x.test -all"), nil, "failure spf-malformed", atRiskOne},
		{"SPF of the EHLO name", swap(`"v=spf1 a -all"`, `"v=spf1 -all"`), nil, "warning spf-hello", allPass},

		{"not signed", nil, func(d *Doctor) { d.Client.Signer = nil }, "failure dkim-missing, notice dmarc-spf-only, failure unsubscribe-unsigned", atRiskOne},
		{"no key of the domain", nil, func(d *Doctor) { d.Client.Signer = dkim.Signer{} }, "failure dkim-key, notice dmarc-spf-only, failure unsubscribe-unsigned", atRiskOne},
		{"a signer that does not sign", nil, func(d *Doctor) { d.Client.Signer = dkim.Signer{Unsigned: true} }, "failure dkim-missing, notice dmarc-spf-only, failure unsubscribe-unsigned", atRiskOne},
		{"no key published", without(`(rsa|ed)._domainkey`), nil, "failure dkim-record-missing, failure dkim-record-missing, notice dmarc-spf-only, failure unsubscribe-unsigned", atRiskOne},
		{"RSA key not published", without(`rsa._domainkey`), nil, "failure dkim-record-missing, notice dmarc-spf-only, failure unsubscribe-unsigned", atRiskOne},
		{"Ed25519 key not published", without(`ed._domainkey`), nil, "failure dkim-record-missing", allPass},
		{"two keys published", add(keyRecord("ed", "ed") + `ed._domainkey.good.test. TXT "v=DKIM1; p="`), nil, "failure dkim-record-multiple", allPass},
		{"another key published", func(z string) string { return without(`rsa._domainkey`)(z) + keyRecord("rsa", "other") }, nil,
			"failure dkim-record-mismatch, notice dmarc-spf-only, failure unsubscribe-unsigned", atRiskOne},
		{"revoked", func(z string) string {
			return without(`rsa._domainkey`)(z) + `rsa._domainkey.good.test. TXT "v=DKIM1; p="`
		}, nil,
			"failure dkim-revoked, notice dmarc-spf-only, failure unsubscribe-unsigned", atRiskOne},
		{"malformed", func(z string) string {
			return without(`rsa._domainkey`)(z) + `rsa._domainkey.good.test. TXT "v=DKIM1; k=rsa"`
		}, nil,
			"failure dkim-record-malformed, notice dmarc-spf-only, failure unsubscribe-unsigned", atRiskOne},
		{"test mode", swap("k=rsa;", "k=rsa; t=y;"), nil, "warning dkim-testing, notice dmarc-spf-only, failure unsubscribe-unsigned", atRiskOne},
		{"t=s and an identity below", swap("k=rsa;", "k=rsa; t=s;"), func(d *Doctor) {
			s := d.Client.Signer.(dkim.Signer)
			s.Keys = []dkim.Key{s.Keys[0]}
			s.Keys[0].Identity = "@news.good.test"
			d.Client.Signer = s
		}, "failure dkim-strict, notice dmarc-spf-only, failure unsubscribe-unsigned", atRiskOne},
		{"Ed25519 only", nil, func(d *Doctor) {
			s := d.Client.Signer.(dkim.Signer)
			d.Client.Signer = dkim.Signer{Keys: s.Keys[1:], Ed25519Alone: true}
		}, "failure dkim-ed25519-only, notice dmarc-spf-only, failure unsubscribe-unsigned", atRiskOne},
		{"1024 bits", func(z string) string { return z + keyRecord("short", "short") }, func(d *Doctor) {
			d.Client.Signer = dkim.Signer{Keys: []dkim.Key{{Domain: "good.test", Selector: "short", Signer: preflightKeys()["short"]}}, ShortRSA: true}
		}, "notice dkim-key-short", allPass},

		{"no DMARC", without(`_dmarc`), nil, "failure dmarc-missing, notice bimi-policy", atRiskOne},
		{"two DMARC records", add(`_dmarc.good.test. TXT "v=DMARC1; p=none"`), nil, "failure dmarc-multiple, notice bimi-policy", atRiskOne},
		{"DMARC of another version", swap("v=DMARC1", "v=DMARC2"), nil, "failure dmarc-malformed, notice bimi-policy", atRiskOne},
		{"DMARC without policy", swap("p=reject; rua=mailto:dmarc@good.test", "p=destroy"), nil, "failure dmarc-malformed, notice bimi-policy", atRiskOne},
		{"p=none", swap("p=reject", "p=none"), nil, "notice dmarc-policy-none, notice bimi-policy", allPass},
		{"t=y", swap("p=reject", "p=reject; t=y"), nil, "notice dmarc-testing", allPass},
		{"no rua", swap("; rua=mailto:dmarc@good.test", ""), nil, "notice dmarc-no-reports", allPass},
		{"signed by another domain, and SPF of another", add(foreign()), signedElsewhere, "failure dmarc-unaligned", allRefuse},
		{"the same under p=quarantine", func(z string) string { return add(foreign())(swap("p=reject", "p=quarantine")(z)) }, signedElsewhere, "failure dmarc-unaligned",
			"Gmail refused, Yahoo refused, Microsoft refused, Apple at risk"},

		{"no PTR", without(`25.2.0.192`), nil, "failure ptr-missing", "Gmail refused, Yahoo refused, Microsoft at risk, Apple refused"},
		{"PTR to a name that leads elsewhere", swap("PTR mail.good.test.", "PTR other.test."), nil, "failure ptr-unconfirmed", "Gmail refused, Yahoo refused, Microsoft at risk, Apple refused"},
		{"PTR made from the address", swap("PTR mail.good.test.", "PTR host-192-0-2-25.isp.test.\nhost-192-0-2-25.isp.test. A 192.0.2.25"), nil, "warning ptr-generic", allPass},
		{"EHLO of one word", nil, func(d *Doctor) { d.Hello = "localhost" }, "warning helo-invalid", allPass},
		{"EHLO name without address", nil, func(d *Doctor) { d.Hello = "no.good.test" }, "warning helo-unresolvable", allPass},
		{"EHLO name of another host", add("web.good.test. A 192.0.2.80"), func(d *Doctor) { d.Hello = "web.good.test" }, "notice helo-mismatch", allPass},

		{"no MTA-STS", without(`_mta-sts`), nil, "notice mta-sts-missing", allPass},
		{"two MTA-STS records", add(`_mta-sts.good.test. TXT "v=STSv1; id=2;"`), nil, "warning mta-sts-malformed", allPass},
		{"no TLSRPT", without(`_smtp._tls`), nil, "notice tlsrpt-missing", allPass},
		{"TLSRPT without address", swap("v=TLSRPTv1; rua=mailto:tls@good.test", "v=TLSRPTv1; rua="), nil, "warning tlsrpt-malformed", allPass},
		{"no BIMI", without(`default._bimi`), nil, "notice bimi-missing", allPass},
		{"BIMI over http", swap("l=https:", "l=http:"), nil, "notice bimi-malformed", allPass},

		{"bulk mail without unsubscribing", nil, func(d *Doctor) { d.Sample.Unsubscribe = nil }, "failure unsubscribe-missing", allRisk},
		{"bulk mail, no sample", nil, func(d *Doctor) { d.Sample = nil }, "notice unsubscribe-unknown", allPass},
		{"a relay in plaintext", nil, func(d *Doctor) {
			d.Client.Transport = &Relay{Host: "relay.test", Security: smtp.Plaintext}
			d.Hello = "mail.good.test"
		}, "warning tls-relay", allPass},
		{"a relay of unknown address", nil, func(d *Doctor) {
			d.Client.Transport = &Relay{Host: "relay.test"}
			d.Sources = nil
			d.Hello = "mail.good.test"
		},
			"notice source-relay", allRisk},
		{"a host behind NAT", nil, func(d *Doctor) {
			d.Sources = nil
			d.ownAddrs = func() []netip.Addr { return []netip.Addr{netip.MustParseAddr("10.0.0.1")} }
		},
			"warning source-unknown", allRisk},
	} {
		t.Run(c.why, func(t *testing.T) {
			zone := withKeys()
			if c.zone != nil {
				zone = c.zone(zone)
			}
			d := patient(zone)
			if c.patient != nil {
				c.patient(d)
			}
			r, err := d.Preflight(t.Context(), "news@good.test")
			if err != nil {
				t.Fatal(err)
			}
			if got := rulesOf(r); got != c.rules {
				t.Errorf("findings: %s\nwant:     %s", got, c.rules)
			}
			if got := verdictsOf(r); got != c.verdicts {
				t.Errorf("judgements: %s\nwant:       %s", got, c.verdicts)
			}
			for _, f := range r.Findings {
				if f.Severity > SeverityPass && (f.Evidence == "" || f.Remedy == "") {
					t.Errorf("no evidence or remedy: %+v", f)
				}
			}
			for _, j := range r.Judgements {
				if (j.Result == "pass") != (len(j.Because) == 0) {
					t.Errorf("no reason: %+v", j)
				}
				for _, rule := range j.Because {
					if !slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Rule == rule && f.Severity > SeverityPass }) {
						t.Errorf("%s is a reason and not a finding", rule)
					}
				}
			}
		})
	}
}

// A domain of a provider that signs and sends for good.test.
func foreign() string {
	return strings.ReplaceAll(keyRecord("rsa", "rsa"), "good.test", "esp.example") + `esp.example. MX 10 mail.good.test.
esp.example. TXT "v=spf1 ip4:192.0.2.25 -all"`
}

// foreignSigner signs everything with the provider's key.
type foreignSigner struct{}

func (f foreignSigner) Sign(message io.Reader) ([]byte, error) {
	// go-msgauth signs with any domain's key.
	var out bytes.Buffer
	err := msgauth.Sign(&out, message, &msgauth.SignOptions{Domain: "esp.example", Selector: "rsa", Signer: preflightKeys()["rsa"],
		HeaderCanonicalization: msgauth.CanonicalizationRelaxed, BodyCanonicalization: msgauth.CanonicalizationRelaxed, HeaderKeys: []string{"From", "Subject"}})
	field, _, _ := strings.Cut(out.String(), "\r\nFrom: ")
	return []byte(field + "\r\n"), err
}

func signedElsewhere(d *Doctor) {
	d.Client.Signer = foreignSigner{}
	d.ReturnPath = "bounces@esp.example"
}
