package postrider

import (
	"net/mail"
	"strings"
	"testing"
)

func TestParseAddress(t *testing.T) {
	long := strings.Repeat("l", 63)
	for in, want := range map[string]string{
		"a@example.org":                           "a@example.org",
		"A.B+c_d@Example.ORG":                     "A.B+c_d@Example.ORG",
		"!#$%&'*+-/=?^_`{|}~@example.org":         "!#$%&'*+-/=?^_`{|}~@example.org",
		`"plain"@example.org`:                     "plain@example.org",
		`"pl\ain.x"@example.org`:                  "plain.x@example.org",
		`"a b"@example.org`:                       `"a b"@example.org`,
		`"a\ b\\\"@"@example.org`:                 `"a b\\\"@"@example.org`,
		`".a"@example.org`:                        `".a"@example.org`,
		`"a..b"@example.org`:                      `"a..b"@example.org`,
		"a@b":                                     "a@b",
		"a@1.2.3.example":                         "a@1.2.3.example",
		"a@[192.0.2.1]":                           "a@[192.0.2.1]",
		"a@[IPv6:2001:db8::1]":                    "a@[IPv6:2001:db8::1]",
		"a@münchen.example":                       "a@xn--mnchen-3ya.example",
		"a@MÜNCHEN.example":                       "a@xn--mnchen-3ya.example",
		"a@faß.example":                           "a@xn--fa-hia.example",
		"a@例え。テスト":                                "a@xn--r8jz45g.xn--zckzah",
		"a@" + long + ".example":                  "a@" + long + ".example",
		strings.Repeat("l", 200) + "@example.org": strings.Repeat("l", 200) + "@example.org",
	} {
		got, utf8, err := parseAddress(in)
		if err != nil || got != want || utf8 {
			t.Errorf("parseAddress(%q) = %q, %v, %v; want %q", in, got, utf8, err, want)
		}
	}
	for in, want := range map[string]string{
		"jürgen@example.org":   "jürgen@example.org",
		"用户@例え.テスト":            "用户@xn--r8jz45g.xn--zckzah",
		`"ö ä"@example.org`:    `"ö ä"@example.org`,
		`"öä"@münchen.example`: "öä@xn--mnchen-3ya.example",
	} {
		got, utf8, err := parseAddress(in)
		if err != nil || got != want || !utf8 {
			t.Errorf("parseAddress(%q) = %q, %v, %v; want %q, true", in, got, utf8, err, want)
		}
	}
}

// badAddresses must not pass: most of them have been used to add recipients or commands somewhere.
var badAddresses = []string{
	"", "a", "@", "a@", "@b", "<>", "<a@example.org>", "a@example.org ", " a@example.org", "a b@example.org",
	"a@exa mple.org", "a@b@c", "a@example.org>", "a@example.org> ORCPT=x", "a\r\nRCPT TO:<x@y>@example.org",
	"a@example.org\r\n", "a@example.org\n", "a\x00@example.org", "a\x7f@example.org", "a\t@example.org",
	"\"a\r\nb\"@example.org", "\"a\x00\"@example.org", "\"a\tb\"@example.org", "\"a\\\r\n\"@example.org", "\"a\\\u00fc\"@example.org",
	`"a"b@example.org`, `"a"bexample.org`, `"a@example.org`, `"a\"@example.org`, `""@example.org`, `"a" @example.org`, `a"b"@example.org`,
	".a@example.org", "a.@example.org", "a..b@example.org", "a(comment)@example.org", "a@example.org(comment)",
	"a@(comment)example.org", "@x,@y:a@example.org", "a,b@example.org", "a;b@example.org", "a:b@example.org", "a<b@example.org",
	"a[b@example.org", `a\b@example.org`, "a@-b.example", "a@b-.example", "a@b..example", "a@.b", "a@b.", "a@b_c.example",
	"a@exam!ple.org", "a@127.0.0.1", "a@example.1", "a@[127.0.0.256]", "a@[1.2.3]", "a@[]", "a@[", "a@]", "a@[127.0.0.1",
	"a@[IPv6:1.2.3.4]", "a@[IPv6:fe80::1%eth0]", "a@[::1]", "a@[127.0.0.1]x", "a@[x:y]", "a@[127.0.0.1\r\n]",
	"a@" + strings.Repeat("l", 64) + ".example", "a@" + strings.Repeat("l.", 127) + "example", strings.Repeat("l", 300) + "@example.org",
	"a@" + strings.Repeat("ü", 60) + ".example", "ü\xff@example.org", "a@ex\xffample.org", "\u0085@example.org", "a@\u200b.example",
	"a@xn--\u00fc.example", "a@\u2024.example", "Ada <a@example.org>", "a@example.org, b@example.org", "mailto:a@example.org",
}

func TestParseAddressRefuses(t *testing.T) {
	for _, in := range badAddresses {
		if got, _, err := parseAddress(in); err == nil {
			t.Errorf("parseAddress(%q) = %q, want an error", in, got)
		}
	}
}

// FuzzParseAddress: what passes can stand in a command as it is, is read as the same by the
// standard library, and does not change when it is read again.
func FuzzParseAddress(f *testing.F) {
	for _, s := range badAddresses {
		f.Add(s)
	}
	for _, s := range []string{"a@example.org", `"a b\\"@example.org`, "ü@münchen.example", "a@[IPv6:::1]", "a@[192.0.2.1]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got, utf8, err := parseAddress(in)
		if err != nil {
			return
		}
		high := false
		quoted := false
		for i := 0; i < len(got); i++ {
			c := got[i]
			if c < ' ' || c == 0x7f {
				t.Fatalf("%q: control character in %q", in, got)
			}
			if c == '"' && (i == 0 || got[i-1] != '\\' || i > 1 && got[i-2] == '\\') {
				quoted = !quoted
			}
			if !quoted && (c == '<' || c == '>' || c == ' ' || c == ',') {
				t.Fatalf("%q: %q unquoted in %q", in, c, got)
			}
			high = high || c >= 0x80
		}
		if high != utf8 || len(got) > maxAddress {
			t.Fatalf("%q: %q, utf8 is %v", in, got, utf8)
		}
		again, utf8Again, err := parseAddress(got)
		if err != nil || again != got || utf8Again != utf8 {
			t.Fatalf("%q: %q becomes %q, %v, %v", in, got, again, utf8Again, err)
		}
		if strings.Contains(got, "@[") {
			return // net/mail does not know all literals
		}
		a, err := mail.ParseAddress("<" + got + ">")
		if err != nil {
			t.Fatalf("%q: net/mail cannot read %q: %v", in, got, err)
		}
		if at := strings.LastIndexByte(got, '@'); !strings.HasSuffix(a.Address, got[at:]) {
			t.Fatalf("%q: net/mail sees the domain of %q in %q", in, a.Address, got)
		}
	})
}
