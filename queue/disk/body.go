package disk

import (
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"sync"

	"github.com/postrider/postrider/queue"
)

// Open gives a body. What is damaged of it is found while it is read, at the latest at its end: a read then says
// queue.ErrDamaged.
func (s *Store) Open(ctx context.Context, id string) (queue.Body, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, err := s.readable(ctx, func() *message { return s.find(id) })
	if err != nil {
		return nil, err
	}
	return &body{s, m.seq, id, int64(m.at.body)}, nil
}

// readable finds a message that has its body. It may give up mu meanwhile: a record is read when it is durable.
func (s *Store) readable(ctx context.Context, find func() *message) (*message, error) {
	for {
		if err := s.usable(ctx); err != nil {
			return nil, err
		}
		m := find()
		switch {
		case s.broken != nil:
			return nil, s.broken
		case m == nil || m.gone:
			return nil, queue.ErrNotFound
		case s.log.durable(m.at):
			return m, nil
		}
		b := s.log.last()
		s.mu.Unlock()
		err := s.log.hurry(ctx, b)
		s.mu.Lock()
		if err != nil {
			return nil, err
		}
	}
}

type body struct {
	s       *Store
	message uint64
	id      string
	size    int64
}

func (b *body) Size() int64 { return b.size }

// Open looks for the body again, for it may have been moved.
func (b *body) Open() (io.ReadCloser, error) {
	s := b.s
	s.mu.Lock()
	m, err := s.readable(context.Background(), func() *message { return s.load(b.message) })
	if err != nil {
		s.mu.Unlock()
		return nil, err
	}
	at := m.at
	in := s.log.acquire(at.segment)
	s.mu.Unlock()
	if in == nil {
		return nil, queue.ErrNotFound
	}
	h, err := in.head(at)
	if err == nil && h.seq != b.message {
		err = queue.ErrDamaged
	}
	if err != nil {
		s.log.release(in)
		return nil, fmt.Errorf("the body of message %s: %w", b.id, err)
	}
	return &bodyReader{log: s.log, in: in, off: at.off + headSize + int64(h.meta), left: int64(h.body), want: h.bodyCRC, id: b.id}, nil
}

// head reads the head of a record.
func (s *segment) head(at place) (head, error) {
	b := make([]byte, headSize)
	n, err := readPart(s.f, b, at.off)
	if err != nil {
		return head{}, err
	}
	h, ok := readHead(b[:n], at.segment)
	if !ok || h.meta != at.meta || h.body != at.body {
		return head{}, queue.ErrDamaged
	}
	return h, nil
}

// bodyReader reads a body; its segment is not used again before it is closed.
type bodyReader struct {
	log       *log
	in        *segment
	off, left int64
	sum, want uint32
	id        string
	close     sync.Once
	closed    bool
}

func (r *bodyReader) Read(p []byte) (int, error) {
	if r.closed {
		return 0, io.ErrClosedPipe
	}
	if r.left == 0 {
		if r.sum != r.want {
			return 0, fmt.Errorf("%w: the body of message %s has another checksum", queue.ErrDamaged, r.id)
		}
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), r.left)]
	n, err := readPart(r.in.f, p, r.off)
	r.sum = crc32.Update(r.sum, castagnoli, p[:n])
	r.off += int64(n)
	r.left -= int64(n)
	switch {
	case err != nil:
		return n, fmt.Errorf("the body of message %s: %w", r.id, err)
	case n < len(p):
		return n, fmt.Errorf("%w: the body of message %s is cut short", queue.ErrDamaged, r.id)
	}
	if r.left == 0 && r.sum != r.want { // not even the last bytes, for a caller that counts
		return 0, fmt.Errorf("%w: the body of message %s has another checksum", queue.ErrDamaged, r.id)
	}
	return n, nil
}

func (r *bodyReader) Close() error {
	r.close.Do(func() { r.closed = true; r.log.release(r.in) })
	return nil
}
