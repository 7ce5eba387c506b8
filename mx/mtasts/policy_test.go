package mtasts_test

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/postrider/postrider/mx"
	"github.com/postrider/postrider/mx/mtasts"
	"github.com/postrider/postrider/mx/mxtest"
)

func TestModes(t *testing.T) {
	bubble(t, "enforce", func(t *testing.T, w *world) {
		r := w.expect(t, "enforced")
		f := r.Findings[0]
		if f.Type != "sts" || f.Domain != "example.test" || !f.Enforced || f.Result != "" || len(f.Text) != 5 ||
			!slices.Equal(f.Hosts, []string{"mx1.example.test"}) || !slices.Equal(f.MX, []string{"mx1.example.test", "*.mail.test"}) {
			t.Errorf("finding %+v", f)
		}
		if len(w.Dialled()) != 1 || w.Dialled()[0] != "tcp 9.0.0.20:443" {
			t.Errorf("dialled %q", w.Dialled())
		}
	})
	bubble(t, "testing", func(t *testing.T, w *world) {
		w.serve(strings.Replace(policyText, "enforce", "testing", 1))
		r := w.expect(t, "testing")
		if f := r.Findings[0]; f.Enforced || len(f.Hosts) != 1 {
			t.Errorf("finding %+v", f)
		}
	})
	bubble(t, "mode none", func(t *testing.T, w *world) {
		w.serve("version: STSv1\nmode: none\nmax_age: 86400\n")
		if r := w.expect(t, "none"); len(r.Findings) != 0 {
			t.Errorf("findings %+v", r.Findings)
		}
	})
	bubble(t, "no record", func(t *testing.T, w *world) {
		w.id(t, "")
		if r := w.expect(t, "none"); len(r.Findings) != 0 || len(w.Dialled()) != 0 {
			t.Errorf("findings %+v, dialled %q", r.Findings, w.Dialled())
		}
	})
}

func TestNoHostLeft(t *testing.T) {
	bubble(t, "", func(t *testing.T, w *world) {
		r := w.route("evil.test", "a.b.mail.test")
		err := w.Apply(context.Background(), r)
		var e *mx.Error
		if !errors.As(err, &e) || !e.Temporary() || e.Status != "4.7.5" {
			t.Errorf("Apply: %v, want a temporary *mx.Error", err)
		}
		if f := r.Findings[0]; f.Result != "validation-failure" || f.Reason == "" || !f.Enforced {
			t.Errorf("finding %+v", f)
		}
	})
}

// DANE comes first (RFC 8461 s. 2): neither is a host that DANE protects cut or asked for more, nor does
// a host that DANE has made unusable come back.
func TestDANEFirst(t *testing.T) {
	bubble(t, "", func(t *testing.T, w *world) {
		r := w.route("evil.test", "mx1.example.test", "x.mail.test")
		broken := errors.New("TLSA lookup: SERVFAIL")
		r.Hosts[0].Demand = mx.Demand{Level: mx.DANE, Names: []string{"evil.test"}, Why: "DANE"}
		r.Hosts[1].Err = broken
		r.Hosts[2].Demand = mx.Demand{Level: mx.Encrypted, Why: "DANE: unusable records"}
		if err := w.Apply(context.Background(), r); err != nil || len(r.Hosts) != 3 {
			t.Fatalf("%+v, %v", r, err)
		}
		if d := r.Hosts[0].Demand; d.Level != mx.DANE || d.Why != "DANE" || d.Names[0] != "evil.test" {
			t.Errorf("the DANE host's demand is now %+v", d)
		}
		if r.Hosts[1].Err != broken {
			t.Errorf("the broken host is now %+v", r.Hosts[1])
		}
		if d := r.Hosts[2].Demand; d.Level != mx.Verified || !strings.HasPrefix(d.Why, "DANE: unusable records; MTA-STS") {
			t.Errorf("the host without usable records is now %+v", d)
		}
	})
}

// What goes wrong with a policy that was never seen leaves the domain without one (RFC 8461 s. 3.3), and says so.
func TestFetchFailures(t *testing.T) {
	plain := func(status int, media, body string) http.HandlerFunc {
		return func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Type", media)
			rw.Header().Set("Location", "https://mta-sts.example.test/.well-known/mta-sts.txt")
			rw.WriteHeader(status)
			rw.Write([]byte(body))
		}
	}
	for name, c := range map[string]struct {
		spoil  func(t *testing.T, w *world)
		result string
	}{
		"policy host down": {func(_ *testing.T, w *world) { w.Down(true) }, "sts-policy-fetch-error"},
		"404":              {func(_ *testing.T, w *world) { w.handle(plain(404, "text/plain", policyText)) }, "sts-policy-fetch-error"},
		"redirect":         {func(_ *testing.T, w *world) { w.handle(plain(301, "text/plain", policyText)) }, "sts-policy-fetch-error"},
		"html":             {func(_ *testing.T, w *world) { w.handle(plain(200, "text/html", policyText)) }, "sts-policy-fetch-error"},
		"no media type":    {func(_ *testing.T, w *world) { w.handle(plain(200, "", policyText)) }, "sts-policy-fetch-error"},
		"malformed":        {func(_ *testing.T, w *world) { w.serve("hello") }, "sts-policy-invalid"},
		"too large":        {func(_ *testing.T, w *world) { w.serve(policyText + strings.Repeat("x: y\n", 14000)) }, "sts-policy-invalid"},
		"endless":          {func(_ *testing.T, w *world) { w.handle(endless) }, "sts-policy-invalid"},
		"cut off":          {func(_ *testing.T, w *world) { w.handle(cutOff) }, "sts-policy-fetch-error"},
		"stalls":           {func(_ *testing.T, w *world) { w.handle(stalls) }, "sts-policy-fetch-error"},
		"two records": {func(t *testing.T, w *world) {
			if err := w.zone.Load(zoneText + "\n\t_mta-sts.example.test. TXT \"v=STSv1; id=2\"\n"); err != nil {
				t.Fatal(err)
			}
		}, "sts-policy-invalid"},
		"servfail":             {func(_ *testing.T, w *world) { w.zone.Fail("_mta-sts.example.test", servfail) }, "sts-policy-invalid"},
		"no address":           {func(_ *testing.T, w *world) { w.zone.Fail("mta-sts.example.test", servfail) }, "sts-policy-fetch-error"},
		"another certificate":  {func(t *testing.T, w *world) { w.Policy = newWorld(t, "other.example.test").Policy }, "sts-webpki-invalid"},
		"an unknown authority": {func(t *testing.T, w *world) { w.TLS.RootCAs = newWorld(t).TLS.RootCAs }, "sts-webpki-invalid"},
		"skip verification?":   {func(t *testing.T, w *world) { w.TLS.RootCAs = newWorld(t).TLS.RootCAs; w.TLS.InsecureSkipVerify = true }, "sts-webpki-invalid"},
		"loopback": {func(t *testing.T, w *world) {
			if err := w.zone.Load(strings.Replace(zoneText, "9.0.0.20", "127.0.0.1", 1)); err != nil {
				t.Fatal(err)
			}
		}, "sts-policy-fetch-error"},
	} {
		bubble(t, name, func(t *testing.T, w *world) {
			c.spoil(t, w)
			start := time.Now()
			r := w.expect(t, "none")
			if took := time.Since(start); took > 31*time.Second {
				t.Errorf("it took %v", took)
			}
			if len(r.Findings) != 1 || r.Findings[0].Result != c.result || r.Findings[0].Reason == "" {
				t.Errorf("findings %+v, want %s", r.Findings, c.result)
			}
			if name == "loopback" && len(w.Dialled()) != 0 {
				t.Errorf("dialled %q", w.Dialled())
			}
		})
	}
}

var servfail = mxtest.Fault{Rcode: dns.RcodeServerFailure}

// endless panics, in the end, where the reader should have stopped long before.
func endless(rw http.ResponseWriter, _ *http.Request) {
	rw.Header().Set("Content-Type", "text/plain")
	for range 1 << 20 {
		if _, err := rw.Write([]byte("x: y\n")); err != nil {
			return
		}
	}
	panic("five megabytes were taken")
}

func cutOff(rw http.ResponseWriter, _ *http.Request) {
	rw.Header().Set("Content-Type", "text/plain")
	rw.Header().Set("Content-Length", "1000")
	rw.Write([]byte(policyText))
}

func stalls(rw http.ResponseWriter, r *http.Request) {
	rw.Header().Set("Content-Type", "text/plain")
	rw.(http.Flusher).Flush()
	<-r.Context().Done()
}

// A policy that is in the cache counts until it expires, whatever an attacker does to DNS and HTTPS.
func TestCachedPolicyHolds(t *testing.T) {
	for name, attack := range map[string]func(t *testing.T, w *world){
		"record gone":        func(t *testing.T, w *world) { w.id(t, "") },
		"DNS fails":          func(_ *testing.T, w *world) { w.zone.Fail(".", servfail) },
		"new id, host down":  func(t *testing.T, w *world) { w.id(t, "2"); w.Down(true) },
		"new id, 404":        func(t *testing.T, w *world) { w.id(t, "2"); w.handle(http.NotFound) },
		"new id, malformed":  func(t *testing.T, w *world) { w.id(t, "2"); w.serve("version: STSv1\nmode: off\nmax_age: 1") },
		"new id, stranger's": func(t *testing.T, w *world) { w.id(t, "2"); w.TLS.RootCAs = newWorld(t).TLS.RootCAs },
	} {
		bubble(t, name, func(t *testing.T, w *world) {
			cache := filepath.Join(t.TempDir(), "policies")
			w.again(&mtasts.File{Path: cache})
			w.expect(t, "enforced")
			attack(t, w)
			w.again(&mtasts.File{Path: cache}) // also after a restart
			for range 6 {
				time.Sleep(24 * time.Hour)
				w.expect(t, "enforced")
			}
			time.Sleep(25 * time.Hour) // 7 days and an hour: max_age is over
			w.expect(t, "none")
		})
	}
}

func TestChangesAreSeen(t *testing.T) {
	bubble(t, "new id", func(t *testing.T, w *world) {
		w.expect(t, "enforced")
		w.serve(strings.Replace(policyText, "enforce", "testing", 1))
		time.Sleep(2 * time.Minute)
		w.expect(t, "enforced") // same id: the cache
		w.id(t, "2")
		w.expect(t, "testing")
		w.serve("version: STSv1\nmode: none\nmax_age: 86400\n")
		w.id(t, "3")
		w.expect(t, "testing") // a minute must pass between two fetches
		time.Sleep(2 * time.Minute)
		w.expect(t, "none")
		if w.fetches != 3 {
			t.Errorf("%d fetches, want 3", w.fetches)
		}
	})
	bubble(t, "daily refresh", func(t *testing.T, w *world) {
		for range 20 { // longer than max_age
			w.expect(t, "enforced")
			w.expect(t, "enforced")
			time.Sleep(24 * time.Hour)
		}
		if w.fetches != 20 || len(w.notices) != 0 {
			t.Errorf("%d fetches, want 20; notices %q", w.fetches, w.notices)
		}
	})
	bubble(t, "refresh without mail", func(t *testing.T, w *world) {
		w.expect(t, "enforced")
		w.Resolver = w.zone
		for range 40 {
			time.Sleep(12 * time.Hour)
			if err := w.Refresh(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		w.Down(true)
		w.expect(t, "enforced")
		time.Sleep(24 * time.Hour)
		if err := w.Refresh(context.Background()); err == nil {
			t.Error("a refresh that fails is not told")
		}
	})
}

// A policy host that fails is left alone for five minutes, whatever id the record has, and an administrator
// hears of a policy that cannot be refreshed.
func TestFailuresAreSpaced(t *testing.T) {
	bubble(t, "", func(t *testing.T, w *world) {
		w.expect(t, "enforced")
		w.Down(true)
		time.Sleep(time.Hour)
		for i := range 60 {
			w.id(t, string(rune('a'+i%26)))
			r := w.expect(t, "enforced")
			if f := r.Findings[0]; f.Result != "sts-policy-fetch-error" || !f.Enforced {
				t.Fatalf("finding %+v", f)
			}
			time.Sleep(10 * time.Second)
		}
		if len(w.Dialled()) != 1+2 {
			t.Errorf("%d connections in ten minutes, want 2 besides the first", len(w.Dialled()))
		}
		if len(w.notices) == 0 || !strings.Contains(w.notices[0], "could not be refreshed") {
			t.Errorf("notices %q", w.notices)
		}
	})
}

func TestOneFetchForMany(t *testing.T) {
	bubble(t, "", func(t *testing.T, w *world) {
		gate := make(chan struct{})
		w.handle(func(rw http.ResponseWriter, _ *http.Request) {
			<-gate
			rw.Header().Set("Content-Type", "text/plain")
			rw.Write([]byte(policyText))
		})
		impatient, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		results := make(chan int)
		for i := range 20 {
			go func() {
				ctx := context.Background()
				if i == 0 {
					ctx = impatient
				}
				r := w.route("mx1.example.test", "evil.test")
				w.Apply(ctx, r)
				results <- len(r.Hosts)
			}()
		}
		if n := <-results; n != 2 {
			t.Errorf("who gives up has %d hosts, want 2", n)
		}
		synctest.Wait()
		close(gate)
		for range 19 {
			if n := <-results; n != 1 {
				t.Errorf("%d hosts, want 1", n)
			}
		}
		if w.fetches != 1 {
			t.Errorf("%d fetches, want 1", w.fetches)
		}
	})
}

// brokenCache fails always.
type brokenCache struct{}

func (brokenCache) Get(string) (*mtasts.Entry, error) { return nil, errors.New("disk on fire") }
func (brokenCache) Put(string, mtasts.Entry) error    { return errors.New("disk on fire") }
func (brokenCache) Domains() ([]string, error)        { return nil, errors.New("disk on fire") }

func TestBrokenCache(t *testing.T) {
	bubble(t, "", func(t *testing.T, w *world) {
		w.again(brokenCache{})
		for range 10 {
			w.expect(t, "enforced")
			time.Sleep(50 * time.Second)
		}
		if len(w.notices) < 10 || !strings.Contains(w.notices[0], "disk on fire") {
			t.Errorf("notices %q", w.notices)
		}
	})
}

func TestNotApplicable(t *testing.T) {
	for _, domain := range []string{"[192.0.2.1]", "", "a..b", strings.Repeat("a.", 123) + "test", "_x.test", "*.test"} {
		r := &mx.Route{Domain: domain, Resolver: mxtest.MustParse(""), Hosts: []mx.Host{{Name: "a.test"}}}
		if err := new(mtasts.Policy).Apply(context.Background(), r); err != nil || len(r.Hosts) != 1 || len(r.Notes) != 0 {
			t.Errorf("%q: %+v, %v", domain, r, err)
		}
	}
}
