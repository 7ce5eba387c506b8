package disk

import (
	"errors"
	"fmt"
	"io"
	"math/bits"
	"sync"

	"github.com/postrider/postrider/queue"
)

// content is a record on its way to the log: its head, and its meta and body in one buffer, which is used again when the record
// is written. Else the bodies of a busy store would keep the garbage collector busier than anything.
type content struct {
	head head
	b    []byte // meta, body
}

var contents = sync.Pool{New: func() any { return new(content) }}

// largestKept is the size above which a buffer is not kept for the next record.
const largestKept = 1 << 20

// newContent is a content with room for that many bytes.
func newContent(room int64) *content {
	c := contents.Get().(*content)
	c.head, c.b = head{}, c.b[:0]
	if int64(cap(c.b)) < room {
		if room < largestKept {
			room = 1 << bits.Len64(uint64(max(room, 1<<10)-1))
		}
		c.b = make([]byte, 0, room)
	}
	return c
}

// release lets others use the buffer.
func (c *content) release() {
	if cap(c.b) <= largestKept {
		contents.Put(c)
	}
}

// metaEnds says that what is in the buffer is the meta; the body follows.
func (c *content) metaEnds() { c.head.meta, c.head.metaCRC = uint32(len(c.b)), checksum(c.b) }

// bodyEnds says that the body is in the buffer.
func (c *content) bodyEnds() {
	body := c.b[c.head.meta:]
	c.head.body, c.head.bodyCRC = uint32(len(body)), checksum(body)
}

// contentOf is the record of a message. The body is read whole: its checksum must be known before the first byte is written.
func contentOf(m *meta, b queue.Body) (*content, error) {
	size := b.Size()
	if size > largest {
		return nil, errTooLarge
	}
	c := newContent(int64(m.size()) + max(size, 0))
	m.encode((*writer)(&c.b))
	c.metaEnds()
	if err := c.readBody(b, size); err != nil {
		c.release()
		return nil, err
	}
	c.bodyEnds()
	return c, nil
}

var errTooLarge = fmt.Errorf("%w: the body is larger than 1 GiB", queue.ErrInvalid)

func (c *content) readBody(b queue.Body, size int64) error {
	if whole, ok := b.(queue.Bytes); ok {
		c.b = append(c.b, whole...)
		return nil
	}
	r, err := b.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	if size < 0 {
		body, err := io.ReadAll(io.LimitReader(r, largest+1))
		if err == nil && len(body) > largest {
			err = errTooLarge
		}
		c.b = append(c.b, body...)
		return err
	}
	start := len(c.b)
	c.b = c.b[:start+int(size)]
	_, err = io.ReadFull(r, c.b[start:])
	if err == nil {
		var more [1]byte
		if _, err = io.ReadFull(r, more[:]); err == io.EOF {
			return nil
		}
	}
	if err == nil || err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: the body does not have the %d bytes it announced", queue.ErrInvalid, size)
	}
	return err
}
