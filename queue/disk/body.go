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
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	m := s.find(id)
	if s.broken != nil {
		return nil, s.broken
	}
	if m == nil || m.gone {
		return nil, queue.ErrNotFound
	}
	h, err := s.head(m)
	if err != nil {
		return nil, fmt.Errorf("%w: the body of message %s: %w", queue.ErrDamaged, id, err)
	}
	return &body{s, m.seq, id, int64(h.body)}, nil
}

// head reads the head of the message's record.
func (s *Store) head(m *message) (head, error) {
	if err := s.log.durable(m.at); err != nil {
		return head{}, err
	}
	b := make([]byte, headSize)
	if err := s.log.read(m.at.segment, b, m.at.off); err != nil {
		return head{}, err
	}
	h, ok := readHead(b, m.at.segment)
	if !ok || h.seq != m.seq || h.meta != m.at.meta || h.body != m.at.body {
		return head{}, errCode
	}
	return h, nil
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
	defer s.mu.Unlock()
	if err := s.usable(context.Background()); err != nil {
		return nil, err
	}
	m := s.load(b.message)
	if m == nil || m.gone {
		return nil, queue.ErrNotFound
	}
	h, err := s.head(m)
	if err != nil {
		return nil, fmt.Errorf("%w: the body of message %s: %w", queue.ErrDamaged, b.id, err)
	}
	in := s.log.acquire(m.at.segment)
	if in == nil {
		return nil, queue.ErrNotFound
	}
	return &bodyReader{log: s.log, in: in, off: m.at.off + headSize + int64(h.meta), left: int64(h.body), want: h.bodyCRC, id: b.id}, nil
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
	n, err := r.in.f.ReadAt(p, r.off)
	r.sum = crc32.Update(r.sum, castagnoli, p[:n])
	r.off += int64(n)
	r.left -= int64(n)
	if n < len(p) {
		return n, fmt.Errorf("%w: the body of message %s cannot be read: %v", queue.ErrDamaged, r.id, err)
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
