package mtasts_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/mx"
	"github.com/postrider/postrider/mx/internal/web/webtest"
	"github.com/postrider/postrider/mx/mtasts"
	"github.com/postrider/postrider/mx/mxtest"
)

// bubble runs a test with a world in a synctest bubble.
func bubble(t *testing.T, name string, f func(t *testing.T, w *world)) {
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { f(t, newWorld(t)) })
	})
}

// world is a zone with a policy host over pipes, at home in a synctest bubble.
type world struct {
	*mtasts.Policy
	*webtest.Server
	zone *mxtest.Zone

	mu      sync.Mutex
	handler http.HandlerFunc
	notices []string
	fetches int
}

const policyText = "version: STSv1\r\nmode: enforce\r\nmx: mx1.example.test\r\nmx: *.mail.test\r\nmax_age: 604800\r\n"

const zoneText = `
	_mta-sts.example.test. TXT "v=STSv1; id=1"
	mta-sts.example.test. CNAME policies.test.
	policies.test. A 9.0.0.20
`

// newWorld serves policyText for example.test with a certificate for the names.
func newWorld(t *testing.T, names ...string) *world {
	t.Helper()
	if len(names) == 0 {
		names = []string{"mta-sts.example.test"}
	}
	w := &world{zone: mxtest.MustParse(zoneText)}
	w.serve(policyText)
	w.Server = webtest.Start(http.HandlerFunc(w.serveHTTP), names...)
	t.Cleanup(func() {
		w.Stop()
		time.Sleep(time.Minute) // in the bubble
	})
	w.Policy = &mtasts.Policy{
		TLS:    &tls.Config{RootCAs: w.Roots},
		Dial:   w.Server.Dial,
		Notice: func(_ context.Context, n string) { w.notices = append(w.notices, n) },
	}
	return w
}

// again is the policy after a restart with the given cache.
func (w *world) again(cache mtasts.Cache) {
	w.Policy = &mtasts.Policy{TLS: w.TLS, Dial: w.Policy.Dial, Notice: w.Notice, Cache: cache}
}

func (w *world) serveHTTP(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	w.fetches++
	handler := w.handler
	w.mu.Unlock()
	if r.Host != "mta-sts.example.test" || r.URL.Path != "/.well-known/mta-sts.txt" || r.Method != http.MethodGet {
		http.Error(rw, "not here", http.StatusTeapot)
		return
	}
	handler(rw, r)
}

// serve changes the policy text.
func (w *world) serve(text string) {
	w.handle(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
		io.WriteString(rw, text)
	})
}

func (w *world) handle(h http.HandlerFunc) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.handler = h
}

// id changes the TXT record; "" takes it away.
func (w *world) id(t *testing.T, id string) {
	t.Helper()
	text := zoneText
	if id == "" {
		text = strings.Replace(text, "_mta-sts", "_other", 1)
	}
	if err := w.zone.Load(strings.Replace(text, "id=1", "id="+id, 1)); err != nil {
		t.Fatal(err)
	}
}

func (w *world) route(hosts ...string) *mx.Route {
	r := &mx.Route{Domain: "example.test", Resolver: w.zone}
	for _, name := range hosts {
		r.Hosts = append(r.Hosts, mx.Host{Name: name, Addrs: []netip.AddrPort{netip.MustParseAddrPort("9.0.0.1:25")}})
	}
	return r
}

// apply sends a route with a good and a bad host through the policy and returns what it says in brief:
// "enforced", "testing", "none" or the error.
func (w *world) apply(t *testing.T) (string, *mx.Route) {
	t.Helper()
	r := w.route("mx1.example.test", "evil.test")
	if err := w.Apply(context.Background(), r); err != nil {
		return err.Error(), r
	}
	good := r.Hosts[0].Demand
	switch {
	case len(r.Hosts) == 1 && good.Level == mx.Verified && len(good.Names) == 1 && good.Names[0] == "mx1.example.test":
		return "enforced", r
	case len(r.Hosts) == 2 && good.Level == mx.Opportunistic && len(r.Findings) > 0 && len(r.Findings[0].Hosts) > 0:
		return "testing", r
	case len(r.Hosts) == 2 && good.Level == mx.Opportunistic:
		return "none", r
	}
	return fmt.Sprintf("%+v", r), r
}

// expect applies and compares.
func (w *world) expect(t *testing.T, want string) *mx.Route {
	t.Helper()
	got, r := w.apply(t)
	if got != want {
		t.Fatalf("the route is %s, want %s", got, want)
	}
	return r
}
