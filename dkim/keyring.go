package dkim

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"fmt"
	"net/mail"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// signingKey is a Key that was checked.
type signingKey struct {
	domain, selector, identity string // as they are written into the field
	signer                     crypto.Signer
	rsa                        bool
}

func (k *signingKey) name() string { return recordName(k.selector, k.domain) }

func (k *signingKey) algorithm() string {
	if k.rsa {
		return "rsa-sha256"
	}
	return "ed25519-sha256"
}

// choose finds and checks the keys for a From field: RSA first, else in the order they were given.
func (s *Signer) choose(ctx context.Context, from []byte) ([]signingKey, error) {
	if s.Expiration < 0 {
		return nil, fmt.Errorf("dkim: Expiration %v is negative", s.Expiration)
	}
	for _, name := range s.Header {
		if !isFieldName([]byte(name)) || strings.ContainsAny(name, ":;") {
			return nil, fmt.Errorf("dkim: %q in Signer.Header is not a field name", name)
		}
	}
	domain, err := authorDomain(from)
	if err != nil {
		return nil, err
	}
	found, err := s.find(ctx, domain)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		if s.Unsigned {
			return nil, nil
		}
		return nil, fmt.Errorf("%w: %s", ErrNoKey, domain)
	}
	keys := make([]signingKey, 0, len(found))
	for _, wantRSA := range []bool{true, false} {
		for i := range found {
			k, err := found[i].check(s.ShortRSA)
			if err != nil {
				return nil, err
			}
			if k.rsa == wantRSA {
				keys = append(keys, k)
			}
		}
	}
	if !keys[0].rsa && !s.Ed25519Alone {
		return nil, fmt.Errorf("dkim: %s has an Ed25519 key and no RSA key, but large receivers verify RSA only: add one, or set Signer.Ed25519Alone", keys[0].domain)
	}
	return keys, nil
}

// find returns the keys of the domain, or of its nearest parent in the organisation that has any.
func (s *Signer) find(ctx context.Context, domain string) ([]Key, error) {
	top := ""
	for d := domain; ; {
		keys, err := s.of(ctx, d)
		if len(keys) > 0 || err != nil {
			return keys, err
		}
		if top == "" {
			// Without the DNS the public suffix list is the best guess at the organisation.
			if top, err = publicsuffix.EffectiveTLDPlusOne(domain); err != nil {
				return nil, nil
			}
		}
		_, parent, ok := strings.Cut(d, ".")
		if !ok || len(parent) < len(top) {
			return nil, nil
		}
		d = parent
	}
}

// of returns the keys of exactly this domain.
func (s *Signer) of(ctx context.Context, domain string) ([]Key, error) {
	var keys []Key
	for i := range s.Keys {
		if d, err := domainName(s.Keys[i].Domain); err != nil {
			return nil, err
		} else if d == domain {
			if keys == nil {
				keys = make([]Key, 0, 2)
			}
			keys = append(keys, s.Keys[i])
		}
	}
	if keys != nil || s.Lookup == nil {
		return keys, nil
	}
	keys, err := s.Lookup(ctx, domain)
	if err != nil {
		return nil, fmt.Errorf("dkim: look up the keys of %s: %w", domain, err)
	}
	for i := range keys {
		if d, err := domainName(keys[i].Domain); err != nil || d != domain {
			return nil, fmt.Errorf("dkim: Lookup(%s) returned a key of %q", domain, keys[i].Domain)
		}
	}
	return keys, nil
}

// check turns a Key into one that is fit to sign.
func (k *Key) check(shortRSA bool) (signingKey, error) {
	c := signingKey{signer: k.Signer}
	var err error
	if c.domain, err = domainName(k.Domain); err != nil {
		return c, err
	}
	if c.selector, err = selectorName(k.Selector); err != nil {
		return c, err
	}
	if c.identity, err = identity(k.Identity, c.domain); err != nil {
		return c, err
	}
	if k.Signer == nil {
		return c, fmt.Errorf("dkim: %s has no private key", c.name())
	}
	switch p := k.Signer.Public().(type) {
	case *rsa.PublicKey:
		c.rsa = true
		switch n := p.N.BitLen(); {
		case n < 1024:
			return c, fmt.Errorf("dkim: %s: receivers refuse RSA keys of %d bits (RFC 8301 s. 3.2): use 2048", c.name(), n)
		case n < 2048 && !shortRSA:
			return c, fmt.Errorf("dkim: %s: an RSA key of %d bits is too short: use 2048, or set Signer.ShortRSA", c.name(), n)
		}
	case ed25519.PublicKey:
	default:
		return c, fmt.Errorf("dkim: %s: a key of type %T cannot sign: use RSA or Ed25519", c.name(), p)
	}
	return c, nil
}

// authorDomain returns the domain of the first address of a From field, in A-labels and lower case. The
// form that most mail has is read without net/mail, which is slow.
func authorDomain(from []byte) (string, error) {
	value := bytes.TrimSpace(from)
	if bytes.ContainsAny(value, "\"(,\\:;[\r") || bytes.Count(value, []byte("@")) != 1 {
		return parseAuthor(from)
	}
	if name, addr, ok := bytes.Cut(value, []byte("<")); ok && bytes.HasSuffix(addr, []byte(">")) && bytes.IndexByte(name, '>') < 0 {
		value = addr[:len(addr)-1]
	}
	local, domain, _ := bytes.Cut(value, []byte("@"))
	if d, err := domainName(string(domain)); err == nil && len(local) > 0 && !bytes.ContainsAny(local, "<> \t") {
		return d, nil
	}
	return parseAuthor(from)
}

func parseAuthor(from []byte) (string, error) {
	list, err := mail.ParseAddressList(strings.ReplaceAll(string(from), "\r\n", ""))
	if err != nil {
		return "", fmt.Errorf("dkim: the From field: %w", err)
	}
	if len(list) == 0 {
		return "", errNoFrom
	}
	addr := list[0].Address
	d, err := domainName(addr[strings.LastIndexByte(addr, '@')+1:])
	if err != nil {
		return "", fmt.Errorf("dkim: the From field: %w", err)
	}
	return d, nil
}
