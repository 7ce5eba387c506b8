package mx

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestResolvConf(t *testing.T) {
	for text, want := range map[string]string{
		"":                            "[127.0.0.1:53 [::1]:53] 5s 2 true",
		"nameserver 9.9.9.9":          "[9.9.9.9:53] 5s 2 false",
		"nameserver 127.0.0.53":       "[127.0.0.53:53] 5s 2 true",
		"nameserver\t2600::53\r\n":    "[[2600::53]:53] 5s 2 false",
		"nameserver fe80::1%eth0":     "[[fe80::1%eth0]:53] 5s 2 false",
		"nameserver ::ffff:127.0.0.1": "[[::ffff:127.0.0.1]:53] 5s 2 true",
		"# nameserver 1.1.1.1\n; nameserver 1.1.1.1\nnameserver 9.9.9.9 # mine":           "[9.9.9.9:53] 5s 2 false",
		"nameserver 127.0.0.1\nnameserver 9.9.9.9":                                        "[127.0.0.1:53 9.9.9.9:53] 5s 2 false",
		"nameserver 1.1.1.1\nnameserver 1.1.1.2\nnameserver 1.1.1.3\nnameserver 1.1.1.4":  "[1.1.1.1:53 1.1.1.2:53 1.1.1.3:53] 5s 2 false",
		"nameserver dns.example\nnameserver\nnameserver 300.1.1.1":                        "[127.0.0.1:53 [::1]:53] 5s 2 true",
		"nameserver 9.9.9.9\noptions timeout:1 attempts:4 rotate":                         "[9.9.9.9:53] 1s 4 false",
		"nameserver 9.9.9.9\noptions timeout:0 attempts:-1":                               "[9.9.9.9:53] 1s 1 false",
		"nameserver 9.9.9.9\noptions timeout:9999999 attempts:9999999":                    "[9.9.9.9:53] 30s 5 false",
		"nameserver 9.9.9.9\noptions timeout:99999999999999999999 attempts:x timeout":     "[9.9.9.9:53] 5s 2 false",
		"nameserver 9.9.9.9\noptions trust-ad":                                            "[9.9.9.9:53] 5s 2 true",
		"search example.test\ndomain example.test\nsortlist 10.0.0.0\nnameserver 9.9.9.9": "[9.9.9.9:53] 5s 2 false",
	} {
		s := parseResolvConf(strings.NewReader(text), "53")
		if got := fmt.Sprint(s.addrs, s.timeout, s.attempts, s.trusted); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}

// A laptop changes its network, a container its resolver: the file is read again when it has changed.
func TestResolvConfIsReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	write := func(text string, changed int64) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, time.Time{}, time.Unix(changed, 0)); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		d := &DNS{system: systemServers{path: path}}
		expect := func(want string, trusted bool) {
			t.Helper()
			s, err := d.servers()
			if got := fmt.Sprint(s.addrs); err != nil || got != want || d.Trusted() != trusted {
				t.Errorf("got %s, trusted %v, %v, want %s, %v", got, d.Trusted(), err, want, trusted)
			}
		}
		expect("[127.0.0.1:53 [::1]:53]", true) // there is no such file
		write("nameserver 9.9.9.9", 1)
		expect("[127.0.0.1:53 [::1]:53]", true) // not looked at yet
		time.Sleep(5 * time.Second)
		expect("[9.9.9.9:53]", false)
		write("nameserver 127.0.0.2", 2)
		time.Sleep(5 * time.Second)
		expect("[127.0.0.2:53]", true)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		expect("[127.0.0.1:53 [::1]:53]", true)
	})
	d := &DNS{system: systemServers{path: path}, TLS: &tls.Config{}}
	if s, err := d.servers(); err != nil || s.addrs[0] != "127.0.0.1:853" {
		t.Errorf("over TLS: %v, %v", s.addrs, err)
	}
}

func FuzzResolvConf(f *testing.F) {
	f.Add("nameserver 9.9.9.9\noptions timeout:1 attempts:4 trust-ad\nnameserver fe80::1%eth0\n")
	f.Add("nameserver ::1\nnameserver [::1]:53\noptions timeout:")
	f.Fuzz(func(t *testing.T, text string) {
		s := parseResolvConf(strings.NewReader(text), "53")
		if len(s.addrs) < 1 || len(s.addrs) > 3 {
			t.Errorf("%d servers", len(s.addrs))
		}
		for _, addr := range s.addrs {
			if _, err := netip.ParseAddrPort(addr); err != nil {
				t.Error(err)
			}
		}
		if s.timeout < time.Second || s.timeout > 30*time.Second || s.attempts < 1 || s.attempts > 5 {
			t.Errorf("timeout %v, %d attempts", s.timeout, s.attempts)
		}
	})
}

func FuzzDomain(f *testing.F) {
	for _, domain := range []string{"example.test", "MÜNCHEN。test.", "xn--mnchen-3ya.test", "[9.0.0.9]", "[IPv6:2600::9]", "a..b", "9.0.0.9", "under_score.test"} {
		f.Add(domain)
	}
	f.Fuzz(func(t *testing.T, domain string) {
		name, literal, err := parseDomain(domain)
		if err != nil {
			return
		}
		if literal.IsValid() {
			if name != "" || literal.Zone() != "" {
				t.Errorf("%q: name %q beside literal %v", domain, name, literal)
			}
			return
		}
		if err := checkName(name); err != nil {
			t.Errorf("%q became %q: %v", domain, name, err)
		}
		if again, _, err := parseDomain(name); err != nil || again != name {
			t.Errorf("%q became %q and then %q, %v", domain, name, again, err)
		}
	})
}
