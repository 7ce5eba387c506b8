package pgp_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"

	"github.com/postrider/postrider"
	"github.com/postrider/postrider/examples/protect/pgp"
)

func identity(t testing.TB) *openpgp.Entity {
	t.Helper()
	e, err := openpgp.NewEntity("Ada", "", "ada@example.com", nil)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func message() *postrider.Message {
	return &postrider.Message{From: postrider.Addr("Ada", "ada@example.com"), To: []postrider.Address{postrider.Addr("", "bob@example.org")},
		Subject: "Hello", Text: "Size: 1\n.\n", HTML: "<p>Size</p>"}
}

func compose(t testing.TB, m *postrider.Message) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := m.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// gnupg is a home of GnuPG that has the key.
type gnupg struct{ home string }

func newGnuPG(t *testing.T, e *openpgp.Entity) *gnupg {
	t.Helper()
	if _, err := exec.LookPath("gpg"); err != nil {
		t.Skip("gpg is not installed")
	}
	home, err := os.MkdirTemp("", "gpg") // short: its socket's path has a limit
	if err != nil {
		t.Fatal(err)
	}
	g := &gnupg{home}
	t.Cleanup(func() {
		exec.Command("gpgconf", "--homedir", home, "--kill", "all").Run()
		os.RemoveAll(home)
	})
	var b bytes.Buffer
	w, err := armor.Encode(&b, openpgp.PrivateKeyType, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.SerializePrivate(w, nil); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if out, err := g.run(b.Bytes(), "--import"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return g
}

func (g *gnupg) run(stdin []byte, args ...string) (string, error) {
	cmd := exec.Command("gpg", append([]string{"--homedir", g.home, "--batch", "--quiet", "--trust-model", "always"}, args...)...)
	cmd.Stdin = bytes.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// parts cuts a multipart into its parts.
func parts(t *testing.T, eml []byte) []string {
	t.Helper()
	_, rest, _ := strings.Cut(string(eml), `boundary="`)
	boundary, body, ok := strings.Cut(rest, `"`)
	if !ok {
		t.Fatalf("no boundary in %s", eml)
	}
	list := strings.Split(body, "\r\n--"+boundary)
	var all []string
	for _, p := range list[1 : len(list)-1] {
		all = append(all, strings.TrimPrefix(p, "\r\n"))
	}
	return all
}

func content(part string) string {
	_, body, _ := strings.Cut(part, "\r\n\r\n")
	return body
}

// What is signed is accepted by GnuPG; a changed octet is not.
func TestSignVerifiedByGnuPG(t *testing.T) {
	key := identity(t)
	g := newGnuPG(t, key)
	m := message()
	m.Protect = pgp.Sign(key)
	p := parts(t, compose(t, m))
	signature := filepath.Join(t.TempDir(), "signature.asc")
	if err := os.WriteFile(signature, []byte(content(p[1])), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := g.run([]byte(p[0]), "--verify", signature, "-"); err != nil || !strings.Contains(out, "Good signature") {
		t.Errorf("%v: %s", err, out)
	}
	if out, err := g.run([]byte(strings.Replace(p[0], "Size: 1", "Size: 2", 1)), "--verify", signature, "-"); err == nil {
		t.Errorf("a changed message verifies: %s", out)
	}
}

// What is encrypted and signed is read by GnuPG.
func TestEncryptReadByGnuPG(t *testing.T) {
	key := identity(t)
	g := newGnuPG(t, key)
	m := message()
	m.Protect = pgp.Encrypt(key, key)
	eml := compose(t, m)
	if bytes.Contains(eml, []byte("Size")) {
		t.Error("the content can be seen")
	}
	out, err := g.run([]byte(content(parts(t, eml)[1])), "--decrypt")
	if err != nil || !strings.Contains(out, "multipart/alternative") || !strings.Contains(out, "Size: 1") || !strings.Contains(out, "Good signature") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestRefuses(t *testing.T) {
	locked := identity(t)
	if err := locked.EncryptPrivateKeys([]byte("passphrase"), nil); err != nil {
		t.Fatal(err)
	}
	for name, protect := range map[string]pgp.Protect{"nobody": pgp.Encrypt(nil), "locked key": pgp.Sign(locked)} {
		if out, err := protect(t.Context(), []byte("Content-Type: text/plain\r\n\r\nx\r\n")); err == nil || out != nil {
			t.Errorf("%s: %q, %v", name, out, err)
		}
	}
}

func ExampleSign() {
	key, err := openpgp.NewEntity("Ada", "", "ada@example.com", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	m := message()
	m.Protect = pgp.Sign(key)
	var b bytes.Buffer
	_, err = m.WriteTo(&b)
	fmt.Println(strings.Contains(b.String(), "multipart/signed"), err)
	// Output: true <nil>
}
