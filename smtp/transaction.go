package smtp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// mostText bounds the text that a result keeps of a reply, mostTextAll that of all the recipients of
// a transaction: a server may refuse a thousand recipients with 64 KB each.
const (
	mostText    = 2048
	mostTextAll = 64 << 10
)

// step is what of a transaction is to be sent next.
type step uint8

const (
	stepReset step = iota
	stepMail
	stepRcpt
	stepData   // DATA, or BDAT with a body from memory
	stepBody   // the body after 354
	stepStream // the body is being read and sent by the caller
	stepSent   // nothing more
)

// fate is what is known of one recipient.
type fate uint8

const (
	fateOpen     fate = iota
	fateAccepted      // by RCPT; the message is not
	fateDecided       // the result stands
)

// status says where a transaction is.
type status uint8

const (
	statusWaiting status = iota // for a session
	statusGranted               // it has a place on a session
	statusQueued                // on the session
	statusStream                // on the session; its caller shall send the body
	statusDone                  // the results stand, or again is set
)

// transaction is the sending of one envelope to one part of its recipients (RFC 5321 s. 3.3). Commands go
// out by steps, replies come in the same order; how far apart the two may be is the session's
// decision. The lane's lock guards all but what load sets.
type transaction struct {
	ctx      context.Context
	trace    tracer
	envelope *Envelope
	to       []Recipient
	results  []Result
	body     body
	started  time.Time
	wake     chan struct{} // status has changed

	status   status
	session  *session
	reserved int64

	// sending
	step       step
	reset      bool // RSET goes before MAIL
	data       bool // DATA was sent, not BDAT
	mailLine   string
	rcpts      int // RCPT commands sent
	asked      int // replies that are or will be due for what was sent
	start, end int64
	begun      bool
	detached   bool // the caller has gone; replies are only counted

	// receiving
	answered    int
	mailErr     error // MAIL was refused
	resetFailed bool
	nested      bool // MAIL was refused because the server would not leave the last transaction
	astray      bool // MAIL went, without RSET, behind a transaction that failed after that
	fates       []fate
	accepted    int
	finals      int // final replies received
	lastCode    int
	text        int // octets of reply text kept
	failed      bool

	speaksOfPipelining bool

	again bool // nothing was accepted, and the cause was the connection: another may do
	cause error
	stale bool // the connection had ended before anything of it was sent: it does not count as a try
}

func newTransaction(ctx context.Context, p *Pool, e *Envelope, to []Recipient, results []Result, started time.Time) *transaction {
	t := &transaction{ctx: ctx, trace: traceOf(ctx, p.Trace), envelope: e, to: to, results: results, started: started,
		wake: make(chan struct{}, 1)}
	t.fates = make([]fate, len(to))
	return t
}

// notify wakes the caller.
func (t *transaction) notify() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// settle tells the caller that the results stand.
func (t *transaction) settle() {
	t.status = statusDone
	t.notify()
}

// rewind prepares the transaction for another session.
func (t *transaction) rewind() {
	*t = transaction{ctx: t.ctx, trace: t.trace, envelope: t.envelope, to: t.to, results: t.results, body: t.body, started: t.started,
		wake: t.wake, fates: t.fates}
	clear(t.fates)
	clear(t.results)
}

// expected says which command the next reply is to. For PhaseRcpt it gives the recipient.
func (t *transaction) expected() (p Phase, rcpt int) {
	n := t.answered
	if t.reset {
		if n == 0 {
			return "", 0
		}
		n--
	}
	switch {
	case n == 0:
		return PhaseMail, 0
	case n <= t.rcpts:
		return PhaseRcpt, n - 1
	case n == t.rcpts+1 && t.data:
		return PhaseData, 0
	}
	return PhaseFinal, 0
}

// phase is expected for people: where the dialogue stands.
func (t *transaction) phase() Phase {
	p, _ := t.expected()
	switch {
	case p == "":
		return PhaseMail
	case p == PhaseFinal && (t.step == stepBody || t.step == stepStream || t.step == stepData):
		return PhaseData
	case p == PhaseRcpt && t.answered == t.asked:
		return PhaseData
	}
	return p
}

// sent says that all octets of the message have been given to the session.
func (t *transaction) sent() bool { return t.end > 0 }

// decide gives one recipient its result.
func (t *transaction) decide(i int, p Phase, reply Reply, err error) {
	if t.fates[i] == fateDecided {
		return
	}
	t.fates[i] = fateDecided
	s := t.session
	r := &t.results[i]
	*r = Result{Recipient: t.to[i].Address, Err: err, Phase: p, Reply: reply, Started: t.started, Duration: time.Since(t.started)}
	if s != nil {
		r.Host, r.Addr, r.TLS = s.host, s.addr, s.tls
	} else if e, ok := as[*ConnError](err); ok {
		r.Host, r.Addr = e.Host, e.Addr
	} else if e, ok := as[*ReplyError](err); ok {
		r.Host = e.Host
	}
	if t.sent() {
		r.Size = t.body.size
	}
}

// decideAll gives all that are still open their result.
func (t *transaction) decideAll(p Phase, reply Reply, err error) {
	for i := range t.to {
		t.decide(i, p, reply, err)
	}
}

// retry has the transaction tried again on another session, unless its caller has gone: the cause lies
// with the connection.
func (t *transaction) retry(cause error) {
	if !t.detached {
		t.again, t.cause = true, cause
	}
}

// decideAccepted gives those their result whose RCPT was accepted.
func (t *transaction) decideAccepted(p Phase, reply Reply, err error) {
	for i := range t.to {
		if t.fates[i] == fateAccepted {
			t.decide(i, p, reply, err)
		}
	}
}

// refusal makes the error for a reply that is not the hoped-for one.
func (t *transaction) refusal(p Phase, r *replyReader) (Reply, error) {
	reply := r.reply(max(0, min(mostText, mostTextAll-t.text)))
	t.text += len(reply.Text)
	if reply.Positive() {
		return reply, &ConnError{Phase: p, Host: t.session.host, Addr: t.session.addr, Err: fmt.Errorf("%w: %s", errUnexpected, reply)}
	}
	return reply, &ReplyError{Phase: p, Reply: reply, Host: t.session.host}
}

var (
	errUnexpected = errors.New("unexpected reply")
	errUnasked    = errors.New("a reply to nothing that was asked")
	errGoneAway   = errors.New("the server closes the connection")
)

// take takes the next reply. An error says that the connection cannot go on.
func (t *transaction) take(r *replyReader) error {
	p, rcpt := t.expected()
	t.answered++
	t.lastCode = r.code
	t.speaksOfPipelining = t.speaksOfPipelining || speaksOfPipelining(r)
	switch p {
	case "": // RSET: its failure changes nothing by itself
		if t.resetFailed = r.class() != 2; t.resetFailed {
			// Nothing goes behind an unanswered transaction where the one does not leave the other's recipients alone.
			t.session.lane.aloneUntil = time.Now().Add(remembered)
		}
		return nil
	case PhaseMail:
		return t.mailReply(r)
	case PhaseRcpt:
		return t.rcptReply(r, rcpt)
	case PhaseData:
		return t.dataReply(r)
	}
	return t.finalReply(r)
}

func (t *transaction) mailReply(r *replyReader) error {
	switch r.class() {
	case 2:
		return nil
	case 3:
		return errUnexpected
	}
	reply, err := t.refusal(PhaseMail, r)
	t.mailErr = err
	if (t.resetFailed || t.astray) && r.code == 503 {
		// "Nested MAIL", for the server would not leave the last transaction. This mail can do nothing for it.
		if !t.sent() {
			t.retry(err)
			return errMishandled
		}
		t.nested = true
		return nil
	}
	t.decideAll(PhaseMail, reply, err)
	return nil
}

func (t *transaction) rcptReply(r *replyReader, i int) error {
	if t.mailErr != nil {
		return nil
	}
	switch r.class() {
	case 2:
		t.accepted++
		if t.fates[i] == fateOpen { // else the caller has gone with its results
			t.fates[i] = fateAccepted
		}
		return nil
	case 3:
		return errUnexpected
	}
	reply, err := t.refusal(PhaseRcpt, r)
	t.decide(i, PhaseRcpt, reply, err)
	return nil
}

// dataReply takes the reply to DATA.
func (t *transaction) dataReply(r *replyReader) error {
	if r.code == 354 {
		if t.mailErr != nil {
			// Whose mail would this be? A message must not end here.
			return errUnexpected
		}
		if t.astray {
			// The last mail was refused at its end, and nothing shows that its recipients would not get this one.
			t.retry(nil)
			return errMishandled
		}
		return nil
	}
	if r.class() < 4 {
		return errUnexpected
	}
	reply, err := t.refusal(PhaseData, r)
	t.decideAll(PhaseData, reply, err)
	t.step, t.failed = stepSent, true
	return nil
}

// finalReply takes a reply to the whole message: in LMTP one for each accepted recipient, in their order
// (RFC 2033 s. 4.2), else one for all.
func (t *transaction) finalReply(r *replyReader) error {
	t.finals++
	if t.mailErr != nil && (r.class() == 2 || t.nested && t.session.lmtp) {
		clear(t.fates) // the server took a mail that it refused before, or for others may have: nobody knows
		return errUnexpected
	}
	if t.nested {
		t.failed = true
		t.retry(t.mailErr)
		return nil
	}
	if t.accepted == 0 || t.mailErr != nil {
		t.failed = true
		return nil
	}
	if r.class() == 3 {
		return errUnexpected
	}
	reply, err := r.reply(mostText), error(nil)
	if r.class() != 2 {
		reply, err = t.refusal(PhaseFinal, r)
	}
	if !t.session.lmtp {
		t.failed = err != nil
		t.decideAccepted(PhaseFinal, reply, err)
		return nil
	}
	t.failed = t.failed || err != nil
	for i := range t.to {
		if t.fates[i] == fateAccepted {
			t.decide(i, PhaseFinal, reply, err)
			break
		}
	}
	return nil
}

// complete says that no more replies will come.
func (t *transaction) complete() bool {
	if t.step != stepSent {
		return false
	}
	if !t.sent() {
		return t.answered >= t.asked
	}
	if t.session.lmtp {
		return t.finals >= max(1, t.accepted)
	}
	return t.finals > 0
}

// due says that a reply is to come.
func (t *transaction) due() bool {
	if t.sent() {
		return !t.complete()
	}
	return t.answered < t.asked
}

// lost settles what the end of the connection leaves open. gone says that the server has taken
// nothing that it did not answer.
func (t *transaction) lost(err error, gone bool) {
	s := t.session
	if t.detached || t.again || !slices.ContainsFunc(t.fates, func(f fate) bool { return f != fateDecided }) {
		return
	}
	lost := &ConnError{Phase: t.phase(), Host: s.host, Addr: s.addr, Err: err}
	switch {
	case t.sent() && t.end <= s.sent && !gone:
		lost.Err = fmt.Errorf("%w: %w", ErrUnsure, err)
		t.decideAll(lost.Phase, Reply{}, lost)
	case !t.begun, t.start >= s.sent, gone, s.learn(t), t.answered == 0 && s.carried > 0:
		// Nothing of it was seen, or it met a connection that had been closed while it was idle.
		t.retry(lost)
	default:
		t.decideAll(lost.Phase, Reply{}, lost)
	}
}
