package dkim_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"io"
	"math/big"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/postrider/postrider/dkim"
)

func from(address string) io.Reader {
	return strings.NewReader("From: " + address + "\r\n\r\nHello.\r\n")
}

// signers returns the domains and selectors that signed.
func signers(fields []byte) string {
	var list []string
	for _, m := range regexp.MustCompile(`d=([^;]*);\s+s=([^;]*);`).FindAllSubmatch(fields, -1) {
		list = append(list, string(m[2])+"@"+string(m[1]))
	}
	return strings.Join(list, " ")
}

func TestKeyring(t *testing.T) {
	signer := dkim.Signer{Keys: []dkim.Key{
		{Domain: "example.com", Selector: "one", Signer: rsaKey()},
		{Domain: "News.Example.com", Selector: "two", Signer: rsaKey()},
		{Domain: "example.co.uk", Selector: "three", Signer: rsaKey()},
		{Domain: "münchen.example", Selector: "four", Signer: rsaKey()},
		{Domain: "co.uk", Selector: "never", Signer: rsaKey()},
		{Domain: "xn--mnchen-3ya.example", Selector: "Five.2026", Signer: rsaKey()},
	}}
	for address, want := range map[string]string{
		"a@example.com":                               "one@example.com",
		"A <a@EXAMPLE.com>":                           "one@example.com",
		"a@shop.example.com":                          "one@example.com",
		"a@x.y.example.com":                           "one@example.com",
		"a@news.example.com":                          "two@news.example.com",
		"a@daily.news.example.com":                    "two@news.example.com",
		"a@example.co.uk":                             "three@example.co.uk",
		"a@mail.example.co.uk":                        "three@example.co.uk",
		"a@münchen.example":                           "four@xn--mnchen-3ya.example five.2026@xn--mnchen-3ya.example",
		"a@xn--mnchen-3ya.example":                    "four@xn--mnchen-3ya.example five.2026@xn--mnchen-3ya.example",
		"\"a@example.net\" <a@x.com>":                 "",
		"\"x@y\" <a@example.com>":                     "one@example.com",
		"\"a@b\"@example.com":                         "one@example.com",
		"a@other.co.uk":                               "", // co.uk is no organisation
		"a@example.net":                               "",
		"a@badexample.com":                            "",
		"a@com":                                       "",
		"G: a@example.com, b@x.org;":                  "one@example.com",
		"=?utf-8?q?Gr=C3=BC=C3=9Fe?= <a@example.com>": "one@example.com",
	} {
		fields, err := signer.Sign(from(address))
		if got := signers(fields); got != want || (want == "") != errors.Is(err, dkim.ErrNoKey) {
			t.Errorf("%s: signed by %q (%v), want %q", address, got, err, want)
		}
	}
	signer.Unsigned = true
	if fields, err := signer.Sign(from("a@example.net")); err != nil || len(fields) != 0 {
		t.Errorf("unsigned: %q, %v", fields, err)
	}
}

func TestLookup(t *testing.T) {
	var asked []string
	signer := dkim.Signer{Lookup: func(_ context.Context, domain string) ([]dkim.Key, error) {
		asked = append(asked, domain)
		switch domain {
		case "example.com":
			return []dkim.Key{{Domain: "example.com", Selector: "s", Signer: rsaKey()}}, nil
		case "wrong.example":
			return []dkim.Key{{Domain: "example.com", Selector: "s", Signer: rsaKey()}}, nil
		case "broken.example":
			return nil, io.ErrUnexpectedEOF
		}
		return nil, nil
	}}
	fields, err := signer.Sign(from("a@x.Shop.example.com"))
	if got := signers(fields); got != "s@example.com" || err != nil {
		t.Errorf("signed by %q, %v", got, err)
	}
	if got := strings.Join(asked, " "); got != "x.shop.example.com shop.example.com example.com" {
		t.Errorf("asked for %s", got)
	}
	if _, err := signer.Sign(from("a@wrong.example")); err == nil || !strings.Contains(err.Error(), `key of "example.com"`) {
		t.Errorf("a key of another domain: %v", err)
	}
	if _, err := signer.Sign(from("a@broken.example")); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a failing lookup: %v", err)
	}
}

func TestUnfitKeys(t *testing.T) {
	ec := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	rsa2048 := dkim.Key{Domain: "example.com", Selector: "rsa", Signer: rsaKey()}
	ed := dkim.Key{Domain: "example.com", Selector: "ed", Signer: edKey()}
	short := dkim.Key{Domain: "example.com", Selector: "short", Signer: shortKey()}
	for _, c := range []struct {
		signer dkim.Signer
		want   string // in the error; empty: it signs
	}{
		{dkim.Signer{Keys: []dkim.Key{rsa2048}}, ""},
		{dkim.Signer{Keys: []dkim.Key{ed}}, "no RSA key"},
		{dkim.Signer{Keys: []dkim.Key{ed}, Ed25519Alone: true}, ""},
		{dkim.Signer{Keys: []dkim.Key{ed, {Domain: "example.org", Selector: "rsa", Signer: rsaKey()}}}, "no RSA key"},
		{dkim.Signer{Keys: []dkim.Key{short}}, "1024 bits is too short"},
		{dkim.Signer{Keys: []dkim.Key{short}, ShortRSA: true}, ""},
		{dkim.Signer{Keys: []dkim.Key{{Domain: "example.com", Selector: "s", Signer: tiny{}}}, ShortRSA: true}, "refuse RSA keys of 1023 bits"},
		{dkim.Signer{Keys: []dkim.Key{rsa2048}, Expiration: -1}, "negative"},
		{dkim.Signer{Keys: []dkim.Key{rsa2048}, Header: []string{"X-A:b"}}, "not a field name"},
		{dkim.Signer{Keys: []dkim.Key{rsa2048}, Header: []string{"X-A\r\n"}}, "not a field name"},
		{dkim.Signer{Keys: []dkim.Key{rsa2048}, Header: []string{""}}, "not a field name"},
		{key("example.com", "s", "", nil), "no private key"},
		{key("example.com", "s", "", ec), "*ecdsa.PublicKey cannot sign"},
		{key("example.com", "", "", rsaKey()), "not a selector"},
		{key("example.com", "s;x=1", "", rsaKey()), "not a selector"},
		{key("example.com", "s\r\nX: y", "", rsaKey()), "not a selector"},
		{key("example.com", "a..b", "", rsaKey()), "not a selector"},
		{key("example.com", "-a", "", rsaKey()), "not a selector"},
		{key("example.com", "a_b", "", rsaKey()), "not a selector"},
		{key("example.com", strings.Repeat("a", 64), "", rsaKey()), "not a selector"},
		{key("example.com\r\nX: y", "s", "", rsaKey()), "not a domain"},
		{key("example.com; l=0", "s", "", rsaKey()), "not a domain"},
		{key("", "s", "", rsaKey()), "not a domain"},
		{key(strings.Repeat("abc.", 64)+"com", "s", "", rsaKey()), "not a domain"},
		{key("example.com", "s", "@example.org", rsaKey()), "identity"},
		{key("example.com", "s", "@badexample.com", rsaKey()), "identity"},
		{key("example.com", "s", "example.com", rsaKey()), "identity"},
		{key("example.com", "s", "a@example.com; l=0", rsaKey()), "identity"},
		{key("example.com", "s", strings.Repeat("a", 400)+"@example.com", rsaKey()), "identity"},
		{key("example.com", "s", "a\r\n;b@SUB.example.com", rsaKey()), ""},
		{key("EXAMPLE.com.", "s", "@example.com", rsaKey()), ""},
	} {
		fields, err := c.signer.Sign(from("a@example.com"))
		if c.want == "" && (err != nil || !strings.Contains(string(fields), " d=example.com;")) {
			t.Errorf("%+v: %v\n%s", c.signer, err, fields)
		}
		if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%+v: error %v, want %q", c.signer, err, c.want)
		}
	}
}

func key(domain, selector, identity string, signer crypto.Signer) dkim.Signer {
	return dkim.Signer{Keys: []dkim.Key{{Domain: domain, Selector: selector, Identity: identity, Signer: signer}}}
}

// tiny is a key that crypto/rsa would not make.
type tiny struct{ crypto.Signer }

func (tiny) Public() crypto.PublicKey {
	return &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 1022), E: 65537}
}

// remote is a key in a key service.
type remote struct {
	crypto.Signer
	seen *context.Context
}

func (r remote) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("called without context")
}

func (r remote) SignContext(ctx context.Context, rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	*r.seen = ctx
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return r.Signer.Sign(rand, digest, opts)
}

func TestRemoteKey(t *testing.T) {
	type mark struct{}
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), mark{}, 1))
	for _, k := range both("example.com") {
		var seen context.Context
		k.Signer = remote{k.Signer, &seen}
		g := dkim.Signer{Keys: []dkim.Key{k}, Ed25519Alone: true}.NewSignature(ctx)
		io.WriteString(g, crlf(letter))
		mustPass(t, must(g.Fields()), crlf(letter), 1)
		if seen.Value(mark{}) != 1 {
			t.Error("the key was not given the caller's context")
		}
	}
	cancel()
	g := dkim.Signer{Keys: both("example.com")}.NewSignature(ctx)
	io.WriteString(g, crlf(letter))
	if _, err := g.Fields(); !errors.Is(err, context.Canceled) {
		t.Errorf("after cancel: %v", err)
	}
}

func TestConcurrentUse(t *testing.T) {
	signer := dkim.Signer{Keys: both("example.com"), Header: []string{"X-A"}}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 5 {
				fields, err := signer.Sign(strings.NewReader(crlf(letter)))
				if err != nil || strings.Count(string(fields), "DKIM-Signature:") != 2 {
					t.Errorf("%v\n%s", err, fields)
				}
			}
		})
	}
	wg.Wait()
}
