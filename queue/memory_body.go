package queue

import (
	"fmt"
	"io"
)

// share is what a body takes of the Limit while it is read, so that many at a time take no more than one.
type share struct {
	of *Memory
	n  int64
}

func (s *share) take(n int64) error {
	m := s.of
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.Limit > 0 && n > max(m.Limit-m.used, 0) {
		return ErrFull
	}
	m.used += n
	s.n += n
	return nil
}

func (s *share) give() {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	s.of.used -= s.n
	s.n = 0
}

// readBody reads a body. What it takes is asked for: all before, or what was read if it does not say how much there is.
func readBody(b Body, take func(int64) error) ([]byte, error) {
	size := b.Size()
	if size >= 0 {
		if err := take(size); err != nil {
			return nil, err
		}
	}
	r, err := b.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if size < 0 {
		return io.ReadAll(taking{r, take})
	}
	body, err := io.ReadAll(io.LimitReader(r, size+1))
	if err == nil && int64(len(body)) != size {
		err = fmt.Errorf("%w: the body does not have the %d bytes it announced", ErrInvalid, size)
	}
	if err != nil {
		return nil, err
	}
	return body, nil
}

// taking asks for what it reads, little at a time.
type taking struct {
	io.Reader
	take func(int64) error
}

func (t taking) Read(p []byte) (int, error) {
	n, err := t.Reader.Read(p[:min(len(p), 32<<10)])
	if e := t.take(int64(n)); e != nil {
		return n, e
	}
	return n, err
}
