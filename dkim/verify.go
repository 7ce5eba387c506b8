package dkim

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// LookupTXT finds the TXT records of a DNS name, the strings of each joined. It returns none and no
// error when the name or the records do not exist; an error means that asking later may help. An
// error that is a *net.DNSError with IsNotFound counts as none, so that the method of a net.Resolver fits.
type LookupTXT func(ctx context.Context, name string) ([]string, error)

// Result is the verdict on a signature, in the words of RFC 8601 s. 2.7.1.
type Result string

// The results.
const (
	// Pass: the signature is valid, and its domain answers for the message.
	Pass Result = "pass"
	// Fail: the message or the signature was changed.
	Fail Result = "fail"
	// Policy: the signature may be valid, but is too weak to be believed.
	Policy Result = "policy"
	// TempError: the key could not be had now.
	TempError Result = "temperror"
	// PermError: the signature or the key's record is malformed, revoked, expired or not there.
	PermError Result = "permerror"
)

// Verification is what was found about one signature.
type Verification struct {
	Result Result
	// Err says why the result is not Pass.
	Err error
	// Domain (d=), Selector (s=), Identity (i=, or "@" and the domain) and Algorithm (a=) are what
	// the signature claims, white space taken out; they may be empty where it is malformed.
	Domain, Selector, Identity, Algorithm string
	// Header has the names of the signed fields.
	Header []string
	// Time is when it was signed, Expires until when it is valid. Zero: it does not say.
	Time, Expires time.Time
	// Testing says that the domain only tries DKIM: whatever the result is, treat the message as if it
	// had no such signature (RFC 6376 s. 3.6.1).
	Testing bool

	signature string // the begin of b=, which tells signatures of one domain apart
}

// maxSignatures is how many signatures of a message are looked at: each costs a DNS query that a
// stranger asks for.
const maxSignatures = 10

// Verify verifies the signatures of a message, with CRLF line ends, and returns a Verification for each of
// the first ten, in their order. The message is read once and never held in memory, but for its header
// of at most 1 MiB. An error means that it is malformed, so that no signature can speak for it, or that it
// could not be read. A nil lookup uses the system's resolver.
func Verify(ctx context.Context, message io.Reader, lookup LookupTXT) ([]Verification, error) {
	if lookup == nil {
		lookup = net.DefaultResolver.LookupTXT
	}
	var v verifier
	_, err := io.Copy(&v, message)
	if err == nil {
		err = v.end()
	}
	if err != nil {
		return nil, err
	}
	list := make([]Verification, len(v.signatures))
	for i, s := range v.signatures {
		r, err := v.check(ctx, s, lookup)
		s.found.Result, s.found.Err = r, err
		list[i] = s.found
	}
	return list, nil
}

// verifier reads a message.
type verifier struct {
	header     headerBuffer
	fields     [][]byte
	signatures []*received
	relaxed    *relaxedBody // nil: no signature wants it
	simple     *simpleBody
}

// Write takes a piece of the message.
func (v *verifier) Write(p []byte) (int, error) {
	rest, err := p, error(nil)
	if !v.header.done {
		if rest, err = v.header.write(p); err == nil && v.header.done {
			err = v.begin()
		}
	}
	if err == nil && v.relaxed != nil {
		err = v.relaxed.write(rest)
	}
	if v.simple != nil {
		v.simple.write(rest)
	}
	return len(p), err
}

// begin reads the signatures when the header is there.
func (v *verifier) begin() error {
	if _, err := checkHeader(v.header.raw, true); err != nil {
		return err
	}
	v.fields = splitFields(v.header.raw, nil)
	for _, f := range v.fields {
		if !strings.EqualFold(fieldName(f), "DKIM-Signature") || len(v.signatures) == maxSignatures {
			continue
		}
		s := parseReceived(f)
		v.signatures = append(v.signatures, s)
		switch {
		case s.err != nil:
		case s.relaxedBody && v.relaxed == nil:
			v.relaxed = &relaxedBody{h: sha256.New(), small: make([]byte, 0, smallRoom)}
		case !s.relaxedBody && v.simple == nil:
			v.simple = &simpleBody{h: sha256.New()}
		}
	}
	return nil
}

func (v *verifier) end() error {
	if !v.header.done {
		if err := v.header.end(); err != nil {
			return err
		}
		if err := v.begin(); err != nil {
			return err
		}
	}
	if v.simple != nil {
		v.simple.close()
	}
	if v.relaxed != nil {
		return v.relaxed.close()
	}
	return nil
}

// check judges one signature, in the order of RFC 6376 s. 6.1.
func (v *verifier) check(ctx context.Context, s *received, lookup LookupTXT) (Result, error) {
	if s.err != nil {
		return s.result, s.err
	}
	if x := s.found.Expires; !x.IsZero() && time.Now().After(x) {
		return PermError, fmt.Errorf("dkim: the signature expired at %s", x.UTC().Format(time.RFC3339))
	}
	record, result, err := findRecord(ctx, recordName(s.selector, s.domain), lookup)
	if err != nil {
		return result, err
	}
	s.found.Testing = record.Testing
	if record.Strict && s.agent != s.domain {
		// RFC 6376 s. 3.6.1, t=s
		return PermError, fmt.Errorf("dkim: the key may sign for %s only, not for %s", s.domain, s.agent)
	}
	sum := v.bodySum(s)
	if subtle.ConstantTimeCompare(sum, s.bodyHash) != 1 {
		return Fail, errors.New("dkim: the body was changed after it was signed")
	}
	digest := sha256.Sum256(v.signedData(s))
	return checkSignature(record.Key, s, digest[:])
}

func (v *verifier) bodySum(s *received) []byte {
	if s.relaxedBody {
		return v.relaxed.h.Sum(nil)
	}
	return v.simple.h.Sum(nil)
}

// findRecord gets the one record of a key.
func findRecord(ctx context.Context, name string, lookup LookupTXT) (Record, Result, error) {
	list, err := lookup(ctx, name)
	var notFound *net.DNSError
	switch {
	case errors.As(err, &notFound) && notFound.IsNotFound:
		list = nil
	case err != nil:
		return Record{}, TempError, fmt.Errorf("dkim: look up %s: %w", name, err)
	}
	switch len(list) {
	case 0:
		return Record{}, PermError, fmt.Errorf("dkim: no key is published at %s", name)
	case 1:
	default: // RFC 6376 s. 3.6.2.2 leaves open what it means
		return Record{}, PermError, fmt.Errorf("dkim: %d records are published at %s: there must be one", len(list), name)
	}
	r, err := ParseRecord(list[0])
	if err == nil && r.Key == nil {
		err = fmt.Errorf("dkim: the key at %s was revoked", name)
	}
	return r, PermError, err
}

func checkSignature(key crypto.PublicKey, s *received, digest []byte) (Result, error) {
	wrong := errors.New("dkim: a signed header field was changed, or the key is not the one that signed")
	switch key := key.(type) {
	case *rsa.PublicKey:
		if s.found.Algorithm != "rsa-sha256" {
			break
		}
		if n := key.N.BitLen(); n < 1024 || n > 8192 { // RFC 8301 s. 3.2
			return Policy, fmt.Errorf("dkim: RSA keys of %d bits are not trusted", n)
		}
		if rsa.VerifyPKCS1v15(key, crypto.SHA256, digest, s.signature) != nil {
			return Fail, wrong
		}
		return Pass, nil
	case ed25519.PublicKey:
		if s.found.Algorithm != "ed25519-sha256" {
			break
		}
		if !ed25519.Verify(key, digest, s.signature) {
			return Fail, wrong
		}
		return Pass, nil
	}
	return PermError, fmt.Errorf("dkim: the published key is a %T, the signature is of %s", key, s.found.Algorithm)
}
