package smtp

import (
	"strconv"
	"time"
)

// send appends to the session's output what t may send now: all of it with PIPELINING and CHUNKING, up to
// DATA with PIPELINING alone (RFC 2920 s. 3.1), one command without.
func (s *session) send(t *transaction) error {
	if t.detached {
		return nil
	}
	for t.step != stepSent && (s.pipelining || !t.due()) {
		more, err := s.advance(t)
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// advance takes the transaction one step further. more is false where a reply must come first.
func (s *session) advance(t *transaction) (more bool, err error) {
	switch t.step {
	case stepReset:
		err = s.begin(t)
	case stepMail:
		t.step = stepRcpt
		err = s.command(t, t.mailLine)
	case stepRcpt:
		switch {
		case t.mailErr != nil:
			t.step = stepSent
		case t.rcpts == len(t.to):
			t.step = stepData
		default:
			t.rcpts++
			err = s.command(t, rcptLine(&t.to[t.rcpts-1], &s.ext))
		}
	case stepData:
		return s.sendData(t)
	case stepBody:
		return s.sendBody(t)
	default:
		return false, nil
	}
	return true, err
}

// begin writes MAIL, and decides whether RSET must go before it.
func (s *session) begin(t *transaction) error {
	t.begun, t.start, t.step = true, s.appended, stepMail
	t.mailLine = mailLine(t.envelope, &s.ext, t.body.size, t.body.eightBit, time.Now())
	if !s.mustReset() {
		return nil
	}
	t.reset = true
	return s.command(t, "RSET")
}

// mustReset says whether the transaction before this one leaves something on the server that must go first. RSET
// belongs behind a failed transaction only. One that is not answered yet may turn out to be one, and what follows
// it is on the way by then:
//
//   - by DATA the next head follows a body whose recipients are accepted, which ends with its dot
//     (RFC 5321 s. 4.1.1.4), and the next body waits for its fate. Where that is bad and the server is
//     not to be trusted, no body follows: see dataReply. Then RSET goes here, too, for a while.
//   - by BDAT the next body is on the way as well. Servers may keep what failed (RFC 3030 s. 2), and Exim (4.96) does when it
//     accepted no recipient: the next mail would go out under the sender of this one. RSET may stand
//     anywhere in a flight (RFC 2920 s. 3.1) and costs no round trip.
func (s *session) mustReset() bool {
	if s.next == 0 {
		return s.dirty
	}
	before := s.queue[s.next-1]
	return s.chunking || !before.data || before.accepted == 0 || time.Now().Before(s.lane.resetUntil)
}

// command appends a command of a transaction.
func (s *session) command(t *transaction, line string) error {
	before := len(s.out)
	out, err := command(s.out, line)
	if err != nil {
		return err
	}
	s.out = out
	s.appended += int64(len(out) - before)
	t.asked++
	t.trace.command(line)
	return nil
}

// sendData says DATA, or BDAT with the message.
func (s *session) sendData(t *transaction) (more bool, err error) {
	if t.mailErr != nil {
		t.step = stepSent
		return true, nil
	}
	if t.answered >= t.asked { // all of RCPT is answered
		if t.accepted == 0 {
			t.step = stepSent
			return true, nil
		}
	} else if !t.body.small {
		return false, nil // refused recipients shall not cost a large message
	}
	if !s.chunking || t.body.size < 0 {
		t.step, t.data = stepBody, true
		return true, s.command(t, "DATA")
	}
	if err := s.command(t, "BDAT "+strconv.FormatInt(t.body.size, 10)+" LAST"); err != nil {
		return false, err
	}
	if !t.body.small {
		t.asked-- // the reply is due after the last octet
		s.startStream(t)
		return false, nil
	}
	s.put(t.body.data)
	s.ended(t)
	return true, nil
}

// sendBody sends the message after 354.
func (s *session) sendBody(t *transaction) (more bool, err error) {
	if t.due() {
		return false, nil
	}
	switch {
	case t.accepted == 0:
		// The server said 354 though it has refused all recipients. It expects a message and gets none
		// (RFC 2920 s. 3.1).
		s.put([]byte(".\r\n"))
		t.asked++
		t.end, t.step = s.appended, stepSent
		t.trace.command(".")
		return true, nil
	case !t.body.small:
		s.startStream(t)
		return false, nil
	}
	before := len(s.out)
	var dots stuffer
	s.out = append(dots.append(s.out, t.body.data), ".\r\n"...)
	s.appended += int64(len(s.out) - before)
	t.asked++
	s.ended(t)
	return true, nil
}

// ended notes that the last octet of the message is given to the session.
func (s *session) ended(t *transaction) {
	t.end, t.step = s.appended, stepSent
	t.trace.body(t.body.size)
}

// put appends octets that need no answer.
func (s *session) put(b []byte) {
	s.out = append(s.out, b...)
	s.appended += int64(len(b))
}
