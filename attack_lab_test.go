package postrider_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/postrider/postrider"
	"github.com/postrider/postrider/mx"
	"github.com/postrider/postrider/mx/dane"
	"github.com/postrider/postrider/mx/memory"
	"github.com/postrider/postrider/mx/mtasts"
)

// Mail to domains that promise something, over real servers and a validating resolver: what keeps its
// promise is served, what does not waits. mx/mtasts compares the same domains with posttls-finger.
func TestLabPromises(t *testing.T) {
	needLab(t)
	dir := t.TempDir()
	direct := labDirect(t)
	direct.Router.TrustAD = true
	direct.Router.Policies = []mx.Policy{
		&dane.Policy{},
		&mtasts.Policy{TLS: labTLS(t), Timeout: 3 * time.Second, Cache: &mtasts.File{Path: filepath.Join(dir, "sts")}},
		&memory.Policy{Path: filepath.Join(dir, "memory"), Roots: labTLS(t).RootCAs},
	}
	client := &postrider.Client{Transport: direct}
	defer client.Close(t.Context())
	user := mailbox(t)
	for _, c := range []struct {
		domain string
		fate   postrider.Fate
		host   string
	}{
		{"dane.test", postrider.FateDelivered, "mx1.dane.test"},
		{"ta.dane.test", postrider.FateDelivered, "mx2.dane.test"},
		{"roll.dane.test", postrider.FateDelivered, "mx4.dane.test"},
		{"self.dane.test", postrider.FateDelivered, "mx5.dane.test"},
		{"old.dane.test", postrider.FateDelivered, "mx6.dane.test"},
		{"unusable.dane.test", postrider.FateDelivered, "mx3.dane.test"},
		{"plain.dane.test", postrider.FateDelivered, "mx7.dane.test"},
		{"badane.test", postrider.FateTemporary, "mx1.badane.test"},
		{"notls.badane.test", postrider.FateTemporary, "mx2.badane.test"},
		{"name.badane.test", postrider.FateTemporary, "mx3.badane.test"},
		{"second.badane.test", postrider.FateDelivered, "mx1.dane.test"},
		{"bogustlsa.test", postrider.FateTemporary, ""},
		{"bogus.test", postrider.FateTemporary, ""},
		{"expired.test", postrider.FateTemporary, ""},
		{"sts.test", postrider.FateDelivered, "mx1.sts.test"},
		{"ststesting.test", postrider.FateDelivered, "mx1.sts.test"},
		{"stsnomatch.test", postrider.FateTemporary, ""},
		{"stswrong.test", postrider.FateTemporary, "wrongname.example.test"},
		{"stsnone.test", postrider.FateDelivered, "mx1.sts.test"},
		{"stsredirect.test", postrider.FateDelivered, "mx1.sts.test"},
		{"stsbadcert.test", postrider.FateDelivered, "mx1.sts.test"},
	} {
		m := hello(user + "@" + c.domain)
		m.From = postrider.Addr("", "ada@example.test")
		receipt, err := client.Send(t.Context(), m)
		if receipt == nil {
			t.Errorf("%s: %v", c.domain, err)
			continue
		}
		r := receipt.Results[0]
		t.Logf("%-20s %-10s %-24s %v", c.domain, postrider.Classify(r).Fate, r.Host, r.Err)
		if got := postrider.Classify(r).Fate; got != c.fate || r.Host != c.host {
			t.Errorf("%s: %s by %q, want %s by %q (%v)", c.domain, got, r.Host, c.fate, c.host, r.Err)
		}
		if c.fate == postrider.FateDelivered && r.TLS == nil {
			t.Errorf("%s: delivered in plaintext", c.domain)
		}
	}
}
