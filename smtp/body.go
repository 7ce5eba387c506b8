package smtp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// mostTextLine is the longest line of a message without its CRLF (RFC 5321 s. 4.5.3.1.6).
const mostTextLine = 998

// The ways in which a message is not a message (RFC 5321 s. 2.3.8). A carriage return or line feed by
// itself is where servers disagree about the end of a line, and so about the end of the message:
// none ever leaves.
var (
	errBareCR   = errors.New("a CR without LF in the message")
	errBareLF   = errors.New("a LF without CR in the message")
	errLongLine = fmt.Errorf("a line of more than %d octets in the message", mostTextLine)
	errEightBit = errors.New("octets above 127 in the message, though Envelope.EightBit is not set")
)

// bodyCheck looks at a message piece by piece, wherever the pieces are cut.
type bodyCheck struct {
	line     int  // octets of the line so far, without CR
	cr       bool // the last octet was a CR
	eightBit bool // octets above 127 were seen
}

// add checks the next piece.
func (c *bodyCheck) add(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	if !c.eightBit {
		c.eightBit = hasEightBit(p)
	}
	if c.cr { // the CR was the end of the last piece
		if p[0] != '\n' {
			return errBareCR
		}
		c.cr, c.line = false, 0
		p = p[1:]
	}
	whole, lines := p, 0
	for ; len(p) > 0; lines++ {
		end := bytes.IndexByte(p, '\n')
		if end < 0 {
			break
		}
		if end == 0 || p[end-1] != '\r' {
			return errBareLF
		}
		if c.line+end-1 > mostTextLine {
			return errLongLine
		}
		c.line = 0
		p = p[end+1:]
	}
	// Each line has its CR at the end. One count of them all is cheaper than a search in each line.
	if bytes.Count(whole[:len(whole)-len(p)], cr) != lines {
		return errBareCR
	}
	return c.partial(p)
}

var cr = []byte("\r")

// partial takes a piece of a line that is not ended in it.
func (c *bodyCheck) partial(p []byte) error {
	if i := bytes.IndexByte(p, '\r'); i >= 0 {
		if i != len(p)-1 {
			return errBareCR
		}
		c.cr, p = true, p[:i]
	}
	if c.line += len(p); c.line > mostTextLine {
		return errLongLine
	}
	return nil
}

// end checks that the message may end here, and says whether its last line still lacks the
// CRLF.
func (c *bodyCheck) end() (open bool, err error) {
	if c.cr {
		return false, errBareCR
	}
	return c.line > 0, nil
}

// hasEightBit says whether an octet above 127 is in p.
func hasEightBit(p []byte) bool {
	const high = 0x8080808080808080
	for len(p) >= 32 {
		w := p[:32]
		if (binary.NativeEndian.Uint64(w)|binary.NativeEndian.Uint64(w[8:])|binary.NativeEndian.Uint64(w[16:])|binary.NativeEndian.Uint64(w[24:]))&high != 0 {
			return true
		}
		p = p[32:]
	}
	for _, b := range p {
		if b&0x80 != 0 {
			return true
		}
	}
	return false
}

// stuffer doubles the dot at the begin of a line (RFC 5321 s. 4.5.2), wherever the pieces are cut.
type stuffer struct{ inLine bool }

// append appends the next piece of a message.
func (s *stuffer) append(b, p []byte) []byte {
	if len(p) == 0 {
		return b
	}
	if !s.inLine && p[0] == '.' {
		b = append(b, '.')
	}
	for {
		i := bytes.Index(p, []byte("\n."))
		if i < 0 {
			break
		}
		b = append(append(b, p[:i+1]...), '.')
		p = p[i+1:]
		// The dot itself goes with what follows it, since p begins in a line now.
		b = append(b, '.')
		p = p[1:]
		if len(p) == 0 {
			s.inLine = true
			return b
		}
	}
	b = append(b, p...)
	s.inLine = p[len(p)-1] != '\n'
	return b
}
