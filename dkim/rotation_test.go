package dkim_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/dkim"
)

func TestPublished(t *testing.T) {
	key := dkim.Key{Domain: "Example.com", Selector: "s1", Signer: edKey()}
	good := record(edKey(), "")
	down := errors.New("SERVFAIL")
	for name, c := range map[string]struct {
		list []string
		err  error
		want error
	}{
		"good":         {[]string{good}, nil, nil},
		"testing":      {[]string{record(edKey(), "t=y;")}, nil, nil},
		"none":         {nil, nil, dkim.ErrNotPublished},
		"two":          {[]string{good, good}, nil, dkim.ErrNotPublished},
		"revoked":      {[]string{"v=DKIM1; p="}, nil, dkim.ErrNotPublished},
		"malformed":    {[]string{"v=DKIM1"}, nil, dkim.ErrNotPublished},
		"another":      {[]string{record(rsaKey(), "")}, nil, dkim.ErrNotPublished},
		"not answered": {nil, down, down},
	} {
		r, err := key.Published(t.Context(), func(_ context.Context, asked string) ([]string, error) {
			if asked != "s1._domainkey.example.com" {
				t.Errorf("asked for %s", asked)
			}
			return c.list, c.err
		})
		if (c.want == nil) != (err == nil) || !errors.Is(err, c.want) || errors.Is(err, dkim.ErrNotPublished) != (c.want == dkim.ErrNotPublished) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if r.Testing != (name == "testing") {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// A rotation through all its phases, with a record that vanishes and a DNS that fails on the way.
func TestRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const oldName, newName = "old._domainkey.example.com", "new._domainkey.example.com"
		z := zone{oldName: record(rsaKey(), "")}
		var down error
		r := dkim.Rotation{
			Old:     dkim.Key{Domain: "example.com", Selector: "old", Signer: rsaKey()},
			New:     dkim.Key{Domain: "example.com", Selector: "new", Signer: edKey()},
			Visible: 3 * time.Hour,
			LookupTXT: func(ctx context.Context, name string) ([]string, error) {
				if down != nil {
					return nil, down
				}
				return z.lookup(ctx, name)
			},
		}
		step := func(why string, phase dkim.Phase, selector string) {
			t.Helper()
			if got, err := r.Step(t.Context()); got != phase || !errors.Is(err, down) || r.Key().Selector != selector {
				t.Errorf("%s: %q (%v), signing with %s; want %q with %s", why, got, err, r.Key().Selector, phase, selector)
			}
			r = dkim.Rotation{Old: r.Old, New: r.New, Visible: r.Visible, LookupTXT: r.LookupTXT, Seen: r.Seen, Switched: r.Switched} // as after a restart
		}
		step("nothing published", dkim.Publish, "old")
		z[newName] = record(rsaKey(), "")
		step("the wrong key published", dkim.Publish, "old")
		z[newName] = record(edKey(), "")
		step("published", dkim.Wait, "old")
		time.Sleep(2 * time.Hour)
		step("two hours later", dkim.Wait, "old")
		delete(z, newName)
		step("vanished", dkim.Publish, "old")
		z[newName] = record(edKey(), "")
		step("published again", dkim.Wait, "old")
		time.Sleep(2 * time.Hour)
		step("not long enough", dkim.Wait, "old")
		down = errors.New("SERVFAIL")
		time.Sleep(2 * time.Hour)
		step("the DNS is down", "", "old")
		down = nil
		step("seen for four hours", dkim.Keep, "new")
		time.Sleep(6 * 24 * time.Hour)
		step("six days later", dkim.Keep, "new")
		time.Sleep(25 * time.Hour)
		step("seven days later", dkim.Retire, "new")
		down = errors.New("SERVFAIL")
		step("the DNS is down again", "", "new")
		down = nil
		z[oldName] = "v=DKIM1; p="
		step("revoked", dkim.Done, "new")
	})
}

func TestRotationNeedsTwoSelectors(t *testing.T) {
	k := dkim.Key{Domain: "example.com", Selector: "s", Signer: edKey()}
	for _, r := range []dkim.Rotation{{Old: k, New: k}, {Old: k}, {New: k}} {
		if _, err := r.Step(t.Context()); err == nil {
			t.Errorf("%+v: no error", r)
		}
	}
}

func ExampleRotation() {
	oldKey, _ := dkim.GenerateKey(0)
	newKey, _ := dkim.GenerateKey(0)
	r := dkim.Rotation{
		Old:       dkim.Key{Domain: "example.com", Selector: "s2025", Signer: oldKey},
		New:       dkim.Key{Domain: "example.com", Selector: "s2026", Signer: newKey},
		LookupTXT: func(context.Context, string) ([]string, error) { return nil, nil },
	}
	phase, err := r.Step(context.Background())
	fmt.Println(phase, err, "- sign with", r.Key().Selector)
	// Output: publish <nil> - sign with s2025
}
