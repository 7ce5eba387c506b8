package dkim_test

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/postrider/postrider/dkim"
)

func TestAuthenticationResults(t *testing.T) {
	for want, got := range map[string]string{
		"Authentication-Results: mx.example.org; none\r\n": dkim.AuthenticationResults("mx.example.org"),
		"Authentication-Results: mx.example.org;\r\n dkim=fail reason=\"body; \\\"changed\\\"\" header.d=example.com\r\n" +
			" header.i=\"a b@example.com\" header.b=\"k1Lz/+9=\"\r\n": dkim.AuthenticationResults("mx.example.org",
			dkim.AuthResult{Method: "dkim", Result: "fail", Reason: `body; "changed"`, Properties: [][2]string{
				{"header.d", "example.com"}, {"header.i", "a b@example.com"}, {"header.b", "k1Lz/+9="}}}),
		"Authentication-Results: mx;\r\n spf=pass smtp.mailfrom=a.b+c@example.com;\r\n dmarc=pass header.from=example.com\r\n": dkim.AuthenticationResults("mx",
			dkim.AuthResult{Method: "spf", Result: "pass", Properties: [][2]string{{"smtp.mailfrom", "a.b+c@example.com"}}},
			dkim.AuthResult{Method: "dmarc", Result: "pass", Properties: [][2]string{{"header.from", "example.com"}}}),
		"Authentication-Results: mx;\r\n x=unknown reason=\"a??X-Evil: 1\" smtp.mailfrom=\"<>; dkim=pass\"\r\n": dkim.AuthenticationResults("mx",
			dkim.AuthResult{Method: "x;\r\n", Result: " ", Reason: "a\r\nX-Evil: 1", Properties: [][2]string{{"smtp. mailfrom", "<>; dkim=pass"}}}),
	} {
		if got != want {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	}
}

func TestAuthResultOfVerification(t *testing.T) {
	message := crlf(letter)
	z := zone{"ed._domainkey.example.com": record(edKey(), "")}
	fields := must(dkim.Signer{Keys: both("example.com")}.Sign(strings.NewReader(message)))
	list := must(dkim.Verify(t.Context(), strings.NewReader(string(fields)+message), z.lookup))
	got := regexp.MustCompile(`header.b="?[^" \r]{8}"?`).ReplaceAllString(dkim.AuthenticationResults("mx.example.org", list[0].AuthResult(), list[1].AuthResult()), "header.b=X")
	want := crlf(`Authentication-Results: mx.example.org;
 dkim=permerror reason="no key is published at rsa._domainkey.example.com"
 header.d=example.com header.i=@example.com header.s=rsa header.a=rsa-sha256
 header.b=X;
 dkim=pass header.d=example.com header.i=@example.com header.s=ed
 header.a=ed25519-sha256 header.b=X
`)
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// FuzzAuthenticationResults: whatever strangers send, the field stays one field with these results.
func FuzzAuthenticationResults(f *testing.F) {
	f.Add("mx.example.org", "dkim", "pass", "because", "header.d", "example.com")
	f.Add("", "", "", "", "", "")
	f.Add("a b", "d;k", "p\r\n", "\"\\\"", "header.\x00", "\"; dkim=pass header.d=bank.example\r\n\r\n")
	f.Add("m\u00fcnchen", "dkim", "pass", "\xff\xfe", "header.i", "\u00fc@m\u00fcnchen.example")
	results := regexp.MustCompile(`^Authentication-Results: ("(?:[^"\\]|\\.)*"|[^ ;"]+);` +
		` ([A-Za-z0-9._-]+)=([A-Za-z0-9._-]+)( reason="(?:[^"\\]|\\.)*")? ([A-Za-z0-9._-]+)=("(?:[^"\\]|\\.)*"|[^ ;"()\\]+)$`)
	f.Fuzz(func(t *testing.T, server, method, result, reason, name, value string) {
		field := dkim.AuthenticationResults(server, dkim.AuthResult{Method: method, Result: result, Reason: reason, Properties: [][2]string{{name, value}}})
		unfolded := strings.ReplaceAll(strings.TrimSuffix(field, "\r\n"), "\r\n ", " ")
		if strings.ContainsAny(unfolded, "\r\n\x00") || len(field) > 4000 {
			t.Fatalf("not one field: %q", field)
		}
		m := results.FindStringSubmatch(unfolded)
		if m == nil {
			t.Fatalf("not the grammar of RFC 8601 s. 2.2: %q", field)
		}
	})
}

func ExampleAuthenticationResults() {
	v := dkim.Verification{Result: dkim.Fail, Domain: "example.com", Selector: "s1", Algorithm: "rsa-sha256",
		Err: errors.New("dkim: the body was changed after it was signed")}
	fmt.Print(strings.ReplaceAll(dkim.AuthenticationResults("mx.example.org", v.AuthResult()), "\r\n", "\n"))
	// Output:
	// Authentication-Results: mx.example.org;
	//  dkim=fail reason="the body was changed after it was signed"
	//  header.d=example.com header.s=s1 header.a=rsa-sha256
}
