package postrider

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/smtp"
)

func TestOpenRelay(t *testing.T) {
	tests := []struct {
		url      string
		host     string
		security smtp.Security
		user     string
		password string
	}{
		{"smtp://relay.example.com", "relay.example.com:587", smtp.StartTLS, "", ""},
		{"smtp://ada:p%40ss%2Fword@relay.example.com:2525?tls=opportunistic", "relay.example.com:2525", smtp.Opportunistic, "ada", "p@ss/word"},
		{"smtp://relay.example.com:25?tls=none&hello=me.example.com&timeout=5s", "relay.example.com:25", smtp.Plaintext, "", ""},
		{"smtp://[::1]:25?tls=required", "[::1]:25", smtp.StartTLS, "", ""},
		{"smtps://ada%40example.com:x@relay.example.com", "relay.example.com:465", smtp.ImplicitTLS, "ada@example.com", "x"},
		{"lmtp://127.0.0.1", "127.0.0.1:24", smtp.Opportunistic, "", ""},
	}
	for _, test := range tests {
		c, err := Open(test.url)
		if err != nil {
			t.Errorf("%s: %v", test.url, err)
			continue
		}
		r := c.Transport.(*Relay)
		if r.String() != test.host || r.Security != test.security {
			t.Errorf("%s: %s with security %d", test.url, r, r.Security)
		}
		if test.user != "" && (r.Auth == nil || r.Auth.Username != test.user || r.Auth.Password != test.password) {
			t.Errorf("%s: login %+v", test.url, r.Auth)
		}
		if test.user == "" && r.Auth != nil {
			t.Errorf("%s: login %+v", test.url, r.Auth)
		}
		if r.LMTP != strings.HasPrefix(test.url, "lmtp") {
			t.Errorf("%s: LMTP is %v", test.url, r.LMTP)
		}
	}
	c, err := Open("smtp://relay.example.com?hello=me.example.com&timeout=5s")
	if err != nil {
		t.Fatal(err)
	}
	if p := c.Transport.(*Relay).Pool; p.Hello != "me.example.com" || p.Timeouts.Final != 5*time.Second {
		t.Errorf("pool %+v", p)
	}
}

func TestOpenDirect(t *testing.T) {
	c, err := Open("direct://?hello=me.example.com&resolver=127.0.0.1:5353&trust-ad=true&port=2525&allow=loopback&allow=private&timeout=1m")
	if err != nil {
		t.Fatal(err)
	}
	r := c.Transport.(*Direct).Router
	if !r.TrustAD || r.Port != 2525 || r.Resolver == nil {
		t.Errorf("router %+v", r)
	}
	for _, address := range []string{"127.0.0.1", "10.1.2.3", "::1"} {
		allowed := false
		for _, prefix := range r.Allow {
			allowed = allowed || prefix.Contains(netip.MustParseAddr(address))
		}
		if !allowed {
			t.Errorf("%s is not allowed", address)
		}
	}
}

func TestOpenCombined(t *testing.T) {
	c, err := Open("failover(smtp://a.example.com roundrobin(smtps://b.example.com  direct://))")
	if err != nil {
		t.Fatal(err)
	}
	f := c.Transport.(Failover)
	if len(f) != 2 || len(f[1].(*RoundRobin).Transports) != 2 {
		t.Errorf("%v", f)
	}
}

func TestOpenQueue(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "spool")
	for _, url := range []string{"direct://?queue=memory:", "direct://?queue=disk:" + folder, "failover(direct://?queue=memory: direct://?queue=memory:)"} {
		c, err := Open(url)
		if err != nil || c.Queue == nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		if err := c.Queue.Close(); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
	if _, err := os.Stat(folder); err != nil {
		t.Error(err)
	}
	for _, url := range []string{"direct://?queue=tape:", "direct://?queue=disk:", "direct://?queue=disk", "failover(direct://?queue=memory: direct://?queue=disk:" + folder + ")"} {
		if _, err := Open(url); err == nil || !strings.Contains(err.Error(), "queue=") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ url, want string }{
		{"", "scheme"},
		{"http://example.com", "unknown scheme"},
		{"smtp:", "host"},
		{"smtp://", "host is missing"},
		{"smtp://example.com/path", "path"},
		{"smtp://example.com:0", "port"},
		{"smtp://example.com:70000", "port"},
		{"smtp://example.com?tls=maybe", "tls=maybe"},
		{"smtp://example.com?tls", "tls is empty"},
		{"smtp://example.com?tls=none&tls=required", "2 times"},
		{"smtps://example.com?tls=none", `unknown parameter "tls"`},
		{"smtp://example.com?allow=loopback", `unknown parameter "allow"`},
		{"smtp://example.com?speed=high", `unknown parameter "speed"`},
		{"smtp://example.com?timeout=30", "timeout=30"},
		{"smtp://example.com?timeout=-1s", "timeout=-1s"},
		{"smtp://example.com?ca=" + empty, "no certificate"},
		{"smtp://example.com?ca=/no/such/file", "no such file"},
		{"smtp://example.com?dkim=example.com:sel", "DOMAIN:SELECTOR:KEYFILE"},
		{"smtp://example.com?dkim=example.com:sel:/no/such/file", "no such file"},
		{"smtp://example.com#x", "%23"},
		{"direct://example.com", "takes no host"},
		{"direct://?allow=everything", "allow=everything"},
		{"direct://?trust-ad=perhaps", "trust-ad"},
		{"direct://?port=x", "port"},
		{"direct://?resolver=nowhere", "resolver"},
		{"failover()", "no URL"},
		{"failover(direct://", "unbalanced"},
		{"failover(direct:// http://x)", "unknown scheme"},
		{strings.Repeat("failover(", 9) + "direct://" + strings.Repeat(")", 9), "nested too deep"},
	} {
		_, err := Open(test.url)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want %q in it", test.url, err, test.want)
		}
	}
}

// An error never shows the password.
func TestOpenKeepsSecrets(t *testing.T) {
	for _, url := range []string{"smtp://ada:secret%zz@example.com", "smtp://ada:secret@example.com:x", "smtp://ada:secret@example.com?bad=1", "nothing://ada:secret@example.com"} {
		_, err := Open(url)
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: error %v", url, err)
		}
	}
}
