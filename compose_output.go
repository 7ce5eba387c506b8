package postrider

import (
	"context"
	"io"
)

// output takes the octets of a message in their order. They are written into chunks of memory, and
// full chunks go to the sink. The first error stays; what is written after it goes nowhere.
type output struct {
	ctx     context.Context
	sink    sink
	hash    io.Writer // sees each chunk before the sink does. Nil: nobody does
	chunk   *[chunkSize]byte
	n       int   // octets in chunk
	total   int64 // octets in the chunks before
	err     error
	last    [2]byte // the last two octets of the chunks before
	scratch *[chunkSize]byte
}

// sink keeps or passes on the first n octets of a chunk and returns a chunk to write to.
type sink interface {
	take(data *[chunkSize]byte, n int) (*[chunkSize]byte, error)
}

// writerSink passes chunks to a writer.
type writerSink struct{ w io.Writer }

func (s writerSink) take(data *[chunkSize]byte, n int) (*[chunkSize]byte, error) {
	k, err := s.w.Write(data[:n])
	if err == nil && k < n {
		err = io.ErrShortWrite
	}
	return data, err
}

// space returns n free octets, of which the caller reports the used ones.
func (o *output) space(n int) []byte {
	if o.n+n > chunkSize {
		o.flush()
	}
	return o.chunk[o.n : o.n+n : chunkSize]
}

func (o *output) used(n int) { o.n += n }

// flush gives the chunk away.
func (o *output) flush() {
	if o.err == nil && o.n > 0 {
		o.err = o.ctx.Err()
	}
	if o.err == nil && o.n > 0 {
		o.last = o.tail()
		o.total += int64(o.n)
		if o.hash != nil {
			_, o.err = o.hash.Write(o.chunk[:o.n])
		}
		if o.err == nil {
			o.chunk, o.err = o.sink.take(o.chunk, o.n)
		}
	}
	o.n = 0
}

// buffer is for those who read or convert something before they write it.
func (o *output) buffer() []byte {
	if o.scratch == nil {
		o.scratch = chunks.Get().(*[chunkSize]byte)
	}
	return o.scratch[:]
}

// free gives the memory back.
func (o *output) free() {
	for _, c := range []*[chunkSize]byte{o.chunk, o.scratch} {
		if c != nil {
			chunks.Put(c)
		}
	}
	o.chunk, o.scratch = nil, nil
}

// Write makes the output an io.Writer.
func (o *output) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 && o.err == nil {
		if o.n == chunkSize {
			o.flush()
		}
		c := copy(o.chunk[o.n:], p)
		o.n, p = o.n+c, p[c:]
	}
	return n, o.err
}

// WriteString is Write without a conversion.
func (o *output) WriteString(s string) (int, error) {
	n := len(s)
	for s != "" && o.err == nil {
		if o.n == chunkSize {
			o.flush()
		}
		c := copy(o.chunk[o.n:], s)
		o.n, s = o.n+c, s[c:]
	}
	return n, o.err
}

// tail is the last two octets written.
func (o *output) tail() [2]byte {
	switch o.n {
	case 0:
		return o.last
	case 1:
		return [2]byte{o.last[1], o.chunk[0]}
	}
	return [2]byte(o.chunk[o.n-2 : o.n])
}

// endLine writes the CRLF at the end of the message if it is missing.
func (o *output) endLine() {
	if o.tail() != [2]byte{'\r', '\n'} {
		o.WriteString("\r\n")
	}
}
