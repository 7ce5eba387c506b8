package smtp

import (
	"io"
	"slices"
)

const (
	streamPiece = 32 << 10  // octets read from a source at once
	streamAhead = 128 << 10 // octets that wait for the connection before the source is read on
)

// startStream asks the caller to send the message. All transactions before it have ended, for the
// recipients of this one are answered: what goes wrong from here on harms no other mail.
func (s *session) startStream(t *transaction) {
	t.step, t.status = stepStream, statusStream
	t.notify()
}

// stream sends a large message; the caller of Deliver does that. Any error closes the connection
// before the message is ended, so that no part of it is ever taken for the whole.
func (s *session) stream(t *transaction) {
	err := s.streamBody(t)
	l := s.lane
	l.mu.Lock()
	defer l.mu.Unlock()
	t.body.free()
	if t.status == statusStream {
		t.status = statusQueued
	}
	if s.err != nil { // it has been settled, or will be when a write has returned
		return
	}
	if err == errAbandoned || err != nil && t.ctx.Err() != nil {
		return // the end of the context settles it, if it has not yet
	}
	if err != nil {
		t.decideAll(PhaseData, Reply{}, withHost(err, s.host))
		s.fail(errSource)
	}
}

// streamBody sends a piece when the next one was read, and the last when the source has ended: with its last octet a BDAT is complete,
// and may be answered.
func (s *session) streamBody(t *transaction) error {
	b, e := &t.body, t.envelope
	size := b.size
	if b.source == nil {
		source, err := open(t.ctx, e)
		if err != nil {
			return err
		}
		b.source = source
	}
	var dots *stuffer
	if t.data {
		dots = new(stuffer)
	}
	n := int64(len(b.data))
	held, piece, next := b.data, make([]byte, streamPiece), make([]byte, streamPiece)
	for {
		m, err := io.ReadAtLeast(b.source, next, 1)
		if err == io.EOF {
			break
		}
		if err != nil {
			return unreadable(err)
		}
		if n += int64(m); size >= 0 && n > size {
			return wrongSize(size, n)
		}
		if err := s.piece(t, held, dots); err != nil {
			return err
		}
		held, piece, next = next[:m], next, piece
	}
	if size >= 0 && n != size {
		return wrongSize(size, n)
	}
	b.size = n
	return s.lastPiece(t, held, dots)
}

// piece checks and appends a piece of the message.
func (s *session) piece(t *transaction, p []byte, dots *stuffer) error {
	if err := checkPiece(t, p); err != nil {
		return err
	}
	return s.appendPiece(t, p, dots, nil)
}

func checkPiece(t *transaction, p []byte) error {
	if t.envelope.Binary {
		return nil
	}
	if err := t.body.check.add(p); err != nil {
		return badMessage(err)
	}
	if t.body.check.eightBit && !t.envelope.EightBit {
		return badMessage(errEightBit)
	}
	return nil
}

// appendPiece appends a piece when there is room, and does then what is to be done before the connection can have it.
func (s *session) appendPiece(t *transaction, p []byte, dots *stuffer, then func()) error {
	l := s.lane
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(s.out) > streamAhead && s.err == nil {
		l.mu.Unlock()
		select {
		case <-s.moved:
		case <-t.ctx.Done():
		}
		l.mu.Lock()
		if t.ctx.Err() != nil {
			return errAbandoned
		}
	}
	if s.err != nil {
		return s.err
	}
	before := len(s.out)
	if dots != nil {
		s.out = dots.append(slices.Grow(s.out, len(p)+len(p)/8), p)
	} else {
		s.out = append(s.out, p...)
	}
	s.appended += int64(len(s.out) - before)
	if then != nil {
		then()
	}
	s.kick()
	return nil
}

// lastPiece ends the message, and its last line, which DATA needs; a BDAT of an announced size cannot grow.
func (s *session) lastPiece(t *transaction, p []byte, dots *stuffer) error {
	if err := checkPiece(t, p); err != nil {
		return err
	}
	if !t.envelope.Binary {
		open, err := t.body.check.end()
		if err != nil {
			return badMessage(err)
		}
		if open && dots != nil {
			if err := s.appendPiece(t, p, dots, nil); err != nil {
				return err
			}
			p = []byte("\r\n")
		}
	}
	return s.appendPiece(t, p, dots, func() {
		if t.data {
			s.put([]byte(".\r\n"))
		}
		if t.status == statusStream {
			t.status = statusQueued
		}
		t.asked++
		s.ended(t)
		s.pump()
	})
}
