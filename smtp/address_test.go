package smtp

import (
	"strings"
	"testing"
)

func TestCheckAddress(t *testing.T) {
	good := []string{"a@b", "a.b+c@example.org", `"a b"@example.org`, `"a\"b@x"@example.org`, `""@example.org`, "a@[127.0.0.1]", "a@[IPv6:::1]",
		"ü@bücher.example", "!#$%&'*+-/=?^_`{|}~@x", "a@_spf.example", strings.Repeat("a", 300) + "@x"}
	bad := []string{"", "a", "@b", "a@", "a@b> SIZE=1", "<a@b>", "a b@c", "a@b c", "a..b@c", ".a@c", "a.@c", `"a@b`, `"a"b"@c`, "a\x00@b", "a@b\r\nRSET",
		`"a` + "\r\n" + `"@b`, `"a\` + "\n" + `"@b`, "a@b..c", "a@.b", "a@b.", "a@-b", "a@b-", "a@" + strings.Repeat("x", 64), "a@[127.0.0.1", "a@[::1]",
		"a@[IPv6:127.0.0.1]", "a@[x]", "a@b,c", "a@b;c", "a@(b)", "a@\xff", "a,b@c", strings.Repeat("a", 600) + "@x", "a\x7f@b", `"a>b"@c`, `"a\<"@c`, "a@[IPv6:fe80::1%eth0]"}
	for _, a := range good {
		if err := checkAddress(a); err != nil {
			t.Errorf("%q: %v", a, err)
		}
	}
	for _, a := range bad {
		if err := checkAddress(a); err == nil {
			t.Errorf("%q passes", a)
		}
	}
}

// FuzzAddress: what passes cannot leave its angle brackets, whoever reads the command.
func FuzzAddress(f *testing.F) {
	for _, a := range []string{"a@b", `"a>b"@c`, `"\>"@c`, "a@[1.2.3.4]", "ü@ü", "a@b\r\n"} {
		f.Add(a)
	}
	f.Fuzz(func(t *testing.T, a string) {
		if checkAddress(a) != nil {
			return
		}
		line := rcptLine(&Recipient{Address: a}, &extensions{})
		if _, err := command(nil, line); err != nil {
			t.Fatalf("%q passes and is no command: %v", a, err)
		}
		quoted, escaped := false, false
		for i := range len(a) {
			switch c := a[i]; {
			case escaped:
				escaped = false
			case quoted && c == '\\':
				escaped = true
			case c == '"':
				quoted = !quoted
			case c == '>' || c == '<' || !quoted && (c == ' ' || c == ','):
				t.Fatalf("%q leaves its brackets", a)
			}
		}
	})
}

func TestCommand(t *testing.T) {
	for _, line := range []string{"NOOP\r\nRSET", "a\x00", "a\x7f", "\t", strings.Repeat("x", 5000)} {
		if b, err := command([]byte("before"), line); err == nil || string(b) != "before" {
			t.Errorf("%.20q: %q, %v", line, b, err)
		}
	}
	if b, err := command(nil, "MAIL FROM:<ü@b>"); err != nil || string(b) != "MAIL FROM:<ü@b>\r\n" {
		t.Errorf("%q, %v", b, err)
	}
}

func TestEncodings(t *testing.T) {
	if got := xtext("a+b=c d\x7fü~"); got != "a+2Bb+3Dc+20d+7F+C3+BC~" {
		t.Errorf("xtext %q", got)
	}
	if got := unitext(`ü+\ a`); got != `\x{FC}\x{2B}\x{5C}\x{20}a` {
		t.Errorf("unitext %q", got)
	}
	for n, want := range map[Notify]string{NotifyNever: "NEVER", NotifyFailure | NotifyDelay: "FAILURE,DELAY"} {
		if n.String() != want {
			t.Errorf("%v", n)
		}
	}
}
