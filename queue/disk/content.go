package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"slices"
	"sync"

	"github.com/postrider/postrider/queue"
)

// content is a record on its way to the log: its head, and its meta and body in one buffer, which is used again when the record
// is written. Else the bodies of a busy store would keep the garbage collector busier than anything.
type content struct {
	head  head
	b     []byte // meta, body
	share int64  // of the allowance
	of    *allowance
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

// release lets others use the buffer and the share.
func (c *content) release() {
	if c.share > 0 {
		c.of.give(c.share)
		c.share, c.of = 0, nil
	}
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

// contentOf is the record of a message. The body is read whole: its checksum must be known before the first byte is written. A large
// one waits for its share of the allowance before.
func (s *Store) contentOf(ctx context.Context, m *meta, b queue.Body) (*content, error) {
	size := b.Size()
	if size > largest {
		return nil, errTooLarge
	}
	room, share := int64(m.size())+max(size, 0), int64(0)
	if room > largestKept {
		if share = room; size < 0 {
			share = s.large.all // it must not wait for more while it has a part
		}
		var err error
		if share, err = s.large.take(ctx, s.quit, share); err != nil {
			return nil, err
		}
	}
	c := newContent(room)
	c.share, c.of = share, s.large
	whole := false
	defer func() { // the reader may panic, too
		if !whole {
			c.release()
		}
	}()
	m.encode((*writer)(&c.b))
	c.metaEnds()
	read := func() error { return c.readBody(b, size) }
	if size < 0 {
		read = func() error { return c.readUnknown(ctx, s, b) }
	}
	if err := read(); err != nil {
		return nil, err
	}
	c.bodyEnds()
	whole = true
	return c, nil
}

var errTooLarge = fmt.Errorf("%w: the body is larger than 1 GiB", queue.ErrInvalid)

// readUnknown reads a body that does not say how large it is. When it is large it waits for the whole allowance, and gives back what it
// does not need.
func (c *content) readUnknown(ctx context.Context, s *Store, b queue.Body) error {
	r, err := b.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	start := len(c.b)
	for err == nil {
		if c.share == 0 && len(c.b) > largestKept {
			if c.share, err = s.large.take(ctx, s.quit, s.large.all); err != nil {
				return err
			}
		}
		c.b = slices.Grow(c.b, 512)
		var n int
		n, err = r.Read(c.b[len(c.b):cap(c.b)])
		if c.b = c.b[:len(c.b)+n]; len(c.b)-start > largest {
			return errTooLarge
		}
	}
	if err != io.EOF {
		return err
	}
	if rest := c.share - int64(cap(c.b)); rest > 0 {
		c.share -= rest
		s.large.give(rest)
	}
	return nil
}

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
