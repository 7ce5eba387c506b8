package memory_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/mx"
	"github.com/postrider/postrider/mx/memory"
)

var ctx = context.Background()

const day = 24 * time.Hour

// handshake is the state after a server showed a certificate for the names, valid for ten years.
func handshake(t testing.TB, names ...string) (*tls.ConnectionState, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "x"}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(3650 * day)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(c)
	return &tls.ConnectionState{HandshakeComplete: true, PeerCertificates: []*x509.Certificate{c}}, roots
}

// demands applies the policy to a.test with the hosts and returns their levels.
func demands(t testing.TB, p *memory.Policy, hosts ...string) string {
	t.Helper()
	r := &mx.Route{Domain: "a.test"}
	for _, h := range hosts {
		r.Hosts = append(r.Hosts, mx.Host{Name: h})
	}
	if err := p.Apply(ctx, r); err != nil {
		t.Fatal(err)
	}
	var levels []string
	for _, h := range r.Hosts {
		if (h.Demand.Why != "") != (h.Demand.Level > 0) || (len(h.Demand.Names) == 1 && h.Demand.Names[0] == h.Name) != (h.Demand.Level == mx.Verified) {
			t.Errorf("demand %+v", h.Demand)
		}
		levels = append(levels, h.Demand.Level.String())
	}
	return strings.Join(levels, " ")
}

func want(t testing.TB, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestRemembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good, roots := handshake(t, "mx1.a.test")
		p := &memory.Policy{Roots: roots}
		want(t, demands(t, p, "mx1.a.test"), "opportunistic")
		p.Record(ctx, "a.test", "mx1.a.test", nil) // plaintext
		p.Record(ctx, "a.test", "mx1.a.test", &tls.ConnectionState{})
		want(t, demands(t, p, "mx1.a.test"), "opportunistic")
		p.Record(ctx, "a.test", "mx2.a.test", good) // not its name
		want(t, demands(t, p, "mx1.a.test", "mx2.a.test"), "encrypted encrypted")
		p.Record(ctx, "a.test", "mx1.a.test", good)
		want(t, demands(t, p, "mx1.a.test", "mx2.a.test", "new.a.test"), "verified encrypted encrypted")
		r := &mx.Route{Domain: "b.test", Hosts: []mx.Host{{Name: "mx1.a.test"}}}
		if p.Apply(ctx, r); r.Hosts[0].Demand.Level != mx.Opportunistic {
			t.Error("another domain pays for it")
		}
	})
}

func TestForgetsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good, roots := handshake(t, "mx1.a.test")
		other, _ := handshake(t, "other.test")
		p := &memory.Policy{Roots: roots, Path: filepath.Join(t.TempDir(), "memory")}
		for range 20 { // each sighting counts anew
			p.Record(ctx, "a.test", "mx1.a.test", good)
			time.Sleep(29 * day)
			want(t, demands(t, p, "mx1.a.test"), "verified")
		}
		// Encryption without a valid certificate goes on, the certificate is forgotten.
		for range 3 {
			p.Record(ctx, "a.test", "mx1.a.test", other)
			time.Sleep(day)
		}
		want(t, demands(t, p, "mx1.a.test"), "encrypted")
		time.Sleep(31 * day)
		want(t, demands(t, p, "mx1.a.test"), "opportunistic")
	})
}

func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good, roots := handshake(t, "mx1.a.test")
		path := filepath.Join(t.TempDir(), "memory")
		p := &memory.Policy{Path: path, Roots: roots}
		for range 1000 { // a file of one line, not of a thousand
			p.Record(ctx, "a.test", "mx1.a.test", good)
		}
		if info, err := os.Stat(path); err != nil || info.Size() > 300 {
			t.Errorf("file: %v, %v", info, err)
		}
		p = &memory.Policy{Path: path}
		want(t, demands(t, p, "mx1.a.test"), "verified")
		if s := p.Known("a.test")["mx1.a.test"]; !s.Verified.Equal(time.Now()) || !s.Encrypted.Equal(time.Now()) {
			t.Errorf("Known: %+v", s)
		}
		if err := p.Forget("a.test"); err != nil {
			t.Fatal(err)
		}
		want(t, demands(t, p, "mx1.a.test"), "opportunistic")
		want(t, demands(t, &memory.Policy{Path: path}, "mx1.a.test"), "opportunistic")
	})
}

func TestSwitches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good, roots := handshake(t, "mx1.a.test")
		path := filepath.Join(t.TempDir(), "memory")
		p := &memory.Policy{Path: path, Roots: roots}
		p.Record(ctx, "a.test", "mx1.a.test", good)
		want(t, demands(t, &memory.Policy{Path: path, Level: mx.Encrypted}, "mx1.a.test"), "encrypted")
		time.Sleep(8 * day)
		want(t, demands(t, &memory.Policy{Path: path, Keep: 6 * day}, "mx1.a.test"), "opportunistic")
	})
}

// What other policies ask is never lowered, and not repeated.
func TestOnlyRaises(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good, roots := handshake(t, "mx1.a.test", "mx2.a.test")
		p := &memory.Policy{Roots: roots}
		p.Record(ctx, "a.test", "mx1.a.test", good)
		p.Record(ctx, "a.test", "mx2.a.test", good)
		r := &mx.Route{Domain: "a.test", Hosts: []mx.Host{
			{Name: "mx1.a.test", Demand: mx.Demand{Level: mx.DANE, Names: []string{"a.test"}, Why: "DANE"}},
			{Name: "mx2.a.test", Demand: mx.Demand{Level: mx.Encrypted, Why: "DANE: unusable"}},
		}}
		p.Apply(ctx, r)
		if d := r.Hosts[0].Demand; d.Level != mx.DANE || d.Why != "DANE" || d.Names[0] != "a.test" {
			t.Errorf("demand %+v", d)
		}
		if d := r.Hosts[1].Demand; d.Level != mx.Verified || d.Why != "DANE: unusable; memory: the server's certificate was valid on 2000-01-01" {
			t.Errorf("demand %+v", d)
		}
	})
}

func TestBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good, roots := handshake(t, "x.test")
		p := &memory.Policy{Roots: roots, Limit: 10}
		for i := range 100 {
			p.Record(ctx, fmt.Sprintf("d%d.test", i), "x.test", good)
		}
		if len(p.Known("d89.test")) != 0 || len(p.Known("d90.test")) != 1 {
			t.Error("more than ten domains, or the wrong ones, are remembered")
		}
		for i := range 100 {
			p.Record(ctx, "a.test", fmt.Sprintf("h%d.test", i), good)
			time.Sleep(time.Second)
		}
		known := p.Known("a.test")
		if _, ok := known["h99.test"]; len(known) != 20 || !ok {
			t.Errorf("%d hosts are remembered", len(known))
		}
	})
}

func TestBrokenFile(t *testing.T) {
	good, roots := handshake(t, "mx1.a.test")
	var notices []string
	p := &memory.Policy{Path: t.TempDir(), Roots: roots, Notice: func(_ context.Context, n string) { notices = append(notices, n) }}
	p.Record(ctx, "a.test", "mx1.a.test", good)
	if len(notices) == 0 || !strings.Contains(notices[len(notices)-1], "cannot be remembered") {
		t.Errorf("notices %q", notices)
	}
}

func TestConcurrent(t *testing.T) {
	good, roots := handshake(t, "mx1.a.test")
	p := &memory.Policy{Roots: roots, Path: filepath.Join(t.TempDir(), "memory")}
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			for n := range 30 {
				p.Record(ctx, "a.test", fmt.Sprintf("mx%d.a.test", (n+i)%10), good)
				demands(t, p, "mx1.a.test")
				p.Known("a.test")
			}
		})
	}
	wait.Wait()
	if n := len(p.Known("a.test")); n != 10 {
		t.Errorf("%d hosts are known, want 10", n)
	}
}

// BenchmarkRecord is the cost of each connection to a server that is known.
func BenchmarkRecord(b *testing.B) {
	good, roots := handshake(b, "mx1.a.test")
	p := &memory.Policy{Roots: roots}
	b.ReportAllocs()
	for b.Loop() {
		p.Record(ctx, "a.test", "mx1.a.test", good)
	}
}

func ExamplePolicy() {
	p := &memory.Policy{Path: filepath.Join(os.TempDir(), "does-not-exist-yet")}
	route := &mx.Route{Domain: "example.com", Hosts: []mx.Host{{Name: "mx1.example.com"}}}
	fmt.Println(p.Apply(context.Background(), route), route.Hosts[0].Demand.Level)
	// After each handshake: p.Record(ctx, route.Domain, host.Name, &state)
	// Output: <nil> opportunistic
}

func ExampleSighting() {
	var p memory.Policy
	for host, s := range p.Known("example.com") {
		fmt.Println(host, "must show a valid certificate:", !s.Verified.IsZero())
	}
	fmt.Println(len(p.Known("example.com")), p.Forget("example.com"))
	// Output: 0 <nil>
}
