package smtp

import (
	"fmt"
	"slices"
)

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
	case alone:
		// A server that kept the caller waiting is not asked again on this connection.
		s.fail(errAbandoned)
	case t.sent():
	default:
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
}
