package dkim_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/dkim"
)

// Bodies that differ where canonicalisation bites.
var bodies = map[string]string{
	"empty":            "",
	"only line ends":   "\r\n\r\n\r\n",
	"only white space": " \t \r\n  \r\n",
	"no last line end": "text",
	"ends with space":  "text ",
	"plain":            "text\r\n",
	"empty at the end": "text\r\n\r\n\r\n",
	"blank at the end": "text\r\n \r\n\t\r\n",
	"empty inside":     "a\r\n\r\n\r\nb\r\n",
	"space runs":       "a  b\t\tc \td\t \r\n   e  \r\n",
	"space at start":   " a\r\n  b\r\n\tc\r\n",
	"tabs only inside": "a\tb\r\n",
	"8 bit":            "Grüße, 世界\r\n\x80\xff  \xa0\r\n",
	"control":          "a\x01\x02 \x7f\r\n\x03\r\n",
	"vt":               "a \x0b \r\n\x0b\r\n",
	"long clean line":  strings.Repeat("0123456789abcdef", 700) + "\r\n",
	"many clean lines": strings.Repeat(strings.Repeat("QUJD", 19)+"\r\n", 100),
	"html":             strings.Repeat("    <td>\r\n      <a href=\"x\">a b c</a> \r\n    </td>\r\n", 50),
	"many line ends":   "a" + strings.Repeat("\r\n", 500) + "b\r\n",
}

func TestEveryBodyVerifies(t *testing.T) {
	signer := dkim.Signer{Keys: both("example.com")}
	header, _, _ := strings.Cut(crlf(letter), "\r\n\r\n")
	for name, body := range bodies {
		t.Run(name, func(t *testing.T) {
			message := header + "\r\n\r\n" + body
			fields, err := signer.Sign(strings.NewReader(message))
			if err != nil {
				t.Fatal(err)
			}
			mustPass(t, fields, message, 2)
		})
	}
}

// RFC 5322 knows no NUL, and verifiers written in C stop at it; BINARYMIME (RFC 3030) carries it all the same.
func TestNULInBody(t *testing.T) {
	message := crlf("From: ada@example.com\n\na\x00 \x00\n")
	mustPass(t, must(dkim.Signer{Keys: both("example.com")}.Sign(strings.NewReader(message))), message, 2)
}

// In whatever pieces a message comes, it is the same message.
func TestPieces(t *testing.T) {
	for name, body := range bodies {
		header, _, _ := strings.Cut(crlf(letter), "\r\n\r\n")
		message := header + "\r\n\r\n" + body
		want := ""
		for _, size := range []int{len(message), 1, 2, 3, 7, 8, 9, 64} {
			g := dkim.Signer{Keys: both("example.com")}.NewSignature(t.Context())
			for m := message; m != ""; {
				n, err := io.WriteString(g, m[:min(size, len(m))])
				if err != nil {
					t.Fatal(err)
				}
				m = m[n:]
			}
			fields, err := g.Fields()
			if err != nil {
				t.Fatal(err)
			}
			bh := string(regexp.MustCompile(`bh=[^;]*`).Find(fields))
			if want == "" {
				want = bh
			}
			if bh != want {
				t.Errorf("%s: in pieces of %d: %s, want %s", name, size, bh, want)
			}
		}
	}
}

// Headers that differ where canonicalisation and the choice of fields bite.
var headers = []string{
	"From: ada@example.com\n",
	"from:ada@example.com\n",
	"FROM:   Ada   Lovelace\n <ada@example.com>  \n",
	"From: ada@example.com\nSubject:\nTo:\n",
	"From: ada@example.com\nSubject: a\n\tb\n   c\n",
	"From: ada@example.com\nReceived: one\nReceived: two\nTo: x@example.com\nTo: y@example.com\n",
	"From: ada@example.com\nList-Unsubscribe: <https://example.com/" + strings.Repeat("u", 200) + ">\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\n",
	"From: Grüße <ada@example.com>\nSubject: Grüße\n",
	"From: \"Lovelace, Ada\" (countess) <ada@example.com>, bob@example.org\n",
	"From: ada@Example.COM\nX-Campaign: 7\n",
}

func TestEveryHeaderVerifies(t *testing.T) {
	for _, header := range headers {
		message := crlf(header + "\nHi.\n")
		fields, err := dkim.Signer{Keys: both("example.com"), Header: []string{"X-Campaign", "Subject"}}.Sign(strings.NewReader(message))
		if err != nil {
			t.Errorf("%q: %v", header, err)
			continue
		}
		mustPass(t, fields, message, 2)
		noBody := crlf(header)
		if fields, err = (dkim.Signer{Keys: both("example.com")}).Sign(strings.NewReader(noBody)); err != nil {
			t.Errorf("%q without body: %v", header, err)
		}
		mustPass(t, fields, noBody+"\r\n", 2)
	}
}

// What a reader sees cannot be changed or added; what is added on the way may be.
func TestSealed(t *testing.T) {
	message := crlf("List-Unsubscribe: <https://example.com/u>\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\nX-Mine: 1\n" + letter)
	fields := must(dkim.Signer{Keys: both("example.com"), Header: []string{"X-Mine"}}.Sign(strings.NewReader(message)))
	for _, bad := range []string{"From: eve@example.net", "Subject: Pay", "To: x@example.net", "Cc: x@example.net", "Date: now",
		"Message-ID: <2@x>", "Reply-To: eve@example.net", "MIME-Version: 1.0", "Content-Type: text/html", "Content-Transfer-Encoding: base64",
		"List-Unsubscribe: <https://example.net/>", "List-Unsubscribe-Post: x", "X-Mine: 2"} {
		for _, changed := range []string{bad + "\r\n" + message, strings.Replace(message, "\r\n\r\n", "\r\n"+bad+"\r\n\r\n", 1)} {
			for _, v := range judge(t, fields, changed) {
				if v.Err == nil {
					t.Errorf("the signature survives the addition of %q", bad)
				}
			}
		}
	}
	mustPass(t, fields, "Received: from a by b\r\nList-Id: <x.example.net>\r\nX-Spam: no\r\n"+message, 2)
	for _, from := range []string{"weaves", "Bob,", "note"} {
		for _, v := range judge(t, fields, strings.Replace(message, from, "xxxx", 1)) {
			if v.Err == nil {
				t.Errorf("the signature survives a change of %q", from)
			}
		}
	}
}

func TestShapeOfTheField(t *testing.T) {
	long := strings.Repeat("a", 60) + "." + strings.Repeat("b", 60) + "." + strings.Repeat("c", 60)
	for _, key := range []dkim.Key{
		{Domain: "example.com", Selector: "rsa", Signer: rsaKey()},
		{Domain: "example.com", Selector: "rsa", Signer: rsaKey(), Identity: "a;d =ü@Mail.Example.com"},
		{Domain: long + ".com", Selector: "rsa", Signer: rsaKey()},
	} {
		from := strings.Replace(letter, "example.com", key.Domain, 1)
		fields := must(dkim.Signer{Keys: []dkim.Key{key}, Expiration: 8 * 24 * time.Hour}.Sign(strings.NewReader(crlf(from))))
		for line := range strings.SplitSeq(strings.TrimSuffix(string(fields), "\r\n"), "\r\n") {
			if len(line) > 78 && !strings.Contains(line, long) || len(line) > 998 || strings.TrimSpace(line) == "" || strings.Contains(line, "  ") {
				t.Errorf("line %q in\n%s", line, fields)
			}
		}
		for i, line := range bytes.SplitAfter(fields, []byte("\r\n")) {
			if starts := bytes.HasPrefix(line, []byte(" ")); len(line) > 0 && starts != (i > 0) {
				t.Errorf("line %d is not folded: %q", i, line)
			}
		}
		mustPass(t, fields, crlf(from), 1)
	}
	fields := must(dkim.Signer{Keys: both("example.com")}.Sign(strings.NewReader(crlf(letter))))
	if r, e := bytes.Index(fields, []byte("a=rsa-sha256")), bytes.Index(fields, []byte("a=ed25519-sha256")); r < 0 || e < r {
		t.Errorf("RSA is not first:\n%s", fields)
	}
}

func TestTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		signer := dkim.Signer{Keys: both("example.com")[1:]}
		fields := string(must(signer.Sign(strings.NewReader(crlf(letter)))))
		if !strings.Contains(fields, " t=946684800;") || strings.Contains(fields, "x=") {
			t.Errorf("want the bubble's time and no expiry:\n%s", fields)
		}
		signer.Expiration = 7 * 24 * time.Hour
		fields = string(must(signer.Sign(strings.NewReader(crlf(letter)))))
		if !strings.Contains(fields, " t=946684800;") || !strings.Contains(fields, " x=947289600;") {
			t.Errorf("want x= a week after t=:\n%s", fields)
		}
	})
}

func TestMalformedMessages(t *testing.T) {
	head := "From: ada@example.com\r\n"
	for message, want := range map[string]string{
		"":                                                  "no From",
		"\r\n":                                              "no From",
		"\r\nbody":                                          "no From",
		"To: x@example.com\r\n\r\n":                         "no From",
		"From: ada@example.com":                             "ends within",
		head + "Subject: x":                                 "ends within",
		head + head + "\r\n":                                "more than one From",
		head + "from: x@y.org\r\n\r\n":                      "more than one From",
		head + "Subject: a\nb: c\r\n\r\n":                   "LF without CR",
		head + "Subject: a\rb: c\r\n\r\n":                   "CR without LF",
		head + "Subject: a\x00\r\n\r\n":                     "NUL in line 2",
		head + "no field\r\n\r\n":                           "line 2 of the message is not a header field",
		head + "Sub ject: x\r\n\r\n":                        "not a header field",
		head + "Subject : x\r\n\r\n":                        "not a header field",
		head + "Sübject: x\r\n\r\n":                         "not a header field",
		head + ": x\r\n\r\n":                                "not a header field",
		" " + head + "\r\n":                                 "not a header field",
		head + "Subject: x\r\n \r\n\r\n":                    "white space",
		head + "\r\na\nb":                                   "LF without CR",
		head + "\r\n\n":                                     "LF without CR",
		head + "\r\na\rb":                                   "CR without LF",
		head + "\r\na\r":                                    "CR without LF",
		head + "\r\na\r\r\n":                                "CR without LF",
		"From: \r\n\r\n":                                    "From field",
		"From: ada\r\n\r\n":                                 "From field",
		"From: <ada@>\r\n\r\n":                              "From field",
		"From: a b@example.com\r\n\r\n":                     "From field",
		"From: <a@b@example.com>\r\n\r\n":                   "From field",
		"From: <x> a@example.com\r\n\r\n":                   "From field",
		"From:@<\r\n\r\n":                                   "From field",
		"From: ada@exa_mple.com\r\n\r\n":                    "From field",
		"From: nobody:;\r\n\r\n":                            "From",
		"X: " + strings.Repeat("x", 2<<20):                  "longer than",
		head + strings.Repeat("X: y\r\n", 400_000) + "\r\n": "longer than",
	} {
		fields, err := dkim.Signer{Keys: both("example.com")}.Sign(strings.NewReader(message))
		if err == nil || !strings.Contains(err.Error(), want) || fields != nil {
			t.Errorf("%.60q: error %v, want one with %q", message, err, want)
		}
	}
}

// After an error nothing is signed, whatever is written later.
func TestErrorsStay(t *testing.T) {
	g := dkim.Signer{Keys: both("example.com")}.NewSignature(t.Context())
	if _, err := io.WriteString(g, "From: ada@example.com\r\n\r\nbare\n"); err == nil {
		t.Fatal("a bare LF was taken")
	}
	if _, err := io.WriteString(g, "more\r\n"); err == nil {
		t.Error("Write goes on after an error")
	}
	if fields, err := g.Fields(); err == nil || fields != nil {
		t.Errorf("Fields after an error: %q, %v", fields, err)
	}
	g = dkim.Signer{Keys: both("example.com")}.NewSignature(t.Context())
	io.WriteString(g, crlf(letter))
	must(g.Fields())
	if _, err := g.Fields(); err == nil {
		t.Error("Fields twice: no error")
	}
}

// A message of any size costs memory for its header only, to sign and to verify.
func TestMemoryIsFlat(t *testing.T) {
	const size = 64 << 20
	signer := dkim.Signer{Keys: both("example.com")}
	message := func() io.Reader {
		line := strings.Repeat("QUJD", 19) + "\r\n"
		return io.MultiReader(strings.NewReader(crlf(letter)), io.LimitReader(&endless{text: line}, size/int64(len(line))*int64(len(line))))
	}
	allocated := func(work func()) uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		work()
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	var fields []byte
	if n := allocated(func() { fields = must(signer.Sign(message())) }); n > 256<<10 {
		t.Errorf("signing 64 MB allocates %d octets", n)
	}
	var list []dkim.Verification
	lookup := func(_ context.Context, name string) ([]string, error) { return published(name) }
	if n := allocated(func() {
		list = must(dkim.Verify(t.Context(), io.MultiReader(bytes.NewReader(fields), message()), lookup))
	}); n > 512<<10 {
		t.Errorf("verifying 64 MB allocates %d octets", n)
	}
	for _, v := range list {
		if v.Result != dkim.Pass {
			t.Errorf("%+v", v)
		}
	}
}

// endless repeats a text.
type endless struct {
	text string
	at   int
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.text[e.at:])
	e.at = (e.at + n) % len(e.text)
	return n, nil
}

func TestReaderError(t *testing.T) {
	broken := errors.New("disk")
	r := io.MultiReader(strings.NewReader(crlf(letter)), failing{broken})
	if fields, err := (dkim.Signer{Keys: both("example.com")}).Sign(r); !errors.Is(err, broken) || fields != nil {
		t.Errorf("got %q, %v", fields, err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func ExampleSigner() {
	key, err := dkim.GenerateKey(2048)
	if err != nil {
		panic(err)
	}
	signer := dkim.Signer{Keys: []dkim.Key{{Domain: "example.com", Selector: "s2026", Signer: key}}}
	fields, err := signer.Sign(strings.NewReader("From: Ada <ada@example.com>\r\n\r\nHello.\r\n"))
	fmt.Printf("%s %v\n", fields[:14], err)

	_, err = signer.Sign(strings.NewReader("From: Eve <eve@example.net>\r\n\r\nHello.\r\n"))
	fmt.Println(err)
	// Output:
	// DKIM-Signature <nil>
	// dkim: no key for the author's domain: example.net
}

func ExampleSignature() {
	key, err := dkim.GenerateKey(2048)
	if err != nil {
		panic(err)
	}
	signer := dkim.Signer{Keys: []dkim.Key{{Domain: "example.com", Selector: "s2026", Signer: key}}}
	g := signer.NewSignature(context.Background())
	io.WriteString(g, "From: Ada <ada@example.com>\r\n") // as the message is composed
	io.WriteString(g, "\r\nHello.\r\n")
	fields, err := g.Fields()
	fmt.Printf("%s %v\n", fields[:14], err)
	// Output: DKIM-Signature <nil>
}
