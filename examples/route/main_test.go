package main

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postrider/postrider/mx/mxtest"
	"github.com/postrider/postrider/smtp/smtptest"
)

// world is a mail server with TLS at 127.0.0.1 and a zone whose domains point to it.
type world struct {
	resolver, ca         string
	port, plain, nothing string // with STARTTLS, without, and where nobody listens
}

func newWorld(t *testing.T) world {
	t.Helper()
	ca := smtptest.NewCA()
	server := (&smtptest.Server{CA: ca, TLS: ca.Server("mx.good.test")}).Start()
	t.Cleanup(server.Close)
	plain := (&smtptest.Server{Extensions: []string{"SIZE"}}).Start()
	t.Cleanup(plain.Close)
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody.Close()

	leaf, err := x509.ParseCertificate(server.TLS.Certificates[0].Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	key := fmt.Sprintf("%x", sha256.Sum256(leaf.RawSubjectPublicKeyInfo))
	zone := mxtest.MustParse(strings.NewReplacer("PORT", fmt.Sprint(server.Port()), "PLAIN", fmt.Sprint(plain.Port()), "GOOD", key, "WRONG", strings.Repeat("ab", 32)).Replace(`
		good.test.             MX   10 mx.good.test.
		mx.good.test.          A    127.0.0.1
		_PORT._tcp.mx.good.test. TLSA 3 1 1 GOOD
		wrong.test.            MX   10 mx.wrong.test.
		mx.wrong.test.         A    127.0.0.1
		_PORT._tcp.mx.wrong.test. TLSA 3 1 1 WRONG
		notls.test.            MX   10 mx.notls.test.
		mx.notls.test.         A    127.0.0.1
		danenotls.test.        MX   10 mx.danenotls.test.
		mx.danenotls.test.     A    127.0.0.1
		_PLAIN._tcp.mx.danenotls.test. TLSA 3 1 1 GOOD
		fallback.test.         MX   10 mx.wrong.test.
		fallback.test.         MX   20 mx.good.test.
		plain.test.            MX   10 mx.plain.test.
		mx.plain.test.         A    127.0.0.1
		dead.test.             MX   10 mx.dead.test.
		mx.dead.test.          A    127.0.0.1
		null.test.             MX   0 .
	`))
	zone.Authenticate("good.test", "wrong.test", "danenotls.test", "fallback.test")
	names, err := zone.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { names.Close() })

	file := filepath.Join(t.TempDir(), "ca.pem")
	chain := server.TLS.Certificates[0].Certificate
	root := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: chain[len(chain)-1]})
	if err := os.WriteFile(file, root, 0o600); err != nil {
		t.Fatal(err)
	}
	_, nothing, _ := net.SplitHostPort(nobody.Addr().String())
	return world{names.Addr, file, fmt.Sprint(server.Port()), fmt.Sprint(plain.Port()), nothing}
}

func TestRoute(t *testing.T) {
	w := newWorld(t)
	places := strings.NewReplacer("PLAIN", w.plain, "NOTHING", w.nothing)
	for _, c := range []struct {
		args   string
		status int
		says   []string
	}{
		{"-probe good.test", 0, []string{"good.test: by MX, authenticated by DNSSEC", "dane: TLS with the key", "TLS: TLS 1.3", "TLSA 3 1 1 ", "verdict: passes (dane)"}},
		{"-dane=false -probe good.test", 0, []string{"certificate: valid for mx.good.test", "verdict: passes (opportunistic)"}},
		{"good.test", 0, []string{"10 mx.good.test", "dane: TLS with the key"}},
		{"-dane=false -probe wrong.test", 0, []string{"opportunistic", "certificate: not valid for mx.wrong.test", "verdict: passes (opportunistic)"}},
		{"-probe wrong.test", 75, []string{"verdict: FAILS the demand (dane)", "mail would wait"}},
		{"-probe fallback.test", 0, []string{"FAILS the demand (dane)", "passes (dane)"}},
		{"-port PLAIN -probe notls.test", 0, []string{"verdict: passes, in plaintext (opportunistic): STARTTLS is not offered"}},
		{"-port PLAIN -probe danenotls.test", 75, []string{"verdict: FAILS the demand (dane): STARTTLS is not offered"}},
		{"-probe plain.test", 0, []string{"opportunistic: TLS where it is offered", "not signed by DNSSEC", "verdict: passes (opportunistic)"}},
		{"-port NOTHING -probe -timeout 5s dead.test", 75, []string{"verdict: cannot be reached"}},
		{"null.test", 69, []string{"the domain takes no mail (null MX) (5.1.10)"}},
		{"no-such.test", 69, []string{"the domain does not exist (5.1.2)"}},
		{"-network ip6 good.test", 69, []string{"the host has no IPv6 address"}},
		{"-allow 10.0.0.0/8 good.test", 69, []string{"127.0.0.1 is refused: it is loopback"}},
		{"-help", 0, []string{"usage: route", "-trust-ad"}},
		{"", 64, []string{"give one domain"}},
		{"a.test b.test", 64, []string{"give one domain"}},
		{"-port 0 a.test", 64, []string{"there is no port 0"}},
		{"-allow nonsense a.test", 64, []string{"-allow takes"}},
		{"-ca /nonexistent a.test", 64, []string{"nonexistent"}},
		{"-nonsense a.test", 64, []string{"nonsense"}},
	} {
		t.Run(c.args, func(t *testing.T) {
			args := append([]string{"-sts=false", "-resolver", w.resolver, "-port", w.port, "-allow", "loopback", "-ca", w.ca}, strings.Fields(places.Replace(c.args))...)
			var out bytes.Buffer
			if status := run(t.Context(), args, &out, &out); status != c.status {
				t.Errorf("status %d, want %d", status, c.status)
			}
			for _, words := range c.says {
				if !strings.Contains(out.String(), words) {
					t.Errorf("%q is missing", words)
				}
			}
			if t.Failed() {
				t.Log(out.String())
			}
		})
	}
}

// What a server says must not reach the terminal as it is.
func TestProbePrintsNoControls(t *testing.T) {
	var out bytes.Buffer
	p := prober{out: &out}
	p.say("%s", "a\x1b[31m\r\nb\x00\u202e\xff")
	if got, want := out.String(), "        a?[31m??b??\ufffd\n"; got != want && got != "        a?[31m??b???\n" {
		t.Errorf("%q", got)
	}
}
