package postrider

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"github.com/postrider/postrider/dkim/spf"
	"github.com/postrider/postrider/mx/mxtest"
)

// silent is a Resolver that gets no answer about some names.
type silent struct {
	*mxtest.Zone
	names []string
}

func (s silent) Exchange(ctx context.Context, q *dns.Msg) (*dns.Msg, error) {
	if slices.Contains(s.names, dns.CanonicalName(q.Question[0].Name)) {
		return nil, errors.New("timeout")
	}
	return s.Zone.Exchange(ctx, q)
}

// otherwise are the tests of the suite whose right results are not reached, and what comes instead.
var otherwise = map[string]string{
	"spftimeout": "temperror", // records of type SPF (99), which RFC 7208 s. 3.1 took away
	// A name with "/" in it cannot be told from a prefix length by go/spf.
	"a-colon-domain":            "permerror",
	"a-colon-domain-ip4mapped":  "permerror",
	"mx-colon-domain":           "permerror",
	"mx-colon-domain-ip4mapped": "permerror",
	"p-macro-multiple":          "neutral", // go/spf does not expand %{p}, which should not be used (RFC 7208 s. 7.2)
}

// The test suite of openspf.org, through the resolver that the doctor uses.
func TestSPFSuite(t *testing.T) {
	text, err := os.ReadFile("testdata/rfc7208/suite.txt")
	if err != nil {
		t.Fatal(err)
	}
	var tests, passed int
	var zone strings.Builder
	var names []string
	var dns asker
	for line := range strings.Lines(string(text)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		switch f[0] {
		case "suite":
			zone.Reset()
			names, dns = nil, asker{}
		case "rr":
			zone.WriteString(f[1] + "\n")
		case "timeout":
			names = append(names, f[1])
		case "test":
			if dns.Resolver == nil {
				dns.Resolver = silent{mxtest.MustParse(zone.String()), names}
			}
			tests++
			r := spf.Check(t.Context(), dns, spf.Query{IP: netip.MustParseAddr(f[2]), Hello: f[3], Sender: f[4]})
			good := slices.Contains(strings.Split(f[5], ","), r.Verdict)
			if good {
				passed++
			}
			if want := otherwise[f[1]]; good == (want != "") || want != "" && want != r.Verdict {
				t.Errorf("%s: %s (%v), want %s; record %q", f[1], r.Verdict, r.Err, f[5], r.Record)
			}
			if r.Lookups > spf.MaxLookups || r.Voids > spf.MaxVoids+1 {
				t.Errorf("%s: %d lookups, %d void", f[1], r.Lookups, r.Voids)
			}
		}
	}
	t.Logf("%d of %d tests of the suite", passed, tests)
}
