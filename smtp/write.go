package smtp

import (
	"errors"
	"fmt"
	"os"
	"time"
)

// kick starts the writer when there is something to write.
func (s *session) kick() {
	if !s.flushing && len(s.out) > 0 {
		s.flushing = true
		go s.flush()
	}
}

// flush writes until nothing is left.
func (s *session) flush() {
	s.lane.mu.Lock()
	s.flushLocked()
	s.lane.mu.Unlock()
}

func (s *session) flushLocked() {
	l := s.lane
	for len(s.out) > 0 && s.err == nil {
		b := s.out
		s.out, s.spare = s.spare[:0], nil
		s.taken += int64(len(b))
		s.writing = true
		l.mu.Unlock()
		n, err := s.write(b)
		l.mu.Lock()
		s.writing = false
		s.sent += int64(n)
		s.spare = b
		select {
		case s.moved <- struct{}{}:
		default:
		}
		if s.err != nil {
			s.settleAll()
		} else if err != nil {
			s.fail(err)
		} else {
			s.arm()
		}
	}
	s.flushing = false
}

// write writes b with a deadline that rolls (RFC 5321 s. 4.5.3.2.5).
func (s *session) write(b []byte) (n int, err error) {
	if p := s.lane.pool.Trace; p != nil && p.Flight != nil {
		p.Flight(len(b))
	}
	for n < len(b) && err == nil {
		limit := s.lane.pool.Timeouts.block()
		s.conn.SetWriteDeadline(time.Now().Add(limit))
		var m int
		m, err = s.conn.Write(b[n:min(n+mostWrite, len(b))])
		n += m
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = fmt.Errorf("the server takes nothing for %v: %w", limit, err)
		}
	}
	return n, err
}

const (
	mostWrite = 64 << 10 // octets of one Write: each must end within Timeouts.Block
	mostSpare = 32 << 10 // octets of each of its two buffers that an idle session keeps
)

// trim gives memory back when the session goes idle.
func (s *session) trim() {
	if cap(s.out) > mostSpare && !s.flushing {
		s.out = nil
	}
	if cap(s.spare) > mostSpare {
		s.spare = nil
	}
}
