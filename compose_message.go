package postrider

import (
	"bytes"
	"encoding/hex"
	"io"
)

// message writes an attached message. It must not be encoded (RFC 2046 s. 5.2.1), so it is read into a
// spool of its own first, with its line ends made CRLF, to see whether it can go as it is: in 7bit or
// 8bit, with no line over 998, no NUL, no bare CR, and none of our boundaries. One that cannot goes as a
// file, in base64: readers open it all the same.
func (c *composer) message(a *Attachment, media mediaType) error {
	sp := newSpool()
	defer sp.close()
	scan := messageScan{out: output{ctx: c.out.ctx, sink: sp, chunk: chunks.Get().(*[chunkSize]byte)}}
	defer scan.out.free()
	scan.seed = hex.AppendEncode(nil, c.seed[:12])
	err := a.read(func(r io.Reader, size int64) error {
		return readBlocks(r, c.out.buffer(), size, scan.block)
	})
	if err != nil {
		return err
	}
	scan.end()
	if scan.out.flush(); scan.out.err != nil {
		return scan.out.err
	}
	r, err := sp.open(nil)
	if err != nil {
		return err
	}
	defer r.Close()
	if scan.unfit {
		c.fileHeader(a, mediaType{full: octetStream}, base64Encoded)
		c.breaks = false
		return c.out.base64From(r, -1)
	}
	enc := sevenBit
	if scan.high {
		enc = eightBit
		c.eightBit = true
	}
	c.fileHeader(a, media, enc)
	c.breaks = true
	_, err = r.(io.WriterTo).WriteTo(&c.out)
	return err
}

// messageScan passes a message on with CRLF line ends and watches for what cannot go unencoded.
type messageScan struct {
	out   output
	seed  []byte // what all our boundaries have in them
	line  int    // octets of the current line so far
	start [64]byte
	cr    bool // the last octet was CR, not yet written
	high  bool
	unfit bool
}

func (s *messageScan) block(p []byte) error {
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			s.octets(p)
			break
		}
		s.octets(p[:i])
		s.cr = false
		s.out.WriteString("\r\n")
		s.endLine()
		p = p[i+1:]
	}
	return s.out.err
}

// octets takes a part of a line without its LF.
func (s *messageScan) octets(p []byte) {
	if len(p) == 0 {
		return
	}
	if s.cr {
		s.unfit = true // the CR was not the end of a line
		s.out.WriteString("\r")
		s.cr = false
	}
	if p[len(p)-1] == '\r' {
		s.cr = true
		p = p[:len(p)-1]
	}
	if s.line < len(s.start) {
		copy(s.start[s.line:], p)
	}
	s.line += len(p)
	for _, c := range p {
		switch {
		case c >= 0x80:
			s.high = true
		case c == 0, c == '\r':
			s.unfit = true
		}
	}
	s.out.Write(p)
}

func (s *messageScan) endLine() {
	start := s.start[:min(s.line, len(s.start))]
	if s.line > lineMax || bytes.HasPrefix(start, []byte("--=_")) && bytes.Contains(start, s.seed) {
		s.unfit = true
	}
	s.line = 0
}

func (s *messageScan) end() {
	if s.cr {
		s.unfit = true
		s.out.WriteString("\r")
	}
	s.endLine()
}
