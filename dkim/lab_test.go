package dkim_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postrider/postrider/dkim"
)

// Mail::DKIM, dkimpy and OpenDKIM read each signature, with the keys from the lab's DNS.
func TestLabVerifiers(t *testing.T) {
	if os.Getenv("LAB_DIR") == "" {
		t.Skip("lab is not running: see .ci/lab/README.md")
	}
	signer := dkim.Signer{Keys: []dkim.Key{
		{Domain: "example.test", Selector: "ed", Signer: must(dkim.LoadKey(os.Getenv("LAB_DKIM_ED25519")))},
		{Domain: "example.test", Selector: "rsa", Signer: must(dkim.LoadKey(os.Getenv("LAB_DKIM_RSA"))), Identity: "a;b ü@mail.example.test"},
	}}
	header, _, _ := strings.Cut(crlf(strings.ReplaceAll(letter, "example.com", "example.test")), "\r\n\r\n")
	header += "\r\nList-Unsubscribe: <https://example.test/" + strings.Repeat("u", 100) + ">,\r\n\t<mailto:u@example.test>\r\nX-Odd:  a \t b  \r\nTo: second@example.test"
	for name, body := range bodies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			message := header + "\r\n\r\n" + body
			if !strings.HasSuffix(message, "\r\n") {
				message += "\r\n" // as SMTP delivers it
			}
			fields, err := signer.Sign(strings.NewReader(header + "\r\n\r\n" + body))
			if err != nil {
				t.Fatal(err)
			}
			labVerify(t, string(fields)+message)
		})
	}
	for _, header := range headers {
		t.Run(header, func(t *testing.T) {
			t.Parallel()
			message := crlf(strings.ReplaceAll(strings.ReplaceAll(header, "example.com", "example.test"), "Example.COM", "Example.TEST") + "\nHi.\n")
			fields, err := signer.Sign(strings.NewReader(message))
			if err != nil {
				t.Fatal(err)
			}
			labVerify(t, string(fields)+message)
		})
	}
}

func labVerify(t *testing.T, message string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "signed.eml")
	if err := os.WriteFile(file, []byte(message), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("../.ci/lab/lab", "verify-dkim", file).CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if n := strings.Count(string(out), "pass"); n < 3 {
		t.Errorf("only %d verdicts of pass:\n%s", n, out)
	}
}
