package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/postrider/postrider"
	"github.com/postrider/postrider/dkim"
	"github.com/postrider/postrider/mx/mxtest"
)

var update = flag.Bool("update", false, "write the golden files")

// world is a DNS server with a good and a bad domain, and a key that the good one publishes.
func world(t *testing.T) (resolver, key string) {
	t.Helper()
	k, err := dkim.GenerateKey(2048)
	if err != nil {
		t.Fatal(err)
	}
	key = filepath.Join(t.TempDir(), "s2026.pem")
	if err := dkim.StoreKey(key, k); err != nil {
		t.Fatal(err)
	}
	record, err := dkim.Key{Signer: k}.Record()
	if err != nil {
		t.Fatal(err)
	}
	zone := mxtest.MustParse(record.Zone("s2026._domainkey.good.test") + `
good.test. MX 10 mail.good.test.
good.test. TXT "v=spf1 ip4:192.0.2.25 -all"
_dmarc.good.test. TXT "v=DMARC1; p=reject; rua=mailto:dmarc@good.test"
_mta-sts.good.test. TXT "v=STSv1; id=20260101;"
_smtp._tls.good.test. TXT "v=TLSRPTv1; rua=mailto:tls@good.test"
default._bimi.good.test. TXT "v=BIMI1; l=https://good.test/logo.svg; a="
mail.good.test. A 192.0.2.25
25.2.0.192.in-addr.arpa. PTR mail.good.test.
bad.test. MX 10 mail.bad.test.
bad.test. TXT "v=spf1 ip4:198.51.100.1 include:gone.test ~all"
_dmarc.bad.test. TXT "v=DMARC1; p=quarantine"
26.2.0.192.in-addr.arpa. PTR mail.bad.test.
mail.bad.test. A 192.0.2.77
`)
	server, err := zone.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return server.Addr, key
}

func TestDoctor(t *testing.T) {
	resolver, key := world(t)
	good := "-resolver " + resolver + " -source 192.0.2.25 -hello mail.good.test -dkim good.test:s2026:" + key + " news@good.test"
	bad := "-resolver " + resolver + " -source 192.0.2.26 -hello mail.bad.test -dkim bad.test:s2026:" + key + " news@bad.test"
	for _, c := range []struct {
		name, args string
		status     int
	}{
		{"good", good, exitOK},
		{"good-bulk-strict", "-bulk -strict " + good, exitOK},
		{"good-quiet", "-quiet " + good, exitOK},
		{"good-colour", "-quiet -color always " + good, exitOK},
		{"good-url", "-quiet -transport direct://?hello=mail.good.test&dkim=good.test:s2026:" + key + " -resolver " + resolver + " -source 192.0.2.25 news@good.test", exitOK},
		{"unsigned", "-quiet -resolver " + resolver + " -source 192.0.2.25 -hello mail.good.test news@good.test", exitOK},
		{"unsigned-strict", "-quiet -strict -resolver " + resolver + " -source 192.0.2.25 -hello mail.good.test news@good.test", exitRefused},
		{"bad", bad, exitRefused},
		{"bad-bulk-json", "-bulk -json " + bad, exitRefused},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out, problems bytes.Buffer
			none := func(string) string { return "" }
			if got := run(t.Context(), strings.Fields(c.args), &out, &problems, none); got != c.status || problems.Len() > 0 {
				t.Errorf("status %d, want %d; %s", got, c.status, problems.String())
			}
			text := regexp.MustCompile(`p=[A-Za-z0-9+/=\\"\s]{100,}`).ReplaceAllString(out.String(), "p=KEY")
			file := filepath.Join("testdata", c.name+".txt")
			if *update {
				if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil || text != string(want) {
				t.Errorf("%v, got\n%s\nwant\n%s", err, text, want)
			}
		})
	}
}

func TestJSON(t *testing.T) {
	resolver, _ := world(t)
	var out, problems bytes.Buffer
	run(t.Context(), []string{"-json", "-resolver", resolver, "-source", "192.0.2.26", "news@bad.test"}, &out, &problems, func(string) string { return "" })
	var r struct {
		Findings   []struct{ Rule, Severity string }
		Judgements []postrider.Judgement
	}
	if err := json.Unmarshal(out.Bytes(), &r); err != nil || len(r.Judgements) != 4 || r.Findings[0].Severity != "pass" {
		t.Errorf("%v: %s", err, out.String())
	}
}

func TestBadUsage(t *testing.T) {
	for _, args := range []string{"", "a@b.test c@d.test", "-color=blue a@b.test", "-source x a@b.test", "-dkim x a@b.test", "-dkim a:b:/no/such.pem a@b.test", "-resolver x a@b.test",
		"-transport nonsense://x a@b.test", "-nonsense", "not-an-address"} {
		var out, problems bytes.Buffer
		if got := run(t.Context(), strings.Fields(args), &out, &problems, func(string) string { return "" }); got != exitUsage || problems.Len() == 0 || out.Len() > 0 {
			t.Errorf("%q: status %d, %q, %q", args, got, out.String(), problems.String())
		}
	}
}
