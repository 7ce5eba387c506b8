package postrider

import (
	"bytes"
	"context"
	"crypto/rsa"
	"fmt"
	"strings"
	"time"

	"github.com/postrider/postrider/dkim"
)

const dkimBy = "Gmail, Yahoo, Microsoft, Apple"

// sampleSignature is one signature under a sample.
type sampleSignature struct {
	dkim.Verification
	counts bool // large receivers will take it into account
}

// dkim signs a sample as mail is signed, and verifies it with the keys that are published.
func (x *examination) dkim(ctx context.Context) {
	x.settle("key", good)
	if x.client.Signer == nil {
		x.add("dkim-missing", SeverityFailure, dkimBy, "mail is not signed", "make a key with dkim.GenerateKey(2048), publish its record, and set Client.Signer")
		x.settle("dkim", bad, "dkim-missing")
		return
	}
	sample := []byte("From: " + x.report.From + "\r\nTo: " + x.report.From + "\r\nSubject: preflight\r\nDate: " + time.Now().Format(time.RFC1123Z) +
		"\r\nMessage-ID: <preflight@" + x.report.Domain + ">\r\n\r\nThis is not sent.\r\n")
	fields, err := x.client.Signer.Sign(bytes.NewReader(sample))
	switch {
	case err != nil:
		x.add("dkim-key", SeverityFailure, dkimBy, fmt.Sprintf("mail from %s cannot be signed: %v", x.report.Domain, err), "give the Signer a fit key of "+x.report.Domain)
		x.settle("dkim", bad, "dkim-key")
		return
	case len(fields) == 0:
		x.add("dkim-missing", SeverityFailure, dkimBy, "mail from "+x.report.Domain+" is not signed", "give the Signer a key of "+x.report.Domain)
		x.settle("dkim", bad, "dkim-missing")
		return
	}
	list, err := dkim.Verify(ctx, bytes.NewReader(append(fields, sample...)), x.dns.LookupTXT)
	if err != nil {
		x.add("dkim-key", SeverityFailure, dkimBy, fmt.Sprintf("the signature cannot be verified: %v", err), "mend the Signer")
		x.settle("dkim", bad, "dkim-key")
		return
	}
	x.signatures(ctx, list)
}

// signatures settles what the signatures are worth together: one that counts is enough.
func (x *examination) signatures(ctx context.Context, list []dkim.Verification) {
	var because []string
	counts, ignored, unanswered := false, false, false
	for _, v := range list {
		rule := x.signature(ctx, v)
		ed := rule == "" && strings.HasPrefix(v.Algorithm, "ed25519")
		ok := rule == "" && !ed
		x.verified = append(x.verified, sampleSignature{v, ok})
		counts, ignored, unanswered = counts || ok, ignored || ed, unanswered || rule == "dns-trouble"
		if rule != "" {
			because = append(because, rule)
		}
	}
	switch {
	case counts:
		x.settle("dkim", good)
		return
	case unanswered:
		x.settle("dkim", unknown, because...)
		return
	case because == nil && ignored:
		x.add("dkim-ed25519-only", SeverityFailure, "Gmail, Microsoft", "the only valid signature is by an Ed25519 key, which these receivers do not verify", "add an RSA key of 2048 bits")
		because = []string{"dkim-ed25519-only"}
	}
	x.settle("dkim", bad, because...)
}

// signature judges one, and returns the rule that speaks against it.
func (x *examination) signature(ctx context.Context, v dkim.Verification) string {
	name := v.Selector + "._domainkey." + v.Domain
	kind := "RSA"
	if strings.HasPrefix(v.Algorithm, "ed25519") {
		kind = "Ed25519"
	}
	what := fmt.Sprintf("the %s key %s", kind, name)
	remedy := x.keyRecord(ctx, v, name)
	texts, err := x.dns.LookupTXT(ctx, name)
	fail := func(rule, evidence string) string {
		x.add(rule, SeverityFailure, dkimBy, what+" "+evidence, remedy)
		return rule
	}
	if err != nil && !notFound(err) {
		x.trouble(what, err)
		return "dns-trouble"
	}
	switch len(texts) {
	case 0:
		return fail("dkim-record-missing", "is not published")
	case 1:
	default:
		return fail("dkim-record-multiple", fmt.Sprintf("has %d records, and there must be one: %q", len(texts), texts))
	}
	record, err := dkim.ParseRecord(texts[0])
	switch {
	case err != nil:
		return fail("dkim-record-malformed", fmt.Sprintf("has a record that cannot be used: %v: %q", err, texts[0]))
	case record.Key == nil:
		return fail("dkim-revoked", fmt.Sprintf("was revoked: %q", texts[0]))
	}
	bits := 0
	if k, ok := record.Key.(*rsa.PublicKey); ok {
		bits = k.N.BitLen()
	}
	switch {
	case v.Result == dkim.Policy:
		x.settle("key", bad, "dkim-key-short")
		return fail("dkim-key-short", fmt.Sprintf("has %d bits, and receivers want 1024 at least", bits))
	case v.Result != dkim.Pass && record.Strict && strings.Contains(fmt.Sprint(v.Err), "may sign for"):
		return fail("dkim-strict", fmt.Sprintf("may not sign for %s (t=s)", v.Identity))
	case v.Result == dkim.TempError:
		x.trouble(what, v.Err)
		return "dns-trouble"
	case v.Result != dkim.Pass:
		return fail("dkim-record-mismatch", fmt.Sprintf("is not the private key in use: %v", v.Err))
	case record.Testing:
		x.add("dkim-testing", SeverityWarning, "RFC 6376", what+" is published for tests (t=y): receivers may treat mail as unsigned", remedy)
		return "dkim-testing"
	case bits > 0 && bits < 2048:
		x.add("dkim-key-short", SeverityNotice, "Gmail, RFC 8301", fmt.Sprintf("%s has %d bits; 2048 are advised", what, bits), "make a new key with dkim.GenerateKey(2048), and change over with a dkim.Rotation")
		return ""
	}
	evidence := what + " is published and is the one in use"
	if bits > 0 {
		evidence += fmt.Sprintf(", %d bits", bits)
	}
	x.add("dkim-pass", SeverityPass, dkimBy, evidence, "")
	return ""
}

// keyRecord says what to publish for a signature's key, if the Signer knows its public half.
func (x *examination) keyRecord(ctx context.Context, v dkim.Verification, name string) string {
	signer, ok := x.client.Signer.(interface {
		KeysOf(ctx context.Context, domain string) ([]dkim.Key, error)
	})
	if ok {
		keys, _ := signer.KeysOf(ctx, x.report.Domain)
		for _, k := range keys {
			if n, err := k.Name(); err != nil || !strings.EqualFold(n, name) {
				continue
			}
			if r, err := k.Record(); err == nil {
				return "publish as the only record: " + strings.TrimSpace(r.Zone(name))
			}
		}
	}
	return "publish the public half of the key at " + name
}
