package postrider

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	msgauth "github.com/emersion/go-msgauth/dkim"
	"github.com/postrider/postrider/dkim"
)

// corpusKeys sign the corpus.
var corpusKeys = sync.OnceValue(func() []dkim.Key {
	var keys []dkim.Key
	for selector, bits := range map[string]int{"rsa": 2048, "ed": 0} {
		k, err := dkim.GenerateKey(bits)
		if err != nil {
			panic(err)
		}
		keys = append(keys, dkim.Key{Domain: "example.com", Selector: selector, Signer: k})
	}
	return keys
})

// keyRecords is the DNS of the keys.
func keyRecords(name string) ([]string, error) {
	for _, k := range corpusKeys() {
		if n, _ := k.Name(); strings.TrimSuffix(n, ".") == name {
			r, err := k.Record()
			return []string{strings.Join(r.Strings(), "")}, err
		}
	}
	return nil, nil
}

// octets composes a message, signed if there is a signer.
func octets(t testing.TB, m *Message, s Signer) ([]byte, *composed) {
	t.Helper()
	c, err := m.compose(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	r, err := c.open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	raw, err := io.ReadAll(r)
	if err != nil || int64(len(raw)) != c.size {
		t.Fatalf("%d octets of %d, %v", len(raw), c.size, err)
	}
	return raw, c
}

func TestCorpusLines(t *testing.T) {
	all := corpus()
	if len(all) < 60 {
		t.Fatalf("only %d cases", len(all))
	}
	for _, n := range all {
		t.Run(n.name, func(t *testing.T) {
			m := n.message()
			raw, c := octets(t, m, nil)
			checkOctets(t, m, raw, c)
			again, _ := octets(t, m, nil)
			if !bytes.Equal(raw, again) {
				t.Error("not the same octets the second time")
			}
			var b bytes.Buffer
			if k, err := m.WriteTo(&b); err != nil || k != int64(b.Len()) || !bytes.Equal(b.Bytes(), raw) {
				t.Errorf("WriteTo: %d octets of %d, %v, or other ones", k, b.Len(), err)
			}
		})
	}
}

// checkOctets holds what every message must be.
func checkOctets(t *testing.T, m *Message, raw []byte, c *composed) {
	t.Helper()
	if !bytes.HasSuffix(raw, []byte("\r\n")) {
		t.Error("does not end with CRLF")
	}
	rest := bytes.ReplaceAll(raw, []byte("\r\n"), nil)
	if bytes.ContainsAny(rest, "\r\n\x00") {
		t.Error("a bare CR or LF, or a NUL")
	}
	high := bytes.ContainsFunc(raw, func(r rune) bool { return r >= 0x80 })
	if high != c.eightBit {
		t.Errorf("eightBit is %v, and octets above 127: %v", c.eightBit, high)
	}
	header, _, _ := bytes.Cut(raw, []byte("\r\n\r\n"))
	for line := range bytes.SplitSeq(raw, []byte("\r\n")) {
		if len(line) > 998 {
			t.Errorf("line of %d octets", len(line))
		}
	}
	for line := range bytes.SplitSeq(header, []byte("\r\n")) {
		// A longer line has one word only, which cannot be broken.
		words := bytes.Fields(line)
		if len(line) > lineWant && len(words) > 2 {
			t.Errorf("header line of %d octets: %s", len(line), line)
		}
		for _, w := range words {
			if bytes.HasPrefix(w, []byte("=?utf-8?")) && (len(w) > 75 || len(line) > 76) {
				t.Errorf("encoded word of %d octets on a line of %d", len(w), len(line))
			}
		}
		if high := bytes.ContainsFunc(line, func(r rune) bool { return r >= 0x80 }); high && !c.utf8 {
			t.Errorf("raw UTF-8 in a header that does not need it: %q", line)
		}
		if bytes.ContainsFunc(line, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			t.Errorf("control character in %q", line)
		}
	}
	for _, a := range m.Bcc {
		if bytes.Contains(raw, []byte(a.Address)) || bytes.Contains(bytes.ToLower(header), []byte("bcc")) {
			t.Errorf("the message names the hidden recipient %s", a.Address)
		}
	}
}

func TestCorpusReadByGoMessage(t *testing.T) {
	for _, n := range corpus() {
		t.Run(n.name, func(t *testing.T) {
			m := n.message()
			raw, _ := octets(t, m, nil)
			got, err := readByGoMessage(raw)
			if err != nil {
				t.Fatal(err)
			}
			want := expected(m)
			goMessageSees(n.name, &want, &got)
			for _, d := range want.differences(got) {
				t.Error(d)
			}
		})
	}
}

// goMessageSees corrects what this reader gets wrong.
func goMessageSees(name string, want, got *reading) {
	switch name {
	case "to-literals": // net/mail knows no literal with a tag
		got.To, got.Defects = want.To, nil
	case "file-looks-encoded": // it decodes words in parameters, even in those of RFC 2231
		got.Leaves[1].Name = want.Leaves[1].Name
	}
}

// pythonSees corrects what this reader gets wrong: Python 3.11 puts a space between the encoded words of
// one display name, and makes one space of several there; it reports raw UTF-8 as a defect.
func pythonSees(name string, want, got *reading) {
	if strings.HasPrefix(name, "to-name-") {
		for _, list := range [][]string{want.To, got.To} {
			for i := range list {
				list[i] = strings.ReplaceAll(list[i], " ", "")
			}
		}
	}
	if strings.HasPrefix(name, "smtputf8") || name == "to-smtputf8" {
		got.Defects = slices.DeleteFunc(got.Defects, func(d string) bool {
			return strings.Contains(d, "UndecodableBytesDefect") || strings.Contains(d, "NonASCIILocalPartDefect")
		})
	}
	if name == "file-spaces" { // it takes them away at the ends
		want.Leaves[1].Name = strings.TrimSpace(want.Leaves[1].Name)
	}
	for i := range want.Leaves { // it hands attached messages out as trees
		if want.Leaves[i].Type == "message/rfc822" {
			want.Leaves[i].Sum = ""
		}
	}
	if len(got.Defects) == 0 {
		got.Defects = nil
	}
}

func TestCorpusReadByPython(t *testing.T) {
	all := corpus()
	var raw [][]byte
	for _, n := range all {
		b, _ := octets(t, n.message(), nil)
		raw = append(raw, b)
	}
	got := readByPython(t, writeFiles(t, raw))
	for i, n := range all {
		t.Run(n.name, func(t *testing.T) {
			want := expected(n.message())
			pythonSees(n.name, &want, &got[i])
			for _, d := range want.differences(got[i]) {
				t.Error(d)
			}
		})
	}
}

func TestCorpusSigned(t *testing.T) {
	signer := dkim.Signer{Keys: corpusKeys()}
	for _, n := range corpus() {
		t.Run(n.name, func(t *testing.T) {
			raw, _ := octets(t, n.message(), signer)
			list, err := msgauth.VerifyWithOptions(bytes.NewReader(raw), &msgauth.VerifyOptions{LookupTXT: keyRecords})
			if err != nil || len(list) != 2 {
				t.Fatalf("%d signatures, %v", len(list), err)
			}
			for _, v := range list {
				if v.Err != nil {
					t.Error(v.Err)
				}
			}
		})
	}
}
