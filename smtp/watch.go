package smtp

import (
	"fmt"
	"os"
	"time"
)

// watch bounds the waits of a session: that for the next reply (or, without work, for work) and that for a
// write. Both bounds move with every message, and a timer or a deadline of the connection that moved
// with them would cost more than the message's own lines do. So one timer looks at them, and it is set only
// where a bound comes that is sooner than its next look: on a busy connection that is never.
type watch struct {
	reply, write time.Time // zero: no bound
	hear         time.Time // when somebody shall listen to an idle session
	look         time.Time // when the timer looks next. Zero: not
	timer        *time.Timer
}

// expectWithin bounds the wait for the next reply, or for work. Zero: no bound.
func (s *session) expectWithin(d time.Duration) { s.within(&s.watch.reply, d) }

// writeWithin bounds the write that begins now. Zero: it has ended.
func (s *session) writeWithin(d time.Duration) { s.within(&s.watch.write, d) }

// hearWithin bounds the time in which nobody listens.
func (s *session) hearWithin(d time.Duration) { s.within(&s.watch.hear, d) }

func (s *session) within(bound *time.Time, d time.Duration) {
	if d <= 0 {
		*bound = time.Time{}
		return
	}
	*bound = time.Now().Add(d)
	s.lookBy(*bound)
}

// lookBy sees to it that the timer looks at that time or before.
func (s *session) lookBy(at time.Time) {
	w := &s.watch
	if s.err != nil || !w.look.IsZero() && !w.look.After(at) {
		return
	}
	w.look = at
	if w.timer == nil {
		w.timer = time.AfterFunc(time.Until(at), s.look)
	} else {
		w.timer.Reset(time.Until(at))
	}
}

// look ends a session that waited too long.
func (s *session) look() {
	s.lane.mu.Lock()
	defer s.lane.mu.Unlock()
	now, w := time.Now(), &s.watch
	if s.err != nil || now.Before(w.look) { // the timer was set anew while this look waited for the lock
		return
	}
	w.look = time.Time{}
	passed := func(bound time.Time) bool { return !bound.IsZero() && !now.Before(bound) }
	if passed(w.hear) {
		w.hear = time.Time{}
		s.hire()
	}
	switch {
	case passed(w.write):
		s.fail(fmt.Errorf("the server takes nothing for %v: %w", s.lane.pool.Timeouts.block(), os.ErrDeadlineExceeded))
	case !passed(w.reply):
	case s.quitting:
		s.fail(errGoneAway)
	case s.places == 0:
		s.quit()
	default:
		s.fail(fmt.Errorf("no reply within %v: %w", s.limit(), os.ErrDeadlineExceeded))
	}
	for _, bound := range []time.Time{w.reply, w.write, w.hear} {
		if !bound.IsZero() {
			s.lookBy(bound)
		}
	}
}
