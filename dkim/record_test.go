package dkim_test

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/postrider/postrider/dkim"
)

func TestKeyFiles(t *testing.T) {
	for _, bits := range []int{0, 2048} {
		k := must(dkim.GenerateKey(bits))
		file := filepath.Join(t.TempDir(), "key.pem")
		if err := dkim.StoreKey(file, k); err != nil {
			t.Fatal(err)
		}
		if mode := must(os.Stat(file)).Mode().Perm(); mode != 0o600 {
			t.Errorf("mode %o", mode)
		}
		if got := must(dkim.LoadKey(file)); !reflect.DeepEqual(got.Public(), k.Public()) {
			t.Error("another key came back")
		}
		if err := dkim.StoreKey(file, k); err == nil {
			t.Error("a key was overwritten")
		}
	}
	if _, err := dkim.LoadKey(filepath.Join(t.TempDir(), "none.pem")); err == nil || !strings.Contains(err.Error(), "none.pem") {
		t.Errorf("missing file: %v", err)
	}
	for _, bits := range []int{-1, 1, 1024, 2047, 8192} {
		if _, err := dkim.GenerateKey(bits); err == nil {
			t.Errorf("a key of %d bits was made", bits)
		}
	}
}

func TestParseKeyForms(t *testing.T) {
	block := func(kind string, data []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data}))
	}
	pkcs1, _ := pem.Decode([]byte(testPKCS1()))
	good := map[string]string{
		"PKCS 1":           testPKCS1(),
		"PKCS 8":           block("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(rsaKey()))),
		"PKCS 8 Ed25519":   block("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(edKey()))),
		"after other text": "Bag Attributes\n" + block("CERTIFICATE", []byte("x")) + testPKCS1(),
	}
	for name, text := range good {
		if _, err := dkim.ParseKey([]byte(text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	bad := map[string]string{
		"":                                        "no private key",
		"-----BEGIN":                              "no private key",
		block("CERTIFICATE", pkcs1.Bytes):         "no private key",
		block("PUBLIC KEY", pkcs1.Bytes):          "no private key",
		block("RSA PRIVATE KEY", []byte("x")):     "the private key",
		block("PRIVATE KEY", []byte("x")):         "the private key",
		block("ENCRYPTED PRIVATE KEY", []byte{1}): "encrypted",
		"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\neA==\n-----END RSA PRIVATE KEY-----\n": "encrypted",
	}
	for text, want := range bad {
		if _, err := dkim.ParseKey([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestRecordRoundTrip(t *testing.T) {
	for _, k := range append(both("example.com"), dkim.Key{Domain: "example.com", Selector: "big", Signer: must(dkim.GenerateKey(4096))}) {
		r := must(k.Record())
		for _, r := range []dkim.Record{r, {Key: r.Key, Testing: true}, {Key: r.Key, Strict: true}, {Key: r.Key, Testing: true, Strict: true}, {}, {Strict: true}} {
			list := r.Strings()
			for i, s := range list {
				if len(s) > 255 || (i < len(list)-1 && len(s) != 255) {
					t.Errorf("string %d of %d has %d octets", i, len(list), len(s))
				}
			}
			if got, err := dkim.ParseRecord(strings.Join(list, "")); err != nil || !reflect.DeepEqual(got, r) {
				t.Errorf("%s: read as %+v, %v", r, got, err)
			}
			if r.Strings()[0] != r.String()[:min(255, len(r.String()))] {
				t.Error("String and Strings differ")
			}
		}
	}
}

func TestParseRecord(t *testing.T) {
	ed := base64.StdEncoding.EncodeToString(make([]byte, 32))
	for text, want := range map[string]string{
		"p=":                                    "revoked",
		"v=DKIM1; p=;":                          "revoked",
		"v=DKIM1; k=ed25519; p=" + ed:           "key",
		"v = DKIM1 ; k = ed25519 ; p = " + ed:   "key",
		"k=ed25519; x_new=1; n=a note; p=" + ed: "key",
		"v=DKIM1; k=ed25519; h=sha1:sha256; s=email:x; t=y : s : z; p= " + ed[:20] + " \r\n " + ed[20:]: "key testing strict",
		"v=DKIM1; k=ed25519; s=*; t=s; p=" + ed:                                                         "key strict",
		"":                                                                                              "no tag",
		";;":                                                                                            "no tag",
		"v=spf1 -all":                                                                                   "not of version",
		"k=rsa; v=DKIM1; p=":                                                                            "not of version",
		"v=dkim1; p=":                                                                                   "not of version",
		"v=DKIM1; k=rsa":                                                                                "no key",
		"v=DKIM1; p=; p=":                                                                               "twice",
		"v=DKIM1; nonsense; p=":                                                                         "not a tag",
		"v=DKIM1; =x; p=":                                                                               "not a tag",
		"v=DKIM1; h=sha1; p=":                                                                           "hashes",
		"v=DKIM1; s=chat; p=":                                                                           "service",
		"v=DKIM1; k=dsa; p=" + ed:                                                                       "kind",
		"v=DKIM1; k=rsa; p=" + ed:                                                                       "key in the record",
		"v=DKIM1; k=ed25519; p=AAAA":                                                                    "32 octets",
		"v=DKIM1; k=ed25519; p=*":                                                                       "base64",
		strings.Repeat("a", 10_000):                                                                     "longer",
		"v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(must(x509.MarshalPKIXPublicKey(edKey().Public()))): "k=rsa and holds",
	} {
		r, err := dkim.ParseRecord(text)
		got := fmt.Sprint(err)
		if err == nil {
			got = "key"
			if r.Key == nil {
				got = "revoked"
			}
			if r.Testing {
				got += " testing"
			}
			if r.Strict {
				got += " strict"
			}
		}
		if err == nil && got != want || err != nil && !strings.Contains(got, want) {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

func FuzzParseRecord(f *testing.F) {
	for _, k := range both("example.com") {
		f.Add(must(k.Record()).String())
	}
	f.Add("v=DKIM1; t=y:s; p=")
	f.Add("k=ed25519; p=AA==; h=sha256; s=email; n=x")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := dkim.ParseRecord(text)
		if err != nil {
			return
		}
		again, err := dkim.ParseRecord(r.String())
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Errorf("%q is read as %+v, written as %q, and read again as %+v, %v", text, r, r, again, err)
		}
	})
}

func ExampleRecord_Zone() {
	key, err := dkim.ParseKey([]byte(testEd25519))
	if err != nil {
		panic(err)
	}
	k := dkim.Key{Domain: "example.com", Selector: "s2026", Signer: key}
	name, _ := k.Name()
	record, _ := k.Record()
	fmt.Print(record.Zone(name))
	// Output:
	// s2026._domainkey.example.com. IN TXT "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
}

// The key of RFC 8463 appendix A.2.
const testEd25519 = `-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g
-----END PRIVATE KEY-----
`
