package dkim_test

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	msgauth "github.com/emersion/go-msgauth/dkim"
	"github.com/postrider/postrider/dkim"
)

// zone answers TXT lookups: a name that is not in it does not exist.
type zone map[string]string

func (z zone) lookup(_ context.Context, name string) ([]string, error) {
	if s, ok := z[name]; ok {
		return []string{s}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

// record is the record of a key with further tags.
func record(k crypto.Signer, tags string) string {
	return strings.Replace(must(dkim.Key{Signer: k}.Record()).String(), " p=", " "+tags+" p=", 1)
}

func verdicts(t *testing.T, message string, z zone) string {
	t.Helper()
	list, err := dkim.Verify(t.Context(), strings.NewReader(message), z.lookup)
	if err != nil {
		return "error: " + err.Error()
	}
	var s []string
	for _, v := range list {
		if v.Err == nil {
			s = append(s, string(v.Result))
		} else {
			s = append(s, fmt.Sprintf("%s (%v)", v.Result, v.Err))
		}
	}
	return strings.Join(s, ", ")
}

func TestVerifyOwnSignatures(t *testing.T) {
	keys := zone{"ed._domainkey.example.com": record(edKey(), ""), "rsa._domainkey.example.com": record(rsaKey(), "")}
	header, _, _ := strings.Cut(crlf(letter), "\r\n\r\n")
	for name, body := range bodies {
		message := header + "\r\n\r\n" + body
		fields := must(dkim.Signer{Keys: both("example.com")}.Sign(strings.NewReader(message)))
		if got := verdicts(t, string(fields)+message, keys); got != "pass, pass" {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// go-msgauth signs in each canonicalisation.
func TestVerifyOthers(t *testing.T) {
	keys := zone{"ed._domainkey.example.com": record(edKey(), "")}
	forms := []msgauth.Canonicalization{msgauth.CanonicalizationSimple, msgauth.CanonicalizationRelaxed}
	for name, body := range bodies {
		for _, h := range forms {
			for _, b := range forms {
				var out bytes.Buffer
				err := msgauth.Sign(&out, strings.NewReader(crlf("From:  a@example.com\nSubject : folded\n\there \n\n")+body),
					&msgauth.SignOptions{Domain: "example.com", Selector: "ed", Signer: edKey(), HeaderCanonicalization: h, BodyCanonicalization: b})
				if err != nil {
					t.Fatal(err)
				}
				if got := verdicts(t, out.String(), keys); got != "pass" {
					t.Errorf("%s, %s/%s: %s\n%s", name, h, b, got, out.String())
				}
			}
		}
	}
}

func TestVerdicts(t *testing.T) {
	good := record(edKey(), "")
	message := crlf("From: a@example.com\nSubject: x\n\nHello.\n")
	signed := string(must(dkim.Signer{Ed25519Alone: true, Keys: []dkim.Key{{Domain: "example.com", Selector: "ed", Signer: edKey(), Identity: "@mail.example.com"}}}.Sign(strings.NewReader(message)))) + message
	short := string(must(dkim.Signer{ShortRSA: true, Keys: []dkim.Key{{Domain: "example.com", Selector: "ed", Signer: shortKey()}}}.Sign(strings.NewReader(message)))) + message
	swap := func(old, new string) string { return strings.Replace(signed, old, new, 1) }
	for _, c := range []struct {
		name, message, record, want string
	}{
		{"good", signed, good, "pass"},
		{"none", message, good, ""},
		{"1024 bits", short, record(shortKey(), ""), "pass"},
		{"t=s forbids i= below", signed, record(edKey(), "t=s;"), "permerror (dkim: the key may sign for example.com only, not for mail.example.com)"},
		{"t=y", signed, record(edKey(), "t=y;"), "pass"},
		{"body", swap("Hello", "Hallo"), good, "fail (dkim: the body was changed"},
		{"header", swap("Subject: x", "Subject: y"), good, "fail (dkim: a signed header field was changed"},
		{"added From", "From: b@example.com\r\n" + signed, good, "error: dkim: the message has more than one From field"},
		{"bare LF", swap("Hello", "Hel\nlo"), good, "error: dkim: an LF without CR"},
		{"other key", signed, record(must(dkim.GenerateKey(0)), ""), "fail (dkim: a signed header"},
		{"key of another kind", signed, record(rsaKey(), ""), "permerror (dkim: the published key is a *rsa.PublicKey"},
		{"no record", signed, "", "permerror (dkim: no key is published at ed._domainkey.example.com)"},
		{"revoked", signed, "v=DKIM1; p=", "permerror (dkim: the key at ed._domainkey.example.com was revoked)"},
		{"bad record", signed, "v=DKIM1; k=rsa", "permerror (dkim: the record has no key"},
		{"version", swap("v=1;", "v=2;"), good, "permerror (dkim: the signature is of version"},
		{"sha1", swap("ed25519-sha256", "rsa-sha1"), good, "permerror (dkim: signatures of algorithm"},
		{"part of the body", swap("v=1;", "v=1; l=3;"), good, "policy (dkim: the signature covers a part"},
		{"query", swap("v=1;", "v=1; q=http;"), good, "permerror (dkim: the key is to be had by"},
		{"canonicalisation", swap("c=relaxed/relaxed", "c=relaxed/nofws"), good, "permerror (dkim: the canonicalisation"},
		{"no From", swap("h=From:From:", "h="), good, "permerror (dkim: the From field is not signed)"},
		{"no h", swap(" h=", " hh="), good, "permerror (dkim: the signature has no h=)"},
		{"identity elsewhere", swap("i=@mail.example.com", "i=@example.org"), good, `permerror (dkim: the identity "@example.org" is not at or below example.com)`},
		{"identity beside", swap("i=@mail.example.com", "i=@badexample.com"), good, "permerror (dkim: the identity"},
		{"long time", swap("v=1;", "v=1; x=1000000000000;"), good, "permerror (dkim: x= of the signature"},
		{"1023 bits", short, dkim.Record{Key: tiny{}.Public()}.String(), "policy (dkim: RSA keys of 1023 bits are not trusted)"},
		{"identity no address", swap("i=@mail.example.com", "i=example.com"), good, "permerror (dkim: the identity"},
		{"domain", swap("d=example.com", "d=exa_mple.com"), good, "permerror (dkim: \"exa_mple.com\" is not a domain name)"},
		{"selector", swap("s=ed", "s=e/d"), good, "permerror (dkim: the selector"},
		{"time", swap("t=", "t=x"), good, "permerror (dkim: t= of the signature"},
		{"expired", swap("v=1;", "v=1; x=1;"), good, "permerror (dkim: the signature expired before it was made)"},
		{"twice", swap("v=1;", "v=1; v=1;"), good, `permerror (the signature: dkim: the tag "v" occurs twice)`},
		{"not base64", swap("bh=", "bh=*"), good, "permerror (dkim: bh= of the signature"},
		{"not a list", swap("v=1;", "v=1; nonsense;"), good, "permerror (the signature: dkim: \"nonsense\" is not a tag)"},
	} {
		z := zone{}
		if c.record != "" {
			z["ed._domainkey.example.com"] = c.record
		}
		if got := verdicts(t, c.message, z); got != c.want && (len(c.want) < 10 || !strings.HasPrefix(got, c.want)) {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestTesting(t *testing.T) {
	message := crlf(letter)
	fields := must(dkim.Signer{Keys: both("example.com")}.Sign(strings.NewReader(message)))
	z := zone{"ed._domainkey.example.com": record(edKey(), "t=y;"), "rsa._domainkey.example.com": record(rsaKey(), "")}
	list := must(dkim.Verify(t.Context(), bytes.NewReader(append(fields, message...)), z.lookup))
	if len(list) != 2 || list[0].Testing || !list[1].Testing || list[0].Selector != "rsa" || !slices.Contains(list[0].Header, "Subject") {
		t.Errorf("%+v", list)
	}
}

func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		message := crlf(letter)
		z := zone{"rsa._domainkey.example.com": record(rsaKey(), "")}
		fields := must(dkim.Signer{Keys: both("example.com")[1:], Expiration: time.Hour}.Sign(strings.NewReader(message)))
		time.Sleep(59 * time.Minute)
		if got := verdicts(t, string(fields)+message, z); got != "pass" {
			t.Errorf("after 59 minutes: %s", got)
		}
		time.Sleep(2 * time.Minute)
		if got := verdicts(t, string(fields)+message, z); !strings.HasPrefix(got, "permerror (dkim: the signature expired at 2000-01-01T01:00:00Z") {
			t.Errorf("after 61 minutes: %s", got)
		}
	})
}

func TestLookupTrouble(t *testing.T) {
	message := crlf(letter)
	signed := append(must(dkim.Signer{Keys: both("example.com")[1:]}.Sign(strings.NewReader(message))), message...)
	good := record(rsaKey(), "")
	for _, c := range []struct {
		list []string
		err  error
		want dkim.Result
	}{
		{[]string{good}, nil, dkim.Pass},
		{nil, nil, dkim.PermError},
		{[]string{good, good}, nil, dkim.PermError},
		{nil, errors.New("SERVFAIL"), dkim.TempError},
		{nil, context.DeadlineExceeded, dkim.TempError},
		{nil, &net.DNSError{Err: "timeout", IsTimeout: true}, dkim.TempError},
		{nil, fmt.Errorf("wrapped: %w", &net.DNSError{IsNotFound: true}), dkim.PermError},
	} {
		list := must(dkim.Verify(t.Context(), bytes.NewReader(signed), func(context.Context, string) ([]string, error) { return c.list, c.err }))
		if len(list) != 1 || list[0].Result != c.want {
			t.Errorf("%v, %v: %+v, want %s", c.list, c.err, list, c.want)
		}
	}
}

// A stranger must not make us ask for many keys.
func TestManySignatures(t *testing.T) {
	message := crlf(letter)
	field := string(must(dkim.Signer{Keys: both("example.com")[1:]}.Sign(strings.NewReader(message))))
	asked := 0
	list := must(dkim.Verify(t.Context(), strings.NewReader(strings.Repeat(field, 200)+message), func(context.Context, string) ([]string, error) {
		asked++
		return nil, nil
	}))
	if len(list) != 10 || asked != 10 {
		t.Errorf("%d verdicts, %d lookups", len(list), asked)
	}
}

func ExampleVerify() {
	message := strings.NewReader("From: a@example.com\r\n\r\nHello.\r\n")
	list, err := dkim.Verify(context.Background(), message, nil)
	fmt.Println(len(list), err)
	// Output: 0 <nil>
}
