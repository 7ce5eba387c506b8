package queue

import (
	"bytes"
	"io"
)

// Body is the content of a message. It may be opened many times and at once.
type Body interface {
	// Open returns the content from its first byte.
	Open() (io.ReadCloser, error)
	// Size is the number of bytes that Open's reader yields. A Body that is given to Put may answer
	// -1: not known; one that comes out of a store never does.
	Size() int64
}

// Bytes is a Body in memory.
type Bytes []byte

// Open returns a reader of the bytes.
func (b Bytes) Open() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }

// Size returns the number of bytes.
func (b Bytes) Size() int64 { return int64(len(b)) }
