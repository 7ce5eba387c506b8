package dkim

import (
	"bytes"
	"hash"
	"strings"
	"testing"
)

// collector shows what is hashed.
type collector struct {
	hash.Hash
	bytes.Buffer
}

func (c *collector) Write(p []byte) (int, error) { return c.Buffer.Write(p) }
func (c *collector) Reset()                      { c.Buffer.Reset() }

// Simple canonicalisation cuts the empty lines at the end and touches nothing else, in whatever pieces the
// body comes.
func TestSimpleBody(t *testing.T) {
	for _, body := range []string{"", "\r\n", "\r\n\r\n", "a", "a\r\n", "a \r\n\r\n\r\n", "\r\n\r\na\r\n\r\nb", "a\rb", "a\r\rb\r\n", "a\r", "a\r\r\n",
		"a\n\r\n", "\r\r\n", "\n", "a\r\n\r", strings.Repeat("\r\n", 200) + "b", "a\r\n \r\n"} {
		want := body
		for strings.HasSuffix(want, "\r\n") {
			want = strings.TrimSuffix(want, "\r\n")
		}
		want += "\r\n"
		for size := 1; size <= len(body)+1; size++ {
			var c collector
			b := simpleBody{h: &c}
			for p := body; p != ""; {
				n := min(size, len(p))
				b.write([]byte(p[:n]))
				p = p[n:]
			}
			b.close()
			if got := c.String(); got != want {
				t.Errorf("%q in pieces of %d: %q, want %q", body, size, got, want)
			}
		}
	}
}
