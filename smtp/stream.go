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
		return
	}
	if t.data {
		s.put([]byte(".\r\n"))
	}
	t.asked++
	s.ended(t)
	s.pump()
	s.kick()
}

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
	if err := s.piece(t, b.data, dots); err != nil {
		return err
	}
	piece := make([]byte, streamPiece)
	for {
		m, err := io.ReadAtLeast(b.source, piece, 1)
		if err == io.EOF {
			break
		}
		if err != nil {
			return unreadable(err)
		}
		if n += int64(m); size >= 0 && n > size {
			return wrongSize(size, n)
		}
		if err := s.piece(t, piece[:m], dots); err != nil {
			return err
		}
	}
	if size >= 0 && n != size {
		return wrongSize(size, n)
	}
	b.size = n
	return s.lastPiece(t, dots)
}

// piece checks and appends a piece of the message.
func (s *session) piece(t *transaction, p []byte, dots *stuffer) error {
	if !t.envelope.Binary {
		if err := t.body.check.add(p); err != nil {
			return badMessage(err)
		}
		if t.body.check.eightBit && !t.envelope.EightBit {
			return badMessage(errEightBit)
		}
	}
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
	s.kick()
	return nil
}

// lastPiece ends the last line, which DATA needs; a BDAT of an announced size cannot grow.
func (s *session) lastPiece(t *transaction, dots *stuffer) error {
	if t.envelope.Binary {
		return nil
	}
	open, err := t.body.check.end()
	if err != nil {
		return badMessage(err)
	}
	if open && dots != nil {
		return s.piece(t, []byte("\r\n"), dots)
	}
	return nil
}
