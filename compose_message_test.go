package postrider

import (
	"bytes"
	"context"
	"strings"
	"testing"
)

// An attached message is judged alike however its octets are cut into blocks.
func TestMessageScan(t *testing.T) {
	for _, tc := range []struct {
		in, out     string
		unfit, high bool
	}{
		{"", "", false, false},
		{"a: b\n\nc\n", "a: b\r\n\r\nc\r\n", false, false},
		{"a: b\r\n\r\nc", "a: b\r\n\r\nc", false, false},
		{"a\r\n\n\r\n", "a\r\n\r\n\r\n", false, false},
		{"a\rb\r\n", "a\rb\r\n", true, false},
		{"a\r\r\n", "a\r\r\n", true, false},
		{"a\r", "a\r", true, false},
		{"\r", "\r", true, false},
		{"a\x00\n", "a\x00\r\n", true, false},
		{"ü\n", "ü\r\n", false, true},
		{strings.Repeat("x", 998) + "\r\n", strings.Repeat("x", 998) + "\r\n", false, false},
		{strings.Repeat("x", 999) + "\n", strings.Repeat("x", 999) + "\r\n", true, false},
		{strings.Repeat("x", 999), strings.Repeat("x", 999), true, false},
		{"--=_m_seed\n", "--=_m_seed\r\n", true, false},
		{"x--=_m_seed\n--=_m_other\n-seed\n", "x--=_m_seed\r\n--=_m_other\r\n-seed\r\n", false, false},
		{"x\n--=_a_seed--", "x\r\n--=_a_seed--", true, false},
	} {
		for size := 1; size <= max(len(tc.in), 1); size += 1 + size/4 {
			var b bytes.Buffer
			s := messageScan{out: output{ctx: context.Background(), sink: writerSink{&b}, chunk: chunks.Get().(*[chunkSize]byte)}, seed: []byte("seed")}
			for rest := []byte(tc.in); len(rest) > 0; {
				n := min(size, len(rest))
				if err := s.block(rest[:n]); err != nil {
					t.Fatal(err)
				}
				rest = rest[n:]
			}
			s.end()
			s.out.flush()
			s.out.free()
			if b.String() != tc.out || s.unfit != tc.unfit || s.high != tc.high {
				t.Errorf("%q in blocks of %d: %q, unfit %v, high %v", tc.in, size, b.String(), s.unfit, s.high)
			}
		}
	}
}
