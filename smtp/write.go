package smtp

// push writes in the caller's goroutine what the connection takes without waiting, when there is no other mail on
// the session: that spares the wakeup of the writer, who does the rest. drained says that the server has
// answered all that was written before. It gives up the lock meanwhile.
func (s *session) push(drained bool) {
	if !s.flushing && s.err == nil && s.unwritten() && len(s.queue) == 1 {
		s.flushing = true
		if s.socket != nil {
			s.write(s.socket.try)
		} else if s.tcp && drained && len(s.out) <= mostInline {
			// The kernel's buffer is empty and has room for this. Should it not have, somebody reads meanwhile, and
			// the end of the context closes the connection.
			s.inline = s.queue[0]
			s.write(s.conn.Write)
			s.inline = nil
		}
		s.flushing = false
	}
	s.kick()
}

const mostInline = 16 << 10

// kick starts the writer when there is something to write.
func (s *session) kick() {
	if !s.flushing && s.err == nil && s.unwritten() {
		s.flushing = true
		go s.flush()
	}
}

// flush writes until nothing is left.
func (s *session) flush() {
	s.lane.mu.Lock()
	defer s.lane.mu.Unlock()
	for s.err == nil && s.unwritten() {
		s.write(s.conn.Write)
	}
	s.flushing = false
}

func (s *session) unwritten() bool { return len(s.left)+len(s.out) > 0 }

// write writes once, with a bound that so rolls (RFC 5321 s. 4.5.3.2.5). It gives up the lock meanwhile.
func (s *session) write(once func([]byte) (int, error)) {
	l := s.lane
	if len(s.left) == 0 {
		s.left, s.out, s.spare = s.out, s.spare[:0], s.out
		s.taken += int64(len(s.left))
		if p := l.pool.Trace; p != nil && p.Flight != nil {
			p.Flight(len(s.left))
		}
	}
	s.writeWithin(l.pool.Timeouts.block())
	s.writing = true
	l.mu.Unlock()
	n, err := once(s.left[:min(mostWrite, len(s.left))])
	l.mu.Lock()
	s.writing = false
	s.writeWithin(0)
	s.left = s.left[n:]
	s.sent += int64(n)
	select {
	case s.moved <- struct{}{}:
	default:
	}
	switch {
	case s.err != nil:
		s.settleAll()
	case err != nil:
		s.fail(err)
	default:
		s.arm()
	}
}

const (
	mostWrite = 64 << 10 // octets of one write: each must end within Timeouts.Block
	mostSpare = 32 << 10 // octets of each of its two buffers that an idle session keeps
)

// trim gives memory back when the session goes idle.
func (s *session) trim() {
	if cap(s.out) > mostSpare && len(s.out) == 0 {
		s.out = nil
	}
	if cap(s.spare) > mostSpare && len(s.left) == 0 {
		s.left, s.spare = nil, nil
	}
}
