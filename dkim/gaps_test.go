package dkim_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"regexp"
	"strings"
	"testing"

	msgauth "github.com/emersion/go-msgauth/dkim"
	"github.com/postrider/postrider/dkim"
)

// forge signs with a field of the test's choice, in which BH and SIG stand for the hash and the signature, From
// and Subject are signed, and all is relaxed. It is written apart from the package that it tests.
func forge(field, message string) string {
	header, body, _ := strings.Cut(message, "\r\n\r\n")
	sum := sha256.Sum256([]byte(plainRelaxed(body)))
	field = strings.Replace(field, "BH", base64.StdEncoding.EncodeToString(sum[:]), 1)
	relax := func(f string) string {
		name, value, _ := strings.Cut(strings.ReplaceAll(f, "\r\n", ""), ":")
		return strings.ToLower(strings.TrimSpace(name)) + ":" + strings.TrimSpace(whiteSpace.ReplaceAllString(value, " "))
	}
	data := ""
	for _, name := range []string{"From", "Subject"} {
		for _, f := range strings.Split(header, "\r\n") {
			if strings.HasPrefix(f, name+":") {
				data += relax(f) + "\r\n"
			}
		}
	}
	digest := sha256.Sum256([]byte(data + relax(regexp.MustCompile(`\s*SIG\s*`).ReplaceAllString(field, ""))))
	sig := must(edKey().Sign(rand.Reader, digest[:], crypto.Hash(0)))
	text := base64.StdEncoding.EncodeToString(sig)
	return strings.Replace(field, "SIG", text[:20]+"\r\n "+text[20:], 1) + "\r\n" + message
}

// What RFC 6376 allows and verifiers stumble over.
func TestOddSignatures(t *testing.T) {
	const start = "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed; s=ed; h=From:Subject; bh=BH; "
	message := crlf("From: a@example.com\nSubject: x\n\nHello.\n")
	z := zone{"ed._domainkey.example.com": record(edKey(), ""), "ed._domainkey.xn--mnchen-3ya.example": record(edKey(), ""),
		"e_d._domainkey.example.com": record(edKey(), "t=s;")}
	for _, field := range []string{
		start + "d=example.com; b=SIG",
		start + "d=Example.COM; i=a@mail.EXAMPLE.com; b=SIG",
		start + "d=EXAMPLE.com; i=@example.COM; b=SIG;",
		start + "d=example.com; z=Subject:bob=20hi|To:b=20=3B; b=SIG;",
		start + "d=example.com; z=b=1; bb=2; b=SIG;",
		start + "d=example.com; b=SIG; z=b=1;",
		start + "d=example.com;\r\n\tb\r\n = \r\n SIG \r\n ; t=1",
		start + "d=example.com; i=\"a@b\"@example.com; b=SIG;",
		start + "d=m\u00fcnchen.example; i=@xn--mnchen-3ya.example; b=SIG",
		strings.Replace(start, "s=ed", "s=E_D", 1) + "d=example.com; i=@EXAMPLE.com; b=SIG",
		strings.Replace(start, "From:Subject", "\r\n from :\r\n SUBJECT ", 1) + "d=example.com; b=SIG",
		strings.Replace(start, "DKIM-Signature:", "dkim-signature :", 1) + "d=example.com; b=SIG",
	} {
		if got := verdicts(t, forge(field, message), z); got != "pass" {
			t.Errorf("%s: %s", field, got)
		}
		if got := verdicts(t, strings.Replace(forge(field, message), "Hello", "Hallo", 1), z); !strings.HasPrefix(got, "fail") {
			t.Errorf("%s, changed: %s", field, got)
		}
	}
}

// FuzzVerify compares the verdict with that of go-msgauth, on messages that were signed and then changed
// in any way.
func FuzzVerify(f *testing.F) {
	message := crlf("From: a@example.com\nSubject: x y\nTo: b@example.com\n\nHello,  you. \n\n")
	key := must(dkim.ParseKey([]byte(testEd25519))) // the same in each process of the fuzzer
	signer := dkim.Signer{Keys: []dkim.Key{{Domain: "example.com", Selector: "ed", Signer: key}}, Ed25519Alone: true}
	f.Add(append(must(signer.Sign(strings.NewReader(message))), message...))
	for _, c := range []msgauth.Canonicalization{msgauth.CanonicalizationSimple, msgauth.CanonicalizationRelaxed} {
		var out bytes.Buffer
		msgauth.Sign(&out, strings.NewReader(message), &msgauth.SignOptions{Domain: "example.com", Selector: "ed", Signer: key, HeaderCanonicalization: c})
		f.Add(out.Bytes())
	}
	f.Add([]byte(crlf(rfc8463 + dinner)))
	z := zone{"ed._domainkey.example.com": record(key, ""), "brisbane._domainkey.football.example.com": vectorKeys["brisbane._domainkey.football.example.com"],
		"test._domainkey.football.example.com": vectorKeys["test._domainkey.football.example.com"]}
	f.Fuzz(func(t *testing.T, message []byte) {
		ours, err := dkim.Verify(t.Context(), bytes.NewReader(message), z.lookup)
		if err != nil {
			return // we refuse messages that go-msgauth repairs
		}
		theirs, err := msgauth.VerifyWithOptions(bytes.NewReader(message), &msgauth.VerifyOptions{
			LookupTXT: func(name string) ([]string, error) { return z.lookup(t.Context(), strings.ToLower(name)) }, MaxVerifications: 10})
		if err != nil || len(theirs) != len(ours) {
			return
		}
		for i, v := range ours {
			if (v.Result == dkim.Pass) != (theirs[i].Err == nil) {
				t.Errorf("%s (%v), go-msgauth says %v\n%q", v.Result, v.Err, theirs[i].Err, message)
			}
		}
	})
}
