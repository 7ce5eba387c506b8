package smtp

import (
	"errors"
	"os"
	"time"
)

// The reader of a session is one goroutine at a time:
//
//   - a caller whose transaction is on the session, until that has its replies. Nobody need be woken then,
//     which for a small mail would cost as much as all the rest;
//   - else a goroutine of the session's own, while there are replies to come, or a caller that sends a large message,
//     or several callers in turn;
//   - nobody, while the session is idle. What comes then is found by Quiet before the next mail begins, and
//     after a moment without mail a goroutine listens again, so that a connection that the server closes is let go.
//
// A connection without Quiet has a goroutine of its own from its begin to its end.

// quieter is a connection that can say without waiting whether there is something to read.
type quieter interface{ Quiet() bool }

// unheard is how long nobody listens to an idle session.
const unheard = time.Second

// silent says that nothing has come while nobody listened.
func (s *session) silent() bool {
	return s.reading || s.quiet == nil || len(s.queue) > 0 || s.replies.buffered() == 0 && s.quiet.Quiet()
}

// hire starts a goroutine that reads, unless somebody does.
func (s *session) hire() {
	if s.reading || s.err != nil {
		return
	}
	s.reading = true
	go func() {
		s.lane.mu.Lock()
		defer s.lane.mu.Unlock()
		s.read(nil)
	}()
}

// read takes replies: for t until it needs its caller or has ended, without t until the session is idle. It gives
// up the lock meanwhile.
func (s *session) read(t *transaction) {
	s.reading, s.reader = true, t
	for more := true; more && s.err == nil; {
		s.lane.mu.Unlock()
		err := s.replies.read()
		s.lane.mu.Lock()
		if s.interrupted {
			s.interrupted = false
			s.conn.SetReadDeadline(time.Time{})
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
		}
		if err == nil {
			err = s.reply()
		} else if s.err == nil {
			err = s.lost(err)
		}
		if err != nil {
			s.fail(err)
			break
		}
		s.arm()
		if t != nil {
			s.push(false)
			more = t.status == statusQueued
		} else {
			s.kick()
			more = s.quiet == nil || len(s.queue) > 0
		}
	}
	s.reading, s.reader = false, nil
	if len(s.queue) > 0 || s.quitting {
		s.hire()
	}
}

// interrupt makes the caller that reads return. The reply that it may be in the middle of is read on by another.
func (s *session) interrupt() {
	s.interrupted = true
	if err := s.conn.SetReadDeadline(time.Unix(1, 0)); err != nil {
		s.fail(errAbandoned)
	}
}
