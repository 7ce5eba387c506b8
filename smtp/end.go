package smtp

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// fail closes the connection at once and settles what was on it. While a write is under way that
// waits until the write has returned, which it does now: only then is it known what was sent.
func (s *session) fail(err error) {
	if s.err != nil {
		return
	}
	s.learnLoss(err)
	s.err, s.retired = err, true
	s.raw.Close()
	if s.watch.timer != nil {
		s.watch.timer.Stop()
	}
	if !s.writing {
		s.settleAll()
	}
}

// settleAll settles the transactions of a session that has failed.
func (s *session) settleAll() {
	queue := s.queue
	s.queue, s.next = nil, 0
	gone := errors.Is(s.err, errGoneAway)
	for _, t := range queue {
		s.release(t)
		t.lost(s.err, gone)
		t.settle()
	}
	select {
	case s.moved <- struct{}{}: // who streams shall see it
	default:
	}
	s.lane.removed(s)
}

// lost names the cause when reading has failed.
func (s *session) lost(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errLost
	}
	return err
}

// quit ends an idle session politely. Nothing waits for it.
func (s *session) quit() {
	if s.quitting || s.err != nil {
		return
	}
	s.retired, s.quitting = true, true
	tracer{pool: s.lane.pool.Trace}.command("QUIT")
	s.put([]byte("QUIT\r\n"))
	s.expectWithin(quitTime)
	s.kick()
	s.hire()
}

const quitTime = 5 * time.Second // for the reply to QUIT
// abandon settles a transaction on the session whose caller goes. Other mail on the connection is not
// harmed: what was sent in full is left to its reply, and a transaction that is half sent ends the
// connection once those before it have their replies.
func (s *session) abandon(t *transaction, cause error) {
	err := &ConnError{Phase: t.phase(), Host: s.host, Addr: s.addr, Err: cause}
	alone := len(s.queue) == 1
	if t.sent() && (t.end <= s.taken || !alone) { // a write that is under way may come through
		err.Err = fmt.Errorf("%w: %w", ErrUnsure, cause)
	}
	t.decideAll(err.Phase, Reply{}, err)
	t.detached = true
	t.settle()
	switch {
	case !t.begun:
		s.queue = slices.DeleteFunc(s.queue, func(o *transaction) bool { return o == t })
		s.release(t)
		s.lane.freed(s)
	case alone, s.inline == t:
		// A server that kept the caller waiting is not asked again on this connection.
		s.fail(errAbandoned)
	case t.step == stepSent: // also one that was refused before its message: only replies are to come
	default: // it is the first that is not sent
		s.retired = true
		behind := s.queue[s.next+1:]
		s.queue = s.queue[: s.next+1 : s.next+1]
		for _, o := range behind {
			s.release(o)
			o.lost(errAbandoned, false)
			o.settle()
		}
		if s.queue[0] == t {
			s.fail(errAbandoned)
		}
	}
	if s.err == nil && s.reader == t {
		s.interrupt()
	}
}
