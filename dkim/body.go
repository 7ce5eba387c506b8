package dkim

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash"
	"math/bits"
)

var (
	errBareCR = errors.New("dkim: a CR without LF in the message: line ends must be CRLF")
	errBareLF = errors.New("dkim: an LF without CR in the message: line ends must be CRLF")
)

// bodyHash hashes a body in relaxed canonicalisation (RFC 6376 s. 3.4.4): white space at line ends goes,
// other runs of it become one space, empty lines at the end go. What needs no change, which is nearly
// everything, is hashed where it lies.
type bodyHash struct {
	h     hash.Hash
	small []byte // gathers short runs, for a hash is slow at small writes

	crlf  int  // line ends seen and not yet hashed: they may be the last ones
	space bool // white space seen and not yet hashed: it may be at a line's end
	cr    bool // the last octet was CR
	any   bool // something was hashed
}

// What is written for white space and line ends; never changed.
var (
	crlfs    = bytes.Repeat([]byte("\r\n"), 64)
	oneSpace = []byte(" ")
)

func (b *bodyHash) write(p []byte) error {
	for len(p) > 0 {
		switch c := p[0]; {
		case b.cr && c != '\n':
			return errBareCR
		case b.cr:
			b.cr, b.space = false, false
			b.crlf++
			p = p[1:]
		case c == '\n':
			return errBareLF
		case c == '\r':
			b.cr = true
			p = p[1:]
		case c == ' ', c == '\t':
			b.space = true
			p = p[1:]
		default:
			n := unchanged(p)
			b.pending()
			b.emit(p[:n])
			p = p[n:]
		}
	}
	return nil
}

// pending hashes what was held back, now that more text follows.
func (b *bodyHash) pending() {
	for b.crlf > 0 {
		n := min(b.crlf, len(crlfs)/2)
		b.emit(crlfs[:2*n])
		b.crlf -= n
	}
	if b.space {
		b.emit(oneSpace)
		b.space = false
	}
	b.any = true
}

func (b *bodyHash) emit(p []byte) {
	const room = 2048
	if b.small == nil {
		b.small = make([]byte, 0, room)
	}
	if len(b.small)+len(p) >= room {
		b.h.Write(b.small)
		b.small = b.small[:0]
	}
	if len(p) >= room/4 {
		b.h.Write(b.small)
		b.small = b.small[:0]
		b.h.Write(p)
		return
	}
	b.small = append(b.small, p...)
}

// close ends the body: a body with text ends with one CRLF, whether it had one or not.
func (b *bodyHash) close() error {
	if b.cr {
		return errBareCR
	}
	if b.any {
		b.emit(crlfs[:2])
	}
	b.h.Write(b.small)
	return nil
}

// unchanged returns how much of p, which begins with text, is already canonical whatever follows: it ends
// with text, so never with white space or a line end. It looks at eight octets at a time.
func unchanged(p []byte) int {
	const (
		low  = 0x7f7f7f7f7f7f7f7f
		high = 0x8080808080808080
	)
	i, n := 0, 0 // n: where the run stops
	var space uint64
scan:
	for {
		var event uint64
		if len(p)-i >= 8 {
			w := binary.LittleEndian.Uint64(p[i:])
			control := ^((w&low + 0x5f5f5f5f5f5f5f5f) | w) & high // octets up to 0x20
			if control == 0 {
				space = 0
				i += 8
				continue
			}
			x := w ^ 0x2020202020202020
			spaces := ^((x&low + low) | x) & high
			event = control&^spaces | spaces&(spaces<<8|space)
			if event == 0 {
				space = spaces >> 56
				i += 8
				continue
			}
			k := bits.TrailingZeros64(event) / 8
			i += k
		} else {
			if i >= len(p) {
				n = i
				break
			}
			if c := p[i]; c > ' ' || (c == ' ' && p[i-1] != ' ') {
				space = 0
				if c == ' ' {
					space = 0x80
				}
				i++
				continue
			}
		}
		switch p[i] { // i is past the first octet, which is text
		case '\r':
			if i+1 < len(p) && p[i+1] == '\n' && p[i-1] != ' ' {
				i += 2
				space = 0
				continue
			}
			n = i
			break scan
		case '\n', '\t', ' ':
			n = i
			break scan
		default: // another control character is text
			i++
			space = 0
		}
	}
	for n > 0 && p[n-1] == ' ' {
		n--
	}
	for n >= 2 && p[n-1] == '\n' && p[n-2] == '\r' {
		n -= 2
	}
	return n
}
