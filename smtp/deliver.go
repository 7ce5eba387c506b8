package smtp

import (
	"context"
	"errors"
	"strings"
	"time"
)

// mostRecipients is how many recipients one transaction has at most. Servers must take 100
// (RFC 5321 s. 4.5.3.1.8), most take 1000, and one that takes fewer says so.
const mostRecipients = 1000

// mostTries bounds the connections that one transaction is tried on. It is tried again only when
// nothing of it can have been accepted and the cause lay with the connection.
const mostTries = 3

// Deliver sends one envelope to the server and returns one result for each recipient, in
// their order. It returns when all fates are known, or as soon as ctx ends; what a result says then is
// whether the mail may have been accepted (ErrUnsure). The results are the caller's.
func (p *Pool) Deliver(ctx context.Context, s *Server, e *Envelope) []Result {
	started := time.Now()
	if err := check(e); err != nil {
		return p.failed(e, s, started, err)
	}
	if err := ctx.Err(); err != nil {
		return p.failed(e, s, started, &ConnError{Phase: PhaseLocal, Host: s.Host, Err: context.Cause(ctx)})
	}
	l := p.lane(s)
	if l == nil {
		return p.failed(e, s, started, ErrClosed)
	}
	defer l.left()
	results := make([]Result, len(e.To))
	for from := 0; from < len(e.To); {
		part := e.To[from:min(len(e.To), from+mostRecipients)]
		t := newTransaction(ctx, p, e, part, results[from:from+len(part)], started)
		l.carry(t)
		l.carryRest(t)
		from += len(t.to)
	}
	return results
}

func (p *Pool) failed(e *Envelope, s *Server, started time.Time, err error) []Result {
	if e == nil {
		return nil
	}
	results := Failed(e, PhaseLocal, s.Host, err)
	for i := range results {
		results[i].Started, results[i].Duration = started, time.Since(started)
	}
	return results
}

// left counts a caller of Deliver out.
func (l *lane) left() {
	l.mu.Lock()
	l.users--
	l.mu.Unlock()
}

// carry brings one transaction to its end.
func (l *lane) carry(t *transaction) {
	defer t.body.free()
	if t.ctx.Done() != nil {
		defer context.AfterFunc(t.ctx, func() { l.gone(t) })()
	}
	for try := 0; ; {
		if !l.attempt(t) {
			return
		}
		if !t.stale {
			try++
		}
		if try == mostTries || t.ctx.Err() != nil {
			l.settleCause(t)
			return
		}
		l.mu.Lock()
		t.rewind()
		l.mu.Unlock()
	}
}

// gone is called when the context of a transaction has ended, whatever its caller is doing then.
func (l *lane) gone(t *transaction) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cancel(t)
}

// settleCause gives up a transaction that was to be tried again.
func (l *lane) settleCause(t *transaction) {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := t.cause
	if t.ctx.Err() != nil {
		err = &ConnError{Phase: PhaseConnect, Host: l.server.Host, Err: context.Cause(t.ctx)}
	}
	if err == nil {
		err = &ConnError{Phase: PhaseMail, Host: l.server.Host, Err: errMishandled}
	}
	phase, reply := PhaseMail, Reply{}
	if e, ok := as[*ReplyError](err); ok {
		phase, reply = e.Phase, e.Reply
	} else if e, ok := as[*ConnError](err); ok {
		phase = e.Phase
	}
	clear(t.fates)
	t.decideAll(phase, reply, err)
}

// attempt carries the transaction on one session, and says whether to try another. The replies to one that was given
// up still come, and may change what the lock guards: it is not tried again, whatever they say.
func (l *lane) attempt(t *transaction) (again bool) {
	if !l.await(t) {
		return false
	}
	err := l.prepare(t)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.transact(t, err)
	return t.again && !t.detached
}

// transact puts the transaction on its session, unless prepare has failed, and waits for its end.
func (l *lane) transact(t *transaction, err error) {
	s := t.session
	if t.status != statusDone && t.ctx.Err() != nil {
		l.cancel(t)
	}
	if t.status == statusDone {
		return
	}
	if err != nil {
		t.decideAll(PhaseLocal, Reply{}, withHost(err, s.host))
		s.giveBack(t)
		return
	}
	if !s.silent() { // an end, a 421, or what nobody asked for
		s.retired = true
		err = errLost
	} else if s.err != nil {
		err = s.err
	}
	if err != nil {
		t.again, t.stale, t.cause = true, s.carried > 0, &ConnError{Phase: PhaseMail, Host: s.host, Addr: s.addr, Err: err}
		s.giveBack(t)
		return
	}
	if s.carried > 0 {
		t.trace.reused(s.host, s.addr)
	}
	s.enqueue(t)
	for t.status != statusDone {
		switch {
		case t.status == statusStream:
			l.mu.Unlock()
			s.stream(t)
			l.mu.Lock()
		case s.quiet != nil && !s.reading && s.err == nil:
			s.read(t)
		default:
			l.sleep(t)
		}
	}
}

// prepare reads a small message and asks whether the server of the session can take it.
func (l *lane) prepare(t *transaction) error {
	s := t.session
	now := time.Now()
	e := t.envelope
	if err := fits(e, &s.ext, s.tls != nil, s.lmtp, now); err != nil {
		return err
	}
	if e.Binary && !s.chunking {
		// DATA must not carry it (RFC 3030 s. 3): a dot between bare line feeds may end the message early.
		return lacks("BINARYMIME", EnhancedCode{4, 6, 3}, "the server was found to mishandle BDAT or PIPELINING, the message needs BDAT")
	}
	if !e.DeliverBy.IsZero() && !e.DeliverBy.After(now) {
		return envelopeError(EnhancedCode{5, 4, 7}, "the time for delivery has passed")
	}
	if err := t.body.load(t.ctx, e); err != nil {
		return err
	}
	if t.body.eightBit && !e.Binary && !s.ext.eightBit {
		return lacks("8BITMIME", EnhancedCode{5, 6, 3}, "the server has no 8BITMIME, which the message needs")
	}
	if s.ext.size && s.ext.sizeLimit > 0 && t.body.size > s.ext.sizeLimit {
		return lacks("SIZE", EnhancedCode{5, 3, 4}, "the message has %d octets, the server takes %d", t.body.size, s.ext.sizeLimit)
	}
	return nil
}

// portion is how many of the recipients one transaction may have (RFC 9422 s. 4.2 and 4.3).
func portion(to []Recipient, l *limits) int {
	n := len(to)
	if l.rcpt > 0 {
		n = min(n, l.rcpt)
	}
	if l.domains == 0 {
		return n
	}
	seen := make(map[string]bool)
	for i := range n {
		a := to[i].Address
		seen[strings.ToLower(a[strings.LastIndexByte(a, '@')+1:])] = true
		if len(seen) > l.domains {
			return i
		}
	}
	return n
}

// carryRest sends the mail to those recipients for whom the transaction had no room: a server answers
// them with 452 and shall be asked again at once, in another one (RFC 5321 s. 4.5.3.1.10). It stops
// when that leads no further.
func (l *lane) carryRest(t *transaction) {
	for before := len(t.results); ; {
		var at []int
		var to []Recipient
		for i := range t.results {
			if tooMany(&t.results[i]) {
				at, to = append(at, i), append(to, t.to[i])
			}
		}
		if len(at) == 0 || len(at) >= before {
			return
		}
		before = len(at)
		rest := newTransaction(t.ctx, l.pool, t.envelope, to, make([]Result, len(to)), t.started)
		l.carry(rest)
		for i := range rest.results {
			t.results[at[i]] = rest.results[i]
		}
	}
}

// tooMany says that a recipient was one too many for the transaction, not refused for itself.
func tooMany(r *Result) bool {
	e, ok := as[*ReplyError](r.Err)
	return ok && e.Phase == PhaseRcpt && e.Reply.Code == 452 && e.Reply.Enhanced == EnhancedCode{4, 5, 3}
}

// brokenTLS says that a connection was lost to TLS itself, which plaintext might not meet.
func brokenTLS(err error) bool {
	if errors.Is(err, errHandshake) {
		return true
	}
	e, ok := as[*ConnError](err)
	return ok && e.Phase == PhaseTLS && !errors.Is(err, ErrTLS)
}
