package smime_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider"
	"github.com/postrider/postrider/examples/protect/smime"
)

// identity is a self-signed certificate for ada@example.com.
func identity(t testing.TB, key crypto.Signer) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Ada"}, EmailAddresses: []string{"ada@example.com"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func rsaKey(t testing.TB) crypto.Signer {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func ecdsaKey(t testing.TB) crypto.Signer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func message() *postrider.Message {
	return &postrider.Message{From: postrider.Addr("Ada", "ada@example.com"), To: []postrider.Address{postrider.Addr("", "bob@example.org")},
		Subject: "Grüße", Text: "Size: 1\n.\n", HTML: "<p>Größe</p>", Attachments: []postrider.Attachment{postrider.Bytes("a.bin", []byte{0, 1, 255})}}
}

// files writes the message, the certificate and the key for openssl.
func files(t *testing.T, m *postrider.Message, cert tls.Certificate) (eml, certFile, keyFile string) {
	t.Helper()
	dir := t.TempDir()
	var b bytes.Buffer
	if _, err := m.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"mail.eml": b.Bytes(), "cert.pem": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]}),
		"key.pem": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "mail.eml"), filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
}

func openssl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "openssl", args...).Output()
	if err != nil {
		t.Fatalf("openssl %s: %v", strings.Join(args, " "), err)
	}
	return string(out)
}

// What is signed is accepted by OpenSSL, which gives the content back; a changed octet is not.
func TestSignVerifiedByOpenSSL(t *testing.T) {
	for name, key := range map[string]crypto.Signer{"rsa": rsaKey(t), "ecdsa": ecdsaKey(t)} {
		t.Run(name, func(t *testing.T) {
			cert := identity(t, key)
			m := message()
			m.Protect = smime.Sign(cert)
			eml, certFile, _ := files(t, m, cert)
			out := openssl(t, "cms", "-verify", "-in", eml, "-CAfile", certFile)
			if !strings.Contains(out, "multipart/mixed") || !strings.Contains(out, "Size: 1") {
				t.Errorf("content %q", out)
			}
			data, err := os.ReadFile(eml)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(eml, bytes.Replace(data, []byte("Size: 1"), []byte("Size: 2"), 1), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := exec.Command("openssl", "cms", "-verify", "-in", eml, "-CAfile", certFile).Run(); err == nil {
				t.Error("a changed message verifies")
			}
		})
	}
}

// What is signed and then encrypted is decrypted and verified by OpenSSL.
func TestEncryptReadByOpenSSL(t *testing.T) {
	cert := identity(t, rsaKey(t))
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	m := message()
	m.Protect = smime.Chain(smime.Sign(cert), smime.Encrypt(leaf))
	eml, certFile, keyFile := files(t, m, cert)
	if data, err := os.ReadFile(eml); err != nil || bytes.Contains(data, []byte("multipart")) {
		t.Errorf("the content can be seen, %v", err)
	}
	signed := filepath.Join(t.TempDir(), "signed")
	if err := os.WriteFile(signed, []byte(openssl(t, "cms", "-decrypt", "-in", eml, "-inkey", keyFile, "-recip", certFile)), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := openssl(t, "cms", "-verify", "-in", signed, "-CAfile", certFile); !strings.Contains(out, "Size: 1") {
		t.Errorf("content %q", out)
	}
}

func TestRefuses(t *testing.T) {
	for name, protect := range map[string]smime.Protect{
		"nobody": smime.Encrypt(), "no certificate": smime.Sign(tls.Certificate{}), "chain": smime.Chain(smime.Encrypt(), smime.Encrypt()),
		"not an RSA key": smime.Encrypt(&x509.Certificate{PublicKey: "none"}),
	} {
		if out, err := protect(t.Context(), []byte("Content-Type: text/plain\r\n\r\nx\r\n")); err == nil || out != nil {
			t.Errorf("%s: %q, %v", name, out, err)
		}
	}
}

func ExampleSign() {
	t := new(testing.T)
	m := message()
	m.Protect = smime.Sign(identity(t, ecdsaKey(t)))
	var b bytes.Buffer
	_, err := m.WriteTo(&b)
	fmt.Println(strings.Contains(b.String(), "multipart/signed"), err)
	// Output: true <nil>
}
