package postrider_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/mx/mxtest"
	"github.com/postrider/postrider/mx/tlsrpt"
	"github.com/postrider/postrider/smtp"
	"github.com/postrider/postrider/smtp/smtptest"
)

// TestReportsOfAttacks: what happened under attack is what the domain is told the next day.
func TestReportsOfAttacks(t *testing.T) {
	for _, c := range []struct {
		name, domain string
		attack       func(f *field)
		envelope     smtp.Envelope
		want         string // "" is no report
	}{
		{"peace", "signed.test", func(*field) {}, smtp.Envelope{}, "tlsa 1/0"},
		{"peace", "pledged.test", func(*field) {}, smtp.Envelope{}, "sts 1/0"},
		{"peace", "plain.test", func(*field) {}, smtp.Envelope{}, "no-policy-found 1/0"},
		{"stripped", "signed.test", stripped, smtp.Envelope{}, "tlsa 0/1 starttls-not-supported"},
		{"stripped", "pledged.test", stripped, smtp.Envelope{}, "sts 0/1 starttls-not-supported"},
		{"stripped", "plain.test", stripped, smtp.Envelope{}, "no-policy-found 0/1 starttls-not-supported"},
		{"refused", "pledged.test", func(f *field) {
			f.inTheMiddle = true
			f.evil.Replies = map[string]string{"STARTTLS": "454 4.7.0 not now"}
		}, smtp.Envelope{}, "sts 0/1 starttls-not-supported"},
		{"wrong certificate", "signed.test", func(f *field) { f.inTheMiddle = true }, smtp.Envelope{}, "tlsa 0/1 validation-failure"},
		{"wrong certificate", "pledged.test", func(f *field) { f.inTheMiddle = true }, smtp.Envelope{}, "sts 0/1 certificate-not-trusted"},
		{"other name", "pledged.test", func(f *field) {
			f.inTheMiddle = true
			f.evil.TLS = authority.Server("evil.test")
		}, smtp.Envelope{}, "sts 0/1 certificate-host-mismatch"},
		{"forged MX", "pledged.test", (*field).forgeAllMX, smtp.Envelope{}, "sts 0/1 validation-failure"},
		{"bogus TLSA", "signed.test", func(f *field) {
			f.zone.Fail("_tcp.mx.signed.test", mxtest.Fault{Rcode: 2})
		}, smtp.Envelope{}, "tlsa 0/1 dnssec-invalid"},
		{"policies waived", "pledged.test", func(*field) {}, smtp.Envelope{TLSOptional: true}, ""},
		{"no connection", "plain.test", func(f *field) { f.forgeMX("plain.test", "gone.test.") }, smtp.Envelope{}, ""},
	} {
		t.Run(c.name+" "+c.domain, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFieldWith(t, smtptest.NewPipe(), smtptest.NewPipe())
				report := ""
				f.reports = &tlsrpt.Reporter{
					Organization: "Sender", Contact: "tls@sender.test",
					Resolver: mxtest.MustParse(fmt.Sprintf(`_smtp._tls.%s. TXT "v=TLSRPTv1; rua=mailto:x@%[1]s"`, c.domain)),
					Mail: func(_ context.Context, _ string, message []byte) error {
						report = briefReport(t, message)
						return nil
					},
				}
				f.begin(c.attack)
				f.deliver(&c.envelope, c.domain)
				time.Sleep(28 * time.Hour)
				if err := f.reports.Send(t.Context()); err != nil {
					t.Fatal(err)
				}
				if report != c.want {
					t.Errorf("the report says %q, want %q", report, c.want)
				}
			})
		})
	}
}

// briefReport reads a mailed report.
func briefReport(t *testing.T, message []byte) string {
	_, body, _ := bytes.Cut(message, []byte(".json.gz\"\r\n\r\n"))
	body, _, _ = bytes.Cut(body, []byte("\r\n--"))
	z, err := gzip.NewReader(base64.NewDecoder(base64.StdEncoding, bytes.NewReader(body)))
	if err != nil {
		t.Fatal(err)
	}
	var r tlsrpt.Report
	if err := json.NewDecoder(z).Decode(&r); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	var words []string
	for _, p := range r.Policies {
		word := fmt.Sprintf("%s %d/%d", p.Policy.Type, p.Summary.Successful, p.Summary.Failed)
		for _, f := range p.Failures {
			word += " " + f.Type
		}
		words = append(words, word)
	}
	return strings.Join(words, "; ")
}
