package dmarc_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/postrider/postrider/dkim/dmarc"
)

func TestParseRecord(t *testing.T) {
	for text, want := range map[string]dmarc.Record{
		"v=DMARC1; p=none":               {Policy: "none"},
		"v=DMARC1;p=Reject;":             {Policy: "reject"},
		" v = DMARC1 ;\tp = quarantine ": {Policy: "quarantine"},
		"V=DMARC1; P=reject":             {Policy: "reject"},
		"v=DMARC1; rua=mailto:a@b.c; p=reject; sp=none; np=quarantine; adkim=s; aspf=r; t=y; psd=n; fo=1:d; ruf=mailto:r@b.c": {
			Policy: "reject", Subdomains: "none", Nonexistent: "quarantine", StrictDKIM: true, Testing: true, PSD: "n", FailureOptions: "1:d",
			Aggregate: []string{"mailto:a@b.c"}, Failure: []string{"mailto:r@b.c"}},
		// Unknown and removed tags, and what is malformed, are ignored (s. 4.7, 4.8).
		"v=DMARC1; p=none; pct=50; rf=afrf; ri=86400; x=y; nonsense; =; ;; adkim=q; psd=maybe; t=x; fo=7": {Policy: "none"},
		"v=DMARC1; p=none; rua=mailto:a@b.c!10m , https://x.example/r,nonsense, mailto:":                  {Policy: "none", Aggregate: []string{"mailto:a@b.c", "https://x.example/r"}},
		"v=DMARC1; p=reject; p=none": {Policy: "reject"},
		// No valid p, or an invalid sp or np (s. 4.10.1).
		"v=DMARC1":                                           {},
		"v=DMARC1; rua=nonsense":                             {},
		"v=DMARC1; rua=mailto:a@b.c":                         {Policy: "none", Aggregate: []string{"mailto:a@b.c"}},
		"v=DMARC1; p=destroy":                                {},
		"v=DMARC1; p=destroy; rua=mailto:a@b.c":              {Policy: "none", Aggregate: []string{"mailto:a@b.c"}},
		"v=DMARC1; p=reject; sp=destroy":                     {},
		"v=DMARC1; p=reject; sp=destroy; rua=mailto:a@b.c":   {Policy: "none", Aggregate: []string{"mailto:a@b.c"}},
		"v=DMARC1; p=reject; np=; rua=mailto:a@b.c; sp=none": {Policy: "none", Aggregate: []string{"mailto:a@b.c"}},
	} {
		if got, err := dmarc.ParseRecord(text); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n%+v, %v\nwant %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "v=spf1 -all", "p=none; v=DMARC1", "v=dmarc1; p=none", "v=DMARC2; p=none", "v=DMARC1.1; p=none", "DMARC1", ";v=DMARC1", "v=DMARC1, p=none"} {
		if r, err := dmarc.ParseRecord(text); !errors.Is(err, dmarc.ErrNoRecord) {
			t.Errorf("%q: %+v, %v", text, r, err)
		}
	}
}

func FuzzParseRecord(f *testing.F) {
	f.Add("v=DMARC1; p=none")
	f.Add("v=DMARC1; rua=mailto:a@b.c!10m; p=reject; sp=none; np=quarantine; adkim=s; aspf=s; t=y; psd=n; fo=1:d; ruf=mailto:r@b.c")
	f.Add("v=DMARC1; rua=a:b,c://d; sp=x")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := dmarc.ParseRecord(text)
		if err != nil {
			return
		}
		again, err := dmarc.ParseRecord(r.String())
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Errorf("%q is read as %+v, written as %q, read again as %+v, %v", text, r, r, again, err)
		}
	})
}

func ExampleRecord() {
	r := dmarc.Record{Policy: dmarc.Reject, StrictDKIM: true, Aggregate: []string{"mailto:dmarc@example.com"}}
	fmt.Println("_dmarc.example.com. IN TXT", fmt.Sprintf("%q", r))
	// Output: _dmarc.example.com. IN TXT "v=DMARC1; p=reject; adkim=s; rua=mailto:dmarc@example.com"
}

func ExamplePolicy() {
	r, _ := dmarc.ParseRecord("v=DMARC1; p=quarantine; pct=50")
	fmt.Println(r.Policy == dmarc.Quarantine, strings.ToUpper(string(r.Policy)))
	// Output: true QUARANTINE
}
