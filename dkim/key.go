package dkim

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
)

// Key is a private key and where its public half is published.
type Key struct {
	// Domain signs (d=), as U-labels or A-labels. Selector names the key in the domain (s=); it is a
	// label, or several with dots between them.
	Domain, Selector string
	// Signer is an *rsa.PrivateKey, an ed25519.PrivateKey, or a key with such a public half that is
	// held in an HSM or a key service (see ContextSigner).
	Signer crypto.Signer
	// Identity says for whom the domain signs (i=): an address or "@domain", at or below Domain.
	// Receivers other than those that were told about it ignore it. Empty: none.
	Identity string
}

// ContextSigner is a crypto.Signer that goes over a network and so can be cancelled. A Key's
// Signer may have this method. Like Sign, it is given a SHA-256 digest, and opts says crypto.SHA256 for RSA
// PKCS #1 v1.5, or crypto.Hash(0) for Ed25519, whose message the digest is. Public is called for
// each message and should be quick.
type ContextSigner interface {
	crypto.Signer
	SignContext(ctx context.Context, rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error)
}

// Name is the DNS name at which the public half is published: SELECTOR._domainkey.DOMAIN.
func (k Key) Name() (string, error) {
	s, err := selectorName(k.Selector)
	if err != nil {
		return "", err
	}
	d, err := domainName(k.Domain)
	return recordName(s, d), err
}

// GenerateKey makes a private key: 2048 or more bits of RSA, or Ed25519 where bits is 0. A domain wants
// an RSA key first, and an Ed25519 key beside it if it likes.
func GenerateKey(bits int) (crypto.Signer, error) {
	if bits == 0 {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
	if bits < 2048 || bits > 4096 { // RFC 6376 s. 3.3.3, RFC 8301 s. 3.2
		return nil, fmt.Errorf("dkim: RSA keys have 2048 to 4096 bits, not %d", bits)
	}
	return rsa.GenerateKey(rand.Reader, bits)
}

// ParseKey reads a private key from PEM: RSA in PKCS #1, or RSA or Ed25519 in PKCS #8. Other blocks before it
// are skipped.
func ParseKey(text []byte) (crypto.Signer, error) {
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			return nil, errors.New("dkim: no private key in the PEM text")
		}
		text = rest
		switch block.Type {
		case "RSA PRIVATE KEY":
			if block.Headers["DEK-Info"] != "" {
				return nil, errors.New("dkim: the private key is encrypted: decrypt it first (openssl pkey)")
			}
			key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("dkim: the private key: %w", err)
			}
			return key, nil
		case "PRIVATE KEY":
			key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("dkim: the private key: %w", err)
			}
			switch key := key.(type) {
			case *rsa.PrivateKey:
				return key, nil
			case ed25519.PrivateKey:
				return key, nil
			}
			return nil, fmt.Errorf("dkim: a key of type %T cannot sign: use RSA or Ed25519", key)
		case "ENCRYPTED PRIVATE KEY":
			return nil, errors.New("dkim: the private key is encrypted: decrypt it first (openssl pkey)")
		}
	}
}

// LoadKey reads a private key from a PEM file, as ParseKey does.
func LoadKey(file string) (crypto.Signer, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("dkim: %w", err)
	}
	key, err := ParseKey(text)
	if err != nil {
		return nil, fmt.Errorf("%w (%s)", err, file)
	}
	return key, nil
}

// StoreKey writes a private key to a new PEM file (PKCS #8) that only its owner can read. It never
// overwrites a key: mail that is on its way needs the public half of the old one.
func StoreKey(file string, key crypto.Signer) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("dkim: %w", err)
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("dkim: %w", err)
	}
	err = pem.Encode(f, &pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		os.Remove(file)
		return fmt.Errorf("dkim: %w", err)
	}
	return nil
}
