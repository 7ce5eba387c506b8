package smtp

import (
	"context"
	"crypto/tls"
	"slices"
	"sync"
	"time"
)

// mostInFlight bounds the octets of messages on a session whose replies are not there: it is what memory
// a stalled server can hold, and what is in doubt when the connection is lost.
const mostInFlight = 512 << 10

// lane holds the sessions with one Server and the transactions that wait for one. mu guards it, its
// sessions and its transactions.
type lane struct {
	pool   *Pool
	mu     sync.Mutex
	server Server

	sessions []*session
	waiting  []*transaction // oldest first
	dials    []*dialing
	resume   tls.ClientSessionCache

	proven          bool // a mail came through with the extensions in use
	shared          bool // one did while another was already behind it
	lockstepUntil   time.Time
	aloneUntil      time.Time // one transaction at a time
	noChunkingUntil time.Time
	resetUntil      time.Time // RSET behind a body that is not answered
	noDialUntil     time.Time // a further connection was refused while others stand
	users           int       // callers of Deliver
}

// dialing is a connection that is being made.
type dialing struct {
	cancel context.CancelFunc
	phase  phaseMark
}

// await gives the transaction a place on a session, and waits for it as long as that takes. It says
// false when the results stand instead.
func (l *lane) await(t *transaction) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.pool.closed.Load() { // since the last try
		t.decideAll(PhaseLocal, Reply{}, ErrClosed)
		t.settle()
		return false
	}
	t.status = statusWaiting
	l.waiting = append(l.waiting, t)
	if t.ctx.Err() != nil { // its end may have been seen before it waited
		l.cancel(t)
	}
	l.place()
	for t.status == statusWaiting {
		l.sleep(t)
	}
	return t.status == statusGranted
}

// sleep waits for a change of t's status, which the end of its context is, too. It gives up the lock meanwhile.
func (l *lane) sleep(t *transaction) {
	l.mu.Unlock()
	<-t.wake
	l.mu.Lock()
}

// place gives places to those that wait, in their order, and dials where places lack.
func (l *lane) place() {
	for len(l.waiting) > 0 {
		t := l.waiting[0]
		s := l.pick(t)
		if s == nil {
			break
		}
		l.waiting[0] = nil
		l.waiting = l.waiting[1:]
		s.places++
		t.reserved = t.weight()
		s.octets += t.reserved
		if s.places == 1 {
			s.expectWithin(0) // no longer idle
			s.hearWithin(0)
		}
		n := portion(t.to, &s.ext.limits)
		t.to, t.results, t.fates = t.to[:n], t.results[:n], t.fates[:n]
		t.session, t.status = s, statusGranted
		t.notify()
	}
	l.dialMore()
}

// weight is what of mostInFlight a message takes before more is known of it.
func (t *transaction) weight() int64 {
	if t.body.loaded && t.body.small {
		return t.body.size
	}
	if size := t.envelope.Size; size >= 0 {
		return min(size, mostInFlight)
	}
	return speculative
}

// pick chooses a session: an idle one, the last used first, else the least busy with room.
func (l *lane) pick(t *transaction) (best *session) {
	weight := t.weight()
	for _, s := range slices.Backward(l.sessions) {
		if s.places == 0 && s.worn() {
			s.quit()
		}
		if s.room(weight) && !s.worn() && (best == nil || s.places < best.places) {
			best = s
		}
	}
	return best
}

// dialMore begins connections while those that stand or are on their way have no places for all
// that wait.
func (l *lane) dialMore() {
	lack := len(l.waiting)
	if lack == 0 {
		for _, d := range l.dials {
			d.cancel() // nobody waits for it any more
		}
		return
	}
	standing := 0
	for _, s := range l.sessions {
		if s.err == nil && !s.quitting {
			standing++
		}
		if s.err == nil && !s.retired {
			lack -= max(0, s.promise()-s.places)
		}
	}
	if standing > 0 && time.Now().Before(l.noDialUntil) {
		return
	}
	lack -= len(l.dials) * l.promise()
	for lack > 0 && standing+len(l.dials) < l.pool.maxConns() {
		l.dial(l.waiting[len(l.waiting)-min(lack, len(l.waiting))])
		lack -= l.promise()
	}
}

// promise is how many transactions a new connection is expected to bear.
func (l *lane) promise() int {
	if now := time.Now(); now.Before(l.lockstepUntil) || now.Before(l.aloneUntil) {
		return 1
	}
	return l.pool.inFlight()
}

func (s *session) promise() int {
	if s.alone || !s.pipelining {
		return 1
	}
	return s.lane.promise()
}

// dial begins a connection on behalf of t. It lives on for others when t's caller goes.
func (l *lane) dial(t *transaction) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.ctx))
	d := &dialing{cancel: cancel}
	l.dials = append(l.dials, d)
	go l.connect(ctx, d, l.server, t.trace)
}

func (l *lane) connect(ctx context.Context, d *dialing, server Server, trace tracer) {
	defer d.cancel()
	s, err := l.open(ctx, &server, &d.phase, trace)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dials = slices.DeleteFunc(l.dials, func(o *dialing) bool { return o == d })
	if err != nil {
		l.refused(err, ctx.Err() != nil)
		return
	}
	l.sessions = append(l.sessions, s)
	l.pool.live(+1)
	if s.quiet == nil {
		s.hire()
	}
	if l.pool.closed.Load() {
		s.quit()
		return
	}
	l.freed(s)
}

// refused settles those who wait when a connection could not be made and there is no other.
func (l *lane) refused(err error, canceled bool) {
	if canceled { // by dialMore, as nobody waited; someone may wait by now
		l.place()
		return
	}
	l.noDialUntil = time.Now().Add(dialPause)
	if len(l.dials) > 0 || slices.ContainsFunc(l.sessions, func(s *session) bool { return s.err == nil && !s.retired }) {
		return
	}
	l.noDialUntil = time.Time{}
	l.giveUp(err)
}

// dialPause is waited before a further connection is tried, after one failed while others stand: servers
// limit the connections of one client.
const dialPause = 5 * time.Second

// giveUp settles all that wait.
func (l *lane) giveUp(err error) {
	phase, reply := PhaseConnect, Reply{}
	if e, ok := as[*ConnError](err); ok {
		phase = e.Phase
	}
	if e, ok := as[*ReplyError](err); ok {
		phase, reply = e.Phase, e.Reply
	}
	for _, t := range l.waiting {
		t.decideAll(phase, reply, err)
		t.settle()
	}
	l.waiting = nil
}

// freed looks at a session after a place on it became free.
func (l *lane) freed(s *session) {
	if s.err != nil {
		return
	}
	l.place()
	if s.places > 0 || s.quitting {
		return
	}
	if s.retired || s.worn() || !l.pool.keep() {
		s.quit()
		return
	}
	s.trim()
	s.expectWithin(l.pool.idleTime())
	if s.quiet != nil {
		s.hearWithin(unheard)
	}
}

// worn says that the session has done its part.
func (s *session) worn() bool {
	p := s.lane.pool
	return s.carried+s.places >= p.maxMessages() || time.Since(s.born) >= p.maxAge() ||
		s.ext.limits.mail > 0 && s.carried+s.places >= s.ext.limits.mail
}

// removed takes a dead session out of the lane.
func (l *lane) removed(s *session) {
	l.sessions = slices.DeleteFunc(l.sessions, func(o *session) bool { return o == s })
	l.pool.live(-1)
	l.place()
}

// cancel settles a transaction whose caller goes.
func (l *lane) cancel(t *transaction) {
	cause := context.Cause(t.ctx)
	switch t.status {
	case statusDone:
		return
	case statusWaiting:
		l.waiting = slices.DeleteFunc(l.waiting, func(o *transaction) bool { return o == t })
		phase := PhaseConnect
		if n := len(l.dials); n > 0 && l.dials[n-1].phase.get() != "" {
			phase = l.dials[n-1].phase.get()
		}
		t.decideAll(phase, Reply{}, &ConnError{Phase: phase, Host: l.server.Host, Err: cause})
		t.settle()
		l.place()
	case statusGranted:
		t.decideAll(PhaseLocal, Reply{}, &ConnError{Phase: PhaseLocal, Host: l.server.Host, Err: cause})
		t.session.giveBack(t)
	default:
		t.session.abandon(t, cause)
	}
}
