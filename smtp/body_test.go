package smtp

import (
	"bytes"
	"strings"
	"testing"
)

// pieces feeds a message in pieces that end at the given places.
func pieces(message []byte, cuts []byte, f func([]byte)) {
	for _, c := range cuts {
		n := min(int(c), len(message))
		f(message[:n])
		message = message[n:]
	}
	f(message)
}

// reference says what is wrong with a message, octet by octet.
func reference(m []byte) (ok, open bool) {
	line := 0
	for i, c := range m {
		switch {
		case c == '\r' && (i+1 == len(m) || m[i+1] != '\n'), c == '\n' && (i == 0 || m[i-1] != '\r'):
			return false, false
		case c == '\n':
			line = 0
		case c != '\r':
			if line++; line > 998 {
				return false, false
			}
		}
	}
	return true, line > 0
}

func FuzzBody(f *testing.F) {
	f.Add([]byte("Subject: x\r\n\r\n.\r\n..\r\n.a\r\n"), []byte{11, 1, 1, 1, 1})
	f.Add([]byte("a\r\n.\r\nMAIL FROM:<x@y>\r\n"), []byte{2, 1, 1, 1})
	f.Add([]byte("a\n.\nb"), []byte{1})
	f.Add([]byte("a\r"), []byte{1})
	f.Add([]byte(strings.Repeat("x", 998)+"\r\n.."), []byte{255, 255, 255, 233, 1, 1, 1})
	f.Add([]byte(strings.Repeat("x", 999)+"\r\n"), []byte{255, 255})
	f.Fuzz(func(t *testing.T, message, cuts []byte) {
		var check bodyCheck
		var dots stuffer
		var sent []byte
		var bad error
		pieces(message, cuts, func(p []byte) {
			if err := check.add(p); err != nil && bad == nil {
				bad = err
			}
			sent = dots.append(sent, p)
		})
		open, err := check.end()
		if bad == nil {
			bad = err
		}
		ok, wantOpen := reference(message)
		if ok != (bad == nil) || ok && open != wantOpen {
			t.Fatalf("%q: %v, open %v; want ok %v, open %v", message, bad, open, ok, wantOpen)
		}
		if ok && check.eightBit != bytes.ContainsFunc(message, func(r rune) bool { return r >= 0x80 }) {
			t.Fatalf("%q: eightBit %v", message, check.eightBit)
		}
		if !ok {
			return
		}
		if open {
			sent = append(sent, "\r\n"...)
			message = append(bytes.Clone(message), "\r\n"...)
		}
		// No line of what is sent is a lone dot, and the receiver takes exactly one dot off.
		if bytes.Contains(append([]byte("\n"), sent...), []byte("\n.\r\n")) {
			t.Fatalf("%q ends early", sent)
		}
		if got := unstuff(sent); !bytes.Equal(got, message) {
			t.Fatalf("%q arrives as %q", message, got)
		}
	})
}

func unstuff(sent []byte) []byte {
	var got []byte
	for line := range bytes.Lines(sent) {
		got = append(got, bytes.TrimPrefix(line, []byte("."))...)
	}
	return got
}

// TestStuffer tries every way to cut messages in three.
func TestStuffer(t *testing.T) {
	for _, m := range []string{".", "..", "\r\n.", ".\r\n.\r\n..\r\n", "a.\r\n.b\r\n\r\n.", "\r\n.\r\n.\r\n"} {
		want := strings.ReplaceAll("\r\n"+m, "\r\n.", "\r\n..")[2:]
		for i := range len(m) + 1 {
			for j := i; j <= len(m); j++ {
				var dots stuffer
				got := dots.append(dots.append(dots.append(nil, []byte(m[:i])), []byte(m[i:j])), []byte(m[j:]))
				if string(got) != want {
					t.Errorf("%q cut at %d and %d: %q, want %q", m, i, j, got, want)
				}
			}
		}
	}
}
