package smtp

import (
	"context"
	"io"
	"sync"
)

// speculative is the largest message that is sent before a recipient is known to be accepted. A message of
// that size is held in memory and checked before its transaction begins, so that a source that fails, or
// a message that is none, harms no connection.
const speculative = 256 << 10

// body is the message of one transaction.
type body struct {
	size     int64  // octets as they are sent, without dot-stuffing. Negative: not known
	data     []byte // all of it when small, else what was read ahead of source
	buffer   *[]byte
	loaded   bool
	small    bool
	eightBit bool
	source   io.ReadCloser
	check    bodyCheck
}

var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 16<<10); return &b }}

// load reads a small message into memory. Of a large one it reads nothing when the size is known.
func (b *body) load(ctx context.Context, e *Envelope) error {
	if b.loaded {
		return nil
	}
	b.size, b.eightBit = e.Size, e.EightBit
	if e.Size > speculative {
		b.loaded = true
		return nil
	}
	source, err := open(ctx, e)
	if err != nil {
		return err
	}
	most := e.Size
	if most < 0 {
		most = speculative
	}
	b.buffer = buffers.Get().(*[]byte)
	// One octet more shows a source that yields too much, two are the CRLF that may be missing.
	b.data, err = readAhead(source, (*b.buffer)[:0], int(most)+1)
	*b.buffer = b.data
	if err != nil {
		source.Close()
		b.free()
		return unreadable(err)
	}
	switch n := int64(len(b.data)); {
	case n <= most && (e.Size < 0 || n == e.Size):
		source.Close()
		err = b.checkAll(e)
	case e.Size < 0:
		b.source = source
		if e.Binary {
			err = envelopeError(EnhancedCode{5, 6, 0}, "a large binary message needs its Size")
		}
	default:
		source.Close()
		err = wrongSize(e.Size, n)
	}
	if err != nil {
		b.free()
		return err
	}
	b.loaded = true
	return nil
}

// checkAll checks a message that is in memory as a whole.
func (b *body) checkAll(e *Envelope) error {
	b.small = true
	if !e.Binary {
		if err := b.check.add(b.data); err != nil {
			return badMessage(err)
		}
		open, err := b.check.end()
		if err != nil {
			return badMessage(err)
		}
		if open {
			// The last line is ended, for DATA must and the message shall be the same with BDAT.
			b.data = append(b.data, "\r\n"...)
			*b.buffer = b.data
		}
		b.eightBit = b.eightBit || b.check.eightBit
	}
	b.size = int64(len(b.data))
	return nil
}

// free gives the memory back and closes the source. The size stays, for the result.
func (b *body) free() {
	if b.buffer != nil {
		buffers.Put(b.buffer)
	}
	if b.source != nil {
		b.source.Close()
	}
	*b = body{size: b.size}
}

// readAhead reads up to n octets.
func readAhead(r io.Reader, b []byte, n int) ([]byte, error) {
	idle := 0
	for len(b) < n {
		if cap(b) == len(b) {
			b = append(b, 0)[:len(b)]
		}
		m, err := r.Read(b[len(b):min(cap(b), n)])
		b = b[:len(b)+m]
		if err == io.EOF {
			return b, nil
		}
		if err != nil {
			return b, err
		}
		if m > 0 {
			idle = 0
		} else if idle++; idle > 100 {
			return b, io.ErrNoProgress
		}
	}
	return b, nil
}

// unreadable is a source that fails: it may not do so the next time.
func unreadable(err error) error {
	return envelopeError(EnhancedCode{4, 3, 0}, "the message cannot be read: %w", err)
}

func badMessage(err error) error { return envelopeError(EnhancedCode{5, 6, 0}, "%w", err) }

func wrongSize(size, n int64) error {
	if n > size {
		return envelopeError(EnhancedCode{5, 6, 0}, "the message has more than its Size of %d octets", size)
	}
	return envelopeError(EnhancedCode{5, 6, 0}, "the message has %d octets, its Size is %d", n, size)
}
