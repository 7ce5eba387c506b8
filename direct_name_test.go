package postrider_test

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/postrider/postrider"
	"github.com/postrider/postrider/mx"
	"github.com/postrider/postrider/mx/dane"
	"github.com/postrider/postrider/mx/mxtest"
	"github.com/postrider/postrider/smtp"
	"github.com/postrider/postrider/smtp/smtptest"
)

// The name asked for in the handshake is the one that TLSA records stand under, which is not the MX host's when
// that is an alias (RFC 7672 s. 8.1). Elsewhere it is the host's.
func TestDirectAsksForTheTLSABaseDomain(t *testing.T) {
	config := authority.Server("base.signed.test").Clone()
	leaf, err := x509.ParseCertificate(config.Certificates[0].Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var names []string
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		mu.Lock()
		defer mu.Unlock()
		names = append(names, hello.ServerName)
		return nil, nil
	}
	server := (&smtptest.Server{TLS: config}).Start()
	defer server.Close()
	zone := mxtest.MustParse(fmt.Sprintf(`
		signed.test. MX 10 alias.signed.test.
		alias.signed.test. CNAME base.signed.test.
		base.signed.test. A 9.0.0.1
		_25._tcp.base.signed.test. TLSA 3 1 1 %x
		plain.test. MX 10 mx.plain.test.
		mx.plain.test. A 9.0.0.1
	`, sha256.Sum256(leaf.RawSubjectPublicKeyInfo)))
	zone.Authenticate("signed.test")
	direct := &postrider.Direct{
		Router: &mx.Router{Resolver: zone, TrustAD: true, Policies: []mx.Policy{&dane.Policy{}}},
		Pool:   &smtp.Pool{Hello: "sender.test", Dial: server.Dial},
	}
	defer direct.Close(t.Context())
	client := &postrider.Client{Transport: direct}
	for _, domain := range []string{"signed.test", "plain.test"} {
		receipt, err := client.Send(t.Context(), hello("bob@"+domain))
		if err != nil {
			t.Fatal(err)
		}
		if host := receipt.Results[0].Host; domain == "signed.test" && host != "alias.signed.test" {
			t.Errorf("the result names the host %s", host)
		}
	}
	if !slices.Equal(names, []string{"base.signed.test", "mx.plain.test"}) {
		t.Errorf("asked for %q", names)
	}
}
