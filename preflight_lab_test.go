package postrider_test

import (
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/postrider/postrider"
	"github.com/postrider/postrider/mx"
)

// The doctor asks real name servers about the lab's domains, which keys of the lab sign for.
func TestLabPreflight(t *testing.T) {
	if os.Getenv("LAB_DIR") == "" {
		t.Skip("lab is not running: see .ci/lab/README.md")
	}
	d := &postrider.Doctor{
		Client:   &postrider.Client{Signer: labSigner(t)},
		Resolver: &mx.DNS{Servers: []string{os.Getenv("LAB_RESOLVER")}},
		Sources:  []netip.Addr{netip.MustParseAddr("127.0.0.10")},
		Hello:    "mx1.example.test",
		Bulk:     true,
	}
	r, err := d.Preflight(t.Context(), "alice@example.test")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.Findings {
		t.Log(f)
		if f.Severity > postrider.SeverityNotice {
			t.Errorf("%s", f)
		}
	}
	if err := r.Err(); err != nil {
		t.Error(err)
	}
	for from, rule := range map[string]string{"alice@null.test": "mx-null", "alice@no-such.test": "mx-missing", "alice@nomx.test": "mx-implicit", "alice@servfail.test": "dns-trouble"} {
		r, err := d.Preflight(t.Context(), from)
		if err != nil {
			t.Fatal(err)
		}
		var rules []string
		for _, f := range r.Findings {
			rules = append(rules, f.Rule)
		}
		if !strings.Contains(strings.Join(rules, " "), rule) {
			t.Errorf("%s: %s, want %s", from, rules, rule)
		}
	}
}
