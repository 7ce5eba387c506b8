package smtp

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
	for len(s.out) > 0 && s.err == nil {
		b := s.out
		s.out, s.spare = s.spare[:0], nil
		s.taken += int64(len(b))
		err := s.write(b)
		s.spare = b
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

// write writes b with a bound that rolls (RFC 5321 s. 4.5.3.2.5). It gives up the lock meanwhile.
func (s *session) write(b []byte) (err error) {
	l := s.lane
	if p := l.pool.Trace; p != nil && p.Flight != nil {
		p.Flight(len(b))
	}
	for len(b) > 0 && err == nil && s.err == nil {
		s.writeWithin(l.pool.Timeouts.block())
		s.writing = true
		l.mu.Unlock()
		var n int
		n, err = s.conn.Write(b[:min(mostWrite, len(b))])
		l.mu.Lock()
		s.writing = false
		s.writeWithin(0)
		b = b[n:]
		s.sent += int64(n)
		select {
		case s.moved <- struct{}{}:
		default:
		}
	}
	return err
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
