package smtp

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"
)

// session is a connection on which mail can be sent. Transactions stand in its queue; pump lets each send as
// much as the server's extensions and the replies so far allow, so that what leaves together makes
// one flight. One goroutine reads while replies are due, another writes while there is something to
// write: neither ever waits for the other, so no pair of full TCP windows can lock them
// (RFC 2920 s. 3.1). Both may be a caller of Deliver: see read.go and push. The lane's lock guards all fields.
type session struct {
	lane    *lane
	conn    net.Conn
	raw     net.Conn // conn without TLS: its Close never waits
	replies *replyReader
	ext     extensions
	host    string
	addr    netip.AddrPort
	tls     *tls.ConnectionState
	lmtp    bool
	tcp     bool
	socket  *socket // nil: TLS, or no plain connection of the system
	quiet   quieter // nil: it cannot be asked

	pipelining, chunking, alone bool

	queue []*transaction // oldest first
	next  int            // the first in queue that is not sent
	// places and octets are those of the transactions in queue and of those that were granted a place.
	places int
	octets int64

	out, left, spare      []byte        // appended; of what was taken the part that is not written; the buffer of that
	flushing, writing     bool          // somebody sees to out; the lock is given up for a write
	inline                *transaction  // its caller is in a Write that may wait
	reading               bool          // there is a reader
	reader                *transaction  // its caller is the reader
	interrupted           bool          // it was told to return
	appended, taken, sent int64         // octets: given to out, to the connection, and accepted by it
	moved                 chan struct{} // sent has grown

	dirty    bool // the last transaction failed: RSET before the next (RFC 5321 s. 4.1.1.5)
	err      error
	retired  bool // no more transactions
	quitting bool
	carried  int // transactions that ended here
	born     time.Time
	watch    watch
}

// window is how many transactions may be on the session at once. It opens as the server shows that it can
// keep up with what it offers: until one mail has come through there is one, and until one has
// with another behind it there are two. That few would be in doubt.
func (s *session) window() int {
	most := s.promise()
	switch {
	case !s.lane.proven:
		return 1
	case !s.lane.shared:
		return min(2, most)
	case !s.chunking:
		return min(3, most) // body and dot, DATA of the next, and one that comes
	}
	return most
}

// room says whether another transaction of that size may come.
func (s *session) room(size int64) bool {
	if s.err != nil || s.retired {
		return false
	}
	return s.places == 0 || s.places < s.window() && s.octets+size <= mostInFlight
}

// enqueue puts a granted transaction on the wire.
func (s *session) enqueue(t *transaction) {
	s.queue = append(s.queue, t)
	t.status = statusQueued
	drained := s.appended == s.sent
	s.pump()
	s.push(drained)
}

// pump gives out what may be sent now; who calls it sees to it that it is written.
func (s *session) pump() {
	for s.err == nil && s.next < len(s.queue) {
		t := s.queue[s.next]
		if err := s.send(t); err != nil {
			s.fail(err)
			return
		}
		if t.step != stepSent {
			break
		}
		s.next++
		if t.complete() { // it ended early: nothing is open before it
			s.finish(t)
		}
	}
}

// arm bounds the wait for the next reply as a whole. It counts from the last progress: a reply before
// it, or a write. An idle session has its own bound.
func (s *session) arm() {
	if s.places > 0 && !s.quitting {
		s.expectWithin(s.limit())
	}
}

// limit is how long the next reply may take. Zero: none is due.
func (s *session) limit() time.Duration {
	if len(s.queue) == 0 || !s.queue[0].due() {
		return 0
	}
	timeouts := &s.lane.pool.Timeouts
	switch p, _ := s.queue[0].expected(); p {
	case PhaseData:
		return timeouts.data()
	case PhaseFinal:
		return timeouts.final()
	}
	return timeouts.command()
}

// reply takes a reply that was read. An error says that the connection cannot go on.
func (s *session) reply() error {
	if s.quitting {
		return errGoneAway
	}
	if len(s.queue) == 0 || !s.queue[0].begun || s.queue[0].start >= s.taken {
		if s.replies.code == 421 {
			return s.goneAway(nil)
		}
		return errUnasked
	}
	t := s.queue[0]
	if !t.detached {
		t.trace.reply(s.replies)
	}
	if s.replies.code == 421 {
		return s.goneAway(t)
	}
	if !t.due() {
		return s.early(t)
	}
	if p, _ := t.expected(); p == PhaseFinal && s.replies.class() < 4 {
		if err := s.untilSent(t); err != nil {
			return err
		}
	}
	if err := t.take(s.replies); err != nil {
		return fmt.Errorf("%w: %s", err, s.replies.reply(mostText))
	}
	if t.complete() {
		s.finish(t)
	}
	s.pump()
	if s.err == nil && len(s.queue) > 0 && s.queue[0].detached && s.queue[0].step != stepSent {
		return errAbandoned
	}
	return s.err
}

// untilSent holds back the good news about a message until its last octet has been written: before
// that no server can have it.
func (s *session) untilSent(t *transaction) error {
	if t.end > s.taken {
		return errUnasked
	}
	for t.end > s.sent && s.err == nil {
		var gone chan struct{} // the caller that reads is woken when its context ends
		if s.reader != nil {
			gone = s.reader.wake
		}
		s.lane.mu.Unlock()
		select {
		case <-s.moved:
		case <-gone:
		}
		s.lane.mu.Lock()
		if s.interrupted {
			return errAbandoned
		}
	}
	return s.err
}

// early takes a reply that comes while the message is still being sent. A refusal is one; the rest of
// the message is spared.
func (s *session) early(t *transaction) error {
	if t.step != stepStream || s.replies.class() < 4 {
		return errUnasked
	}
	reply, err := t.refusal(PhaseData, s.replies)
	t.decideAll(PhaseData, reply, err)
	return errEarly
}

var (
	errEarly     = errors.New("the message was refused before it was sent")
	errAbandoned = errors.New("the mail was given up")
	errSource    = errors.New("the message could not be sent to its end")
)

// goneAway takes a 421: the server closes the connection and has taken nothing that it has not
// answered (RFC 5321 s. 3.8).
func (s *session) goneAway(t *transaction) error {
	if t != nil {
		p := t.phase()
		if p == PhaseMail && s.carried > 0 {
			// It had its fill, or was idle for too long.
			t.retry(&ReplyError{Phase: p, Reply: s.replies.reply(mostText), Host: s.host})
		} else {
			reply, err := t.refusal(p, s.replies)
			t.decideAll(p, reply, err)
		}
	}
	return errGoneAway
}

// finish takes the first transaction off the queue: all its replies are there.
func (s *session) finish(t *transaction) {
	s.drop(t)
	s.dirty = t.failed || t.mailErr != nil || t.accepted == 0
	s.carried++
	if s.dirty && len(s.queue) > 0 && s.queue[0].begun && !s.queue[0].reset {
		s.queue[0].astray = true
		s.lane.resetUntil = time.Now().Add(remembered)
	}
	if !s.dirty {
		s.lane.proven = true
		s.lane.shared = s.lane.shared || len(s.queue) > 0 && s.queue[0].begun
	}
	mishandled := s.mishandled(t)
	t.settle()
	if mishandled != nil {
		s.fail(mishandled)
		return
	}
	s.lane.freed(s)
}

// drop takes the first transaction off the queue.
func (s *session) drop(t *transaction) {
	s.queue = slices.Delete(s.queue, 0, 1)
	s.next = max(0, s.next-1)
	s.release(t)
}

// giveBack ends a transaction that got a place on the session and has not used it.
func (s *session) giveBack(t *transaction) {
	t.status = statusDone
	s.release(t)
	s.lane.freed(s)
}

// release gives back a transaction's place.
func (s *session) release(t *transaction) {
	s.places--
	s.octets -= t.reserved
	t.reserved = 0
}
