package dkim

import (
	"bytes"
	"hash"
)

// simpleBody hashes a body in simple canonicalisation (RFC 6376 s. 3.4.3): only empty lines at its end go.
type simpleBody struct {
	h    hash.Hash
	crlf int  // line ends seen and not yet hashed
	cr   bool // the last octet was CR
}

func (b *simpleBody) write(p []byte) {
	for len(p) > 0 {
		switch c := p[0]; {
		case b.cr && c == '\n':
			b.cr = false
			b.crlf++
			p = p[1:]
		case c == '\r':
			if b.cr {
				b.pending()
			}
			b.cr = true
			p = p[1:]
		default: // text, or a CR or LF alone, which is taken as it is
			b.pending()
			n := bytes.IndexByte(p, '\r')
			if n < 0 {
				n = len(p)
			}
			b.h.Write(p[:n])
			p = p[n:]
		}
	}
}

func (b *simpleBody) pending() {
	for b.crlf > 0 {
		n := min(b.crlf, len(crlfs)/2)
		b.h.Write(crlfs[:2*n])
		b.crlf -= n
	}
	if b.cr {
		b.h.Write(crlfs[:1])
		b.cr = false
	}
}

// close ends the body, which always ends with a line end, even when it is empty.
func (b *simpleBody) close() {
	if b.cr {
		b.pending()
	}
	b.h.Write(crlfs[:2])
}
