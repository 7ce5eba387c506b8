package dkim

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash"
)

var (
	errBareCR = errors.New("dkim: a CR without LF in the message: line ends must be CRLF")
	errBareLF = errors.New("dkim: an LF without CR in the message: line ends must be CRLF")
)

// relaxedBody hashes a body in relaxed canonicalisation (RFC 6376 s. 3.4.4): white space at line ends goes,
// other runs of it become one space, empty lines at the end go. What needs no change, which is nearly
// everything, is hashed where it lies, in runs of many lines.
type relaxedBody struct {
	h     hash.Hash
	small []byte // gathers short pieces, for a hash is slow at small writes; made with smallRoom

	crlf  int  // line ends seen and not yet hashed: they may be the last ones
	space bool // white space seen and not yet hashed: it may be at the line's end
	cr    bool // the last octet was CR
	any   bool // there was text
}

const (
	smallRoom = 2 << 10
	longRun   = 16 << 10 // hashed while it is still in the processor's nearest cache
)

// crlfs is never changed.
var crlfs = bytes.Repeat([]byte("\r\n"), 64)

// write takes the next piece, which may begin and end anywhere.
func (b *relaxedBody) write(p []byte) error {
	if b.cr && len(p) > 0 {
		if p[0] != '\n' {
			return errBareCR
		}
		b.cr = false
		b.endLine()
		p = p[1:]
	}
	start, end := 0, 0 // of a run in p that is canonical as it is, and not yet hashed
	for i := 0; i < len(p); {
		line, ended, next := p[i:], false, len(p)
		if n := bytes.IndexByte(line, '\n'); n >= 0 {
			if n == 0 || line[n-1] != '\r' {
				return errBareLF
			}
			line, ended, next = line[:n-1], true, i+n+1
		} else if line[len(line)-1] == '\r' {
			b.cr, line = true, line[:len(line)-1]
		}
		text, after := b.trim(line)
		switch at := i + len(line) - len(text) - after; {
		case len(text) == 0:
		case !isCanonical(text):
			b.emit(p[start:end])
			b.pending()
			if err := b.squeeze(text); err != nil {
				return err
			}
			start, end = 0, 0
		case end > 0 && at == end+2*b.crlf && end-start < longRun:
			b.crlf = 0
			end = at + len(text)
		default:
			b.emit(p[start:end])
			b.pending()
			start, end = at, at+len(text)
		}
		b.space = b.space || after > 0
		if ended {
			b.endLine()
		}
		i = next
	}
	b.emit(p[start:end])
	return nil
}

// trim takes the white space off both ends of a line, or of a part of it. What was before the text is
// remembered; the number of octets after it is returned. A single space before it stays, so that
// lines with one are canonical.
func (b *relaxedBody) trim(line []byte) (text []byte, after int) {
	n := len(line)
	for n > 0 && isSpace[line[n-1]] == 1 {
		n--
	}
	text, after = line[:n], len(line)-n
	if n == 0 || isSpace[text[0]] == 0 {
		return text, after
	}
	if text[0] == ' ' && isSpace[text[1]] == 0 && !b.space {
		return text, after
	}
	for isSpace[text[0]] == 1 {
		text = text[1:]
	}
	b.space = true
	return text, after
}

// isSpace is 1 for white space (WSP of RFC 5234).
var isSpace = [256]uint8{' ': 1, '\t': 1}

func (b *relaxedBody) endLine() {
	b.space = false
	b.crlf++
}

// pending hashes what was held back, now that text follows.
func (b *relaxedBody) pending() {
	b.any = true
	for ; b.crlf > 1; b.crlf -= min(b.crlf-1, len(crlfs)/2) {
		b.emit(crlfs[:2*min(b.crlf-1, len(crlfs)/2)])
	}
	if cap(b.small)-len(b.small) < 3 {
		b.h.Write(b.small)
		b.small = b.small[:0]
	}
	if b.crlf == 1 {
		b.small = append(b.small, '\r', '\n')
		b.crlf = 0
	}
	if b.space {
		b.small = append(b.small, ' ')
		b.space = false
	}
}

func (b *relaxedBody) emit(p []byte) {
	if len(b.small)+len(p) > smallRoom {
		b.h.Write(b.small)
		b.small = b.small[:0]
	}
	if len(p) >= smallRoom/4 {
		b.h.Write(b.small)
		b.small = b.small[:0]
		b.h.Write(p)
		return
	}
	b.small = append(b.small, p...)
}

// squeeze hashes text, in which runs of white space become one space.
func (b *relaxedBody) squeeze(text []byte) error {
	var room [256]byte
	last := uint8(0) // 1: the octet before was white space
	for len(text) > 0 {
		n := 0
		part := text[:min(len(text), len(room))]
		for _, c := range part {
			if c == '\r' {
				return errBareCR
			}
			// Without a branch, for none could be foreseen: a second space is overwritten.
			space := isSpace[c]
			room[n&255] = c ^ (c^' ')*space
			n += int(1 ^ space&last)
			last = space
		}
		b.emit(room[:n])
		text = text[len(part):]
	}
	return nil
}

// close ends the body: a body with text ends with one CRLF, whether it had one or not.
func (b *relaxedBody) close() error {
	if b.cr {
		return errBareCR
	}
	if b.any {
		b.emit(crlfs[:2])
	}
	b.h.Write(b.small)
	return nil
}

// isCanonical tells whether text has no run of white space to squeeze, no tab and no CR. It looks at 8 or 32
// octets at a time, each in a lane of a word.
func isCanonical(text []byte) bool {
	const (
		low     = 0x7f7f7f7f7f7f7f7f
		high    = 0x8080808080808080
		visible = 0x5f5f5f5f5f5f5f5f // carries into the high bit of a lane above 0x20
	)
	for len(text) >= 32 { // as in base64
		w0, w1 := binary.LittleEndian.Uint64(text), binary.LittleEndian.Uint64(text[8:])
		w2, w3 := binary.LittleEndian.Uint64(text[16:]), binary.LittleEndian.Uint64(text[24:])
		if ((w0&low+visible)|w0)&((w1&low+visible)|w1)&((w2&low+visible)|w2)&((w3&low+visible)|w3)&high != high {
			break
		}
		text = text[32:]
	}
	if len(text) < 8 {
		return isCanonicalShort(text)
	}
	space := uint64(0) // 0x80: the octet before was a space
	for i := 0; ; {
		w := binary.LittleEndian.Uint64(text[i:])
		control := ^((w&low + visible) | w) & high
		x := w ^ 0x2020202020202020
		spaces := ^((x&low + low) | x) & high
		if control&^spaces|spaces&(spaces<<8|space) != 0 {
			return false
		}
		switch i += 8; {
		case i+8 <= len(text):
			space = spaces >> 56
		case i < len(text): // the last word overlaps the one before
			space, i = 0, len(text)-8
		default:
			return true
		}
	}
}

func isCanonicalShort(text []byte) bool {
	last := uint8(0)
	for _, c := range text {
		if c < ' ' || isSpace[c]&last != 0 {
			return false
		}
		last = isSpace[c]
	}
	return true
}
