package mxtest

import (
	"time"

	"github.com/miekg/dns"
)

// Fault is a way to misbehave. The fields combine; the zero value changes nothing.
type Fault struct {
	// Type is the type of the questions that fail. Zero: all.
	Type uint16
	// Rcode, such as dns.RcodeServerFailure, is the answer, without any record. Zero: the true answer.
	Rcode int
	// Delay passes before the answer.
	Delay time.Duration
	// Drop never answers.
	Drop bool
	// Truncate answers over UDP, and in process, with the TC bit and without records. Over TCP the
	// answer is whole.
	Truncate bool
	// Times is how many questions fail before the fault is gone. Zero: all.
	Times int
	// Mangle turns the true answer into what is sent instead: nothing, a changed message, or several
	// messages one after the other. In process only the first one counts. It must not use the Zone,
	// which is locked. Nil: the answer as it is.
	Mangle func(answer *dns.Msg) []*dns.Msg

	name string
}

// Fail makes questions about the name and everything below it fail; "." means every name. Of several
// faults that fit, the one that was set last counts.
func (z *Zone) Fail(name string, f Fault) {
	z.mu.Lock()
	defer z.mu.Unlock()
	f.name = dns.CanonicalName(name)
	z.faults = append(z.faults, &f)
}

// Heal takes all faults away.
func (z *Zone) Heal() {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.faults = nil
}

// fault finds what goes wrong with a question. The caller holds the lock.
func (z *Zone) fault(q *dns.Msg) Fault {
	if len(q.Question) != 1 {
		return Fault{}
	}
	question := q.Question[0]
	for i := len(z.faults) - 1; i >= 0; i-- {
		f := z.faults[i]
		if f.Type != 0 && f.Type != question.Qtype {
			continue
		}
		if f.Times < 0 || !dns.IsSubDomain(f.name, dns.CanonicalName(question.Name)) {
			continue
		}
		if f.Times > 0 {
			if f.Times--; f.Times == 0 {
				f.Times = -1 // used up
			}
		}
		return *f
	}
	return Fault{}
}

// respond makes the messages that answer q over a stream or a datagram, and says how long they take.
func (z *Zone) respond(q *dns.Msg, stream bool) ([]*dns.Msg, time.Duration, bool) {
	z.mu.Lock()
	defer z.mu.Unlock()
	for _, question := range q.Question {
		z.asked = append(z.asked, question.Name+" "+dns.TypeToString[question.Qtype])
	}
	f := z.fault(q)
	if f.Drop {
		return nil, f.Delay, true
	}
	a := z.answer(q)
	if f.Rcode != 0 {
		a.Rcode, a.Answer, a.Ns, a.AuthenticatedData = f.Rcode, nil, nil, false
	}
	if f.Truncate && !stream {
		a.Truncated, a.Answer, a.Ns = true, nil, nil
	}
	if f.Mangle != nil {
		return f.Mangle(a), f.Delay, false
	}
	return []*dns.Msg{a}, f.Delay, false
}
