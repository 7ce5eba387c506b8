package smtp

import (
	"bytes"
	"errors"
	"time"
)

// remembered is how long a server is handled without what it has mishandled.
const remembered = 30 * time.Minute

// learn judges a connection that ended in the middle of the replies to the first pipelined flight that
// the server has ever got from us: such servers throw away what came with the first command, or
// cannot bear it. It says whether the transaction may be tried again in lockstep.
func (s *session) learn(t *transaction) bool {
	if !s.pipelining || s.lane.proven || t.answered == 0 || t.answered >= t.asked {
		return false
	}
	s.lane.lockstepUntil = time.Now().Add(remembered)
	return !t.sent()
}

// crashesWhenShared knows servers by their greeting that die when MAIL and RCPT of the next transaction
// come before the last one has ended, though RFC 2920 and 3030 allow it and they offer it: Dovecot
// (2.3) takes the mail and ends with a failed assertion before it says so.
func crashesWhenShared(greeting []byte) bool {
	return bytes.Contains(bytes.ToLower(greeting), []byte("dovecot"))
}

// learnLoss judges a connection that was lost with several transactions in flight: unless it is known that
// the server can bear that, it gets one at a time for a while. A server that could is given the benefit
// of the doubt, once.
func (s *session) learnLoss(err error) {
	begun := 0
	for _, t := range s.queue {
		if t.begun {
			begun++
		}
	}
	if begun < 2 || errors.Is(err, errGoneAway) || errors.Is(err, errAbandoned) || errors.Is(err, errSource) {
		return
	}
	if !s.lane.shared {
		s.lane.aloneUntil = time.Now().Add(remembered)
	}
	s.lane.shared = false
}

var errMishandled = errors.New("the server mishandles what it offers")

// mishandled judges a finished transaction that the server refused in a way that speaks of BDAT or
// PIPELINING, not of the mail. It is to be tried again on another connection without them; this one
// must be closed, for the server may be reading the message as commands.
func (s *session) mishandled(t *transaction) error {
	if t.detached || !t.failed && t.mailErr == nil && t.accepted > 0 {
		return nil
	}
	if t.sent() && !t.data && t.mailErr == nil && t.accepted > 0 && !s.lmtp && unknownCommand(t.lastCode) {
		s.lane.noChunkingUntil = time.Now().Add(remembered)
		t.again = true
	}
	if t.nested { // RSET goes before the next try
		return nil
	}
	if s.pipelining && t.speaksOfPipelining {
		s.lane.lockstepUntil = time.Now().Add(remembered)
		t.again = !t.delivered()
	}
	if t.again {
		return errMishandled
	}
	return nil
}

// unknownCommand says that a reply code speaks of the command, not of the mail.
func unknownCommand(code int) bool {
	return code == 500 || code == 502 || code == 503 || code == 504
}

// speaksOfPipelining finds servers that say that they do not want it, though they offered it.
func speaksOfPipelining(r *replyReader) bool {
	return r.class() == 5 && bytes.Contains(bytes.ToLower(r.text), []byte("pipelin"))
}

// delivered says that the mail was accepted for someone.
func (t *transaction) delivered() bool {
	for i := range t.results {
		if t.fates[i] == fateDecided && t.results[i].Err == nil {
			return true
		}
	}
	return false
}
