package dkim

import (
	"bytes"
	"encoding/base64"
	"strconv"
	"time"
)

// lineLength is where fields are folded; RFC 5322 s. 2.1.1 wants 78 at most.
const lineLength = 76

// folder writes a header field, and begins a new line where a piece would make it too long.
type folder struct {
	out  []byte
	line int // where the line begins
}

func (f *folder) put(piece string) { f.room(len(piece)); f.out = append(f.out, piece...) }

func (f *folder) room(n int) {
	if len(f.out)-f.line+n > lineLength {
		f.out = append(f.out, "\r\n "...)
		f.line = len(f.out) - 1
	}
}

// tag writes one tag of the list after a space.
func (f *folder) tag(name, value string) {
	f.room(len(name) + len(value) + 3)
	if f.out[len(f.out)-1] != ' ' {
		f.out = append(f.out, ' ')
	}
	f.out = append(append(append(append(f.out, name...), '='), value...), ';')
}

// appendField appends a DKIM-Signature field with an empty b= and no line end (RFC 6376 s. 3.5).
func appendField(out []byte, k *signingKey, names, bodyHash []byte, now time.Time, expire time.Duration) []byte {
	f := folder{out: out, line: len(out)}
	f.put("DKIM-Signature:")
	f.tag("v", "1")
	f.tag("a", k.algorithm())
	f.tag("c", "relaxed/relaxed")
	f.tag("d", k.domain)
	f.tag("s", k.selector)
	if k.identity != "" {
		f.tag("i", k.identity)
	}
	var digits [20]byte
	f.tag("t", string(strconv.AppendInt(digits[:0], now.Unix(), 10)))
	if expire > 0 {
		f.tag("x", string(strconv.AppendInt(digits[:0], now.Add(expire).Unix(), 10)))
	}
	f.names(names)
	var hash [64]byte
	f.tag("bh", string(base64.StdEncoding.AppendEncode(hash[:0], bodyHash)))
	f.room(len(" b=") + 16)
	if f.out[len(f.out)-1] != ' ' {
		f.out = append(f.out, ' ')
	}
	return append(f.out, "b="...)
}

// names writes h=, which may be folded at each colon.
func (f *folder) names(names []byte) {
	prefix := " h="
	for len(names) > 0 {
		n := bytes.IndexByte(names, ':') + 1
		if n == 0 {
			n = len(names)
		}
		f.room(len(prefix) + n + 1)
		if prefix != "" && f.out[len(f.out)-1] == ' ' {
			prefix = prefix[1:]
		}
		f.out = append(append(f.out, prefix...), names[:n]...)
		prefix = ""
		names = names[n:]
	}
	f.out = append(f.out, ';')
}

// appendSignature completes the field that begins at start with its signature, folded.
func appendSignature(out []byte, start int, sig []byte) []byte {
	line := start
	if i := bytes.LastIndexByte(out[start:], '\n'); i >= 0 {
		line = start + i + 1
	}
	f := folder{out: out, line: line}
	var room [1024]byte
	text := base64.StdEncoding.AppendEncode(room[:0], sig)
	for len(text) > 0 {
		f.room(1)
		n := min(len(text), lineLength-(len(f.out)-f.line))
		f.out = append(f.out, text[:n]...)
		text = text[n:]
	}
	return append(f.out, "\r\n"...)
}
