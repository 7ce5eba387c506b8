package dkim_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"sync"
	"testing"

	msgauth "github.com/emersion/go-msgauth/dkim"
	"github.com/postrider/postrider/dkim"
)

// Keys are slow to make: the tests share them.
var (
	rsaKey = sync.OnceValue(func() crypto.Signer { return must(dkim.GenerateKey(2048)) })
	edKey  = sync.OnceValue(func() crypto.Signer { return must(dkim.GenerateKey(0)) })
	// A key that GenerateKey would not make.
	shortKey = sync.OnceValue(func() crypto.Signer { return must(rsa.GenerateKey(rand.Reader, 1024)) })
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func both(domain string) []dkim.Key {
	return []dkim.Key{
		{Domain: domain, Selector: "ed", Signer: edKey()},
		{Domain: domain, Selector: "rsa", Signer: rsaKey()},
	}
}

// crlf writes a message as it is on the wire.
func crlf(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

const letter = `From: Ada Lovelace <ada@example.com>
To: bob@example.org
Subject: A note on the
 engine
Date: Mon, 1 Jan 2024 10:00:00 +0000
Message-ID: <1@example.com>
MIME-Version: 1.0
Content-Type: text/plain

Dear Bob,

it  weaves 	algebraic patterns. 

`

// published answers for the records of the shared keys in any domain.
func published(name string) ([]string, error) {
	var key crypto.Signer
	switch selector, _, _ := strings.Cut(name, "._domainkey."); selector {
	case "rsa":
		key = rsaKey()
	case "ed":
		key = edKey()
	case "short":
		key = shortKey()
	default:
		return nil, nil
	}
	return []string{strings.Join(must(dkim.Key{Domain: "x", Selector: "y", Signer: key}.Record()).Strings(), "")}, nil
}

// judge verifies with go-msgauth, which is not ours, and returns the algorithms that passed, in the order of
// the fields.
func judge(t *testing.T, fields []byte, message string) []*msgauth.Verification {
	t.Helper()
	list, err := msgauth.VerifyWithOptions(bytes.NewReader(append(bytes.Clone(fields), message...)),
		&msgauth.VerifyOptions{LookupTXT: published})
	if err != nil {
		t.Fatalf("verify: %v", err)
	}
	return list
}

func mustPass(t *testing.T, fields []byte, message string, want int) {
	t.Helper()
	list := judge(t, fields, message)
	if len(list) != want {
		t.Errorf("%d signatures, want %d", len(list), want)
	}
	for _, v := range list {
		if v.Err != nil {
			t.Errorf("a verifier refuses the signature of %s: %v\n%s", v.Domain, v.Err, fields)
		}
	}
}

func testPKCS1() string {
	der := x509.MarshalPKCS1PrivateKey(rsaKey().(*rsa.PrivateKey))
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: der}))
}
