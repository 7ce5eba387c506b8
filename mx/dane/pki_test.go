package dane_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"

	"github.com/postrider/postrider/mx/dane"
)

// identity is a certificate with its key.
type identity struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// issue makes a certificate that the parent signs; a nil parent signs itself.
func issue(t testing.TB, parent *identity, change func(*x509.Certificate)) *identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: "an authority"},
		NotBefore:    time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCertSign,
	}
	change(template)
	if parent == nil {
		parent = &identity{template, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent.cert, &key.PublicKey, parent.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &identity{cert, key}
}

// leaf makes a server certificate for the names.
func leaf(t testing.TB, parent *identity, names ...string) *identity {
	return issue(t, parent, func(c *x509.Certificate) {
		c.Subject.CommonName, c.DNSNames, c.IsCA, c.KeyUsage = "a server", names, false, x509.KeyUsageDigitalSignature
	})
}

func authority(t testing.TB, parent *identity, name string) *identity {
	return issue(t, parent, func(c *x509.Certificate) { c.Subject.CommonName = name })
}

// shown is the state of a handshake in which the server showed the certificates.
func shown(chain ...*identity) tls.ConnectionState {
	var s tls.ConnectionState
	for _, c := range chain {
		s.PeerCertificates = append(s.PeerCertificates, c.cert)
	}
	return s
}

// record describes a certificate.
func record(usage, selector, matching uint8, id *identity) dane.Record {
	whole := id.cert.Raw
	if selector == 1 {
		whole = id.cert.RawSubjectPublicKeyInfo
	}
	switch matching {
	case 1:
		sum := sha256.Sum256(whole)
		whole = sum[:]
	case 2:
		sum := sha512.Sum512(whole)
		whole = sum[:]
	}
	return dane.Record{Usage: usage, Selector: selector, Matching: matching, Data: whole}
}
