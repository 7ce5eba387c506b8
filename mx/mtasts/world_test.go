package mtasts_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/mx"
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
	zone *mxtest.Zone

	mu      sync.Mutex
	handler http.HandlerFunc
	dialled []string
	notices []string
	down    bool
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
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "x"}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(10000 * time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	if cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	w := &world{zone: mxtest.MustParse(zoneText)}
	w.serve(policyText)
	l := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{
		Handler:   http.HandlerFunc(w.serveHTTP),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}},
		ErrorLog:  log.New(io.Discard, "", 0),
	}
	go server.ServeTLS(l, "", "")
	t.Cleanup(func() {
		server.Close()
		time.Sleep(time.Minute) // in the bubble: whatever still waits gives up
	})
	w.Policy = w.fresh(l, cert)
	return w
}

// fresh makes a policy as after a restart.
func (w *world) fresh(l *pipes, cert *x509.Certificate) *mtasts.Policy {
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	return &mtasts.Policy{
		TLS: &tls.Config{RootCAs: roots},
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			w.mu.Lock()
			w.dialled = append(w.dialled, network+" "+address)
			down := w.down
			w.mu.Unlock()
			if down {
				return nil, fmt.Errorf("connection refused")
			}
			return l.dial(ctx)
		},
		Notice: func(_ context.Context, n string) { w.notices = append(w.notices, n) },
	}
}

// again is the policy after a restart with the given cache.
func (w *world) again(cache mtasts.Cache) {
	w.Policy = &mtasts.Policy{TLS: w.TLS, Dial: w.Dial, Notice: w.Notice, Cache: cache}
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

// pipes is a listener without sockets.
type pipes struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (l *pipes) dial(ctx context.Context) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case l.conns <- buffer(there):
		return buffer(here), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipes) Close() error { l.once.Do(func() { close(l.closed) }); return nil }

func (l *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// buffer lets writes return before the other end reads, as sockets do: both ends of a TLS connection
// may write at the same time.
func buffer(c net.Conn) net.Conn {
	b := &buffered{Conn: c, queue: make(chan []byte, 1000), closed: make(chan struct{})}
	go func() {
		defer c.Close()
		for {
			select {
			case octets := <-b.queue:
				if _, err := c.Write(octets); err != nil {
					return
				}
			case <-b.closed:
				for len(b.queue) > 0 {
					c.Write(<-b.queue)
				}
				return
			}
		}
	}()
	return b
}

type buffered struct {
	net.Conn
	queue  chan []byte
	once   sync.Once
	closed chan struct{}
}

func (b *buffered) Write(octets []byte) (int, error) {
	select {
	case <-b.closed:
		return 0, net.ErrClosed
	case b.queue <- append([]byte(nil), octets...):
		return len(octets), nil
	}
}

func (b *buffered) Close() error {
	b.once.Do(func() {
		b.Conn.SetWriteDeadline(time.Now().Add(time.Second))
		close(b.closed)
	})
	return nil
}

// SetWriteDeadline does nothing: writing does not wait.
func (b *buffered) SetWriteDeadline(time.Time) error { return nil }
