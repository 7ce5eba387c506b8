package postrider

import (
	"context"
	"crypto/tls"
	"errors"
	"time"

	"github.com/postrider/postrider/mx"
	"github.com/postrider/postrider/smtp"
)

// Fate is what became of the mail to one recipient in one attempt.
type Fate string

// The fates.
const (
	FateDelivered Fate = "delivered" // the next server has taken responsibility
	FateTemporary Fate = "temporary" // not accepted; a later attempt may succeed
	FatePermanent Fate = "permanent" // refused for good
	FateUnknown   Fate = "unknown"   // the message was sent and the answer was lost
)

// Verdict is the meaning of a Result.
type Verdict struct {
	Fate Fate
	// Status is the enhanced status code (RFC 3463): the server's where it fits the fate, else the code
	// that fits the cause. It is never zero.
	Status smtp.EnhancedCode
	// Ours says that the cause lies on this side (credentials, configuration, this host), not with the
	// recipient or the message: a queue keeps such mail even though the answer was final.
	Ours bool
}

// Classify says what a result means. It is the one place that decides it.
func Classify(r smtp.Result) Verdict {
	if r.Err == nil {
		return Verdict{Fate: FateDelivered, Status: status(2, r.Reply.Enhanced, smtp.EnhancedCode{2, 0, 0})}
	}
	if errors.Is(r.Err, smtp.ErrUnsure) {
		return Verdict{Fate: FateUnknown, Status: smtp.EnhancedCode{4, 4, 2}}
	}
	var reply *smtp.ReplyError
	if errors.As(r.Err, &reply) {
		return classifyReply(reply)
	}
	var envelope *smtp.EnvelopeError
	if errors.As(r.Err, &envelope) && envelope.Status != (smtp.EnhancedCode{}) {
		if envelope.Temporary() {
			return Verdict{Fate: FateTemporary, Status: envelope.Status, Ours: true}
		}
		return Verdict{Fate: FatePermanent, Status: envelope.Status}
	}
	var route *mx.Error
	if errors.As(r.Err, &route) {
		return classifyRoute(route)
	}
	return classifyLocal(r)
}

// byPhase is the status of a refusal whose reply has no enhanced code: the detail that fits
// the command (RFC 3463 s. 3).
var byPhase = map[smtp.Phase][2]int{
	smtp.PhaseLocal: {3, 0}, smtp.PhaseRoute: {4, 4}, smtp.PhaseConnect: {4, 1}, smtp.PhaseGreeting: {3, 2},
	smtp.PhaseHello: {5, 0}, smtp.PhaseTLS: {7, 4}, smtp.PhaseAuth: {7, 8}, smtp.PhaseMail: {1, 0},
	smtp.PhaseRcpt: {1, 0}, smtp.PhaseData: {0, 0}, smtp.PhaseFinal: {0, 0},
}

func phaseStatus(class int, p smtp.Phase) smtp.EnhancedCode {
	d := byPhase[p]
	return smtp.EnhancedCode{class, d[0], d[1]}
}

func classifyReply(e *smtp.ReplyError) Verdict {
	class, fate := 4, FateTemporary
	if e.Reply.Permanent() && !tooManyRecipients(e) {
		class, fate = 5, FatePermanent
	}
	return Verdict{Fate: fate, Status: status(class, e.Reply.Enhanced, phaseStatus(class, e.Phase)),
		// A refused login says nothing of the recipients; nor does a server that refuses all of us.
		Ours: e.Phase == smtp.PhaseAuth || e.Phase == smtp.PhaseTLS || e.Phase == smtp.PhaseHello}
}

// tooManyRecipients: a 552 at RCPT is to be read as 452 (RFC 5321 s. 4.5.3.1.10), unless its
// enhanced code says that it is a matter of this one recipient.
func tooManyRecipients(e *smtp.ReplyError) bool {
	return e.Phase == smtp.PhaseRcpt && e.Reply.Code == 552 &&
		(e.Reply.Enhanced == smtp.EnhancedCode{} || e.Reply.Enhanced == smtp.EnhancedCode{5, 5, 3})
}

func classifyRoute(e *mx.Error) Verdict {
	class, fate := 5, FatePermanent
	if e.Temporary() {
		class, fate = 4, FateTemporary
	}
	return Verdict{Fate: fate, Status: status(class, parseStatus(e.Status), phaseStatus(class, smtp.PhaseRoute))}
}

// classifyLocal judges what is neither a reply nor a route: connections that fail, time limits, TLS
// that is not good enough. All of it may pass, and none of it is the recipient's refusal.
func classifyLocal(r smtp.Result) Verdict {
	v := Verdict{Fate: FateTemporary, Status: phaseStatus(4, r.Phase)}
	switch {
	case errors.Is(r.Err, ErrInvalid):
		v.Fate, v.Status = FatePermanent, smtp.EnhancedCode{5, 6, 0}
	case errors.Is(r.Err, context.Canceled), errors.Is(r.Err, context.DeadlineExceeded):
		v.Ours = true
	}
	return v
}

// status returns the server's code where its class fits, else the substitute.
func status(class int, server, substitute smtp.EnhancedCode) smtp.EnhancedCode {
	if server[0] == class {
		return server
	}
	return substitute
}

// parseStatus reads "5.1.10"; what it cannot read is the zero value.
func parseStatus(s string) (c smtp.EnhancedCode) {
	part, digits := 0, 0
	for i := range len(s) {
		switch {
		case s[i] == '.' && digits > 0 && part < 2:
			part, digits = part+1, 0
		case s[i] >= '0' && s[i] <= '9' && digits < 3:
			c[part], digits = c[part]*10+int(s[i]-'0'), digits+1
		default:
			return smtp.EnhancedCode{}
		}
	}
	if part != 2 || digits == 0 {
		return smtp.EnhancedCode{}
	}
	return c
}

// resultEvent makes the event of one result.
func resultEvent(m mailing, r smtp.Result) Event {
	v := Classify(r)
	e := Event{Type: EventDeferred, Time: time.Now(), MessageID: m.messageID, Recipient: r.Recipient, Tenant: m.tenant, Tags: m.tags,
		Status: v.Status.String(), Host: r.Host, Phase: r.Phase, Reason: r.Reply.String()}
	switch v.Fate {
	case FateDelivered:
		e.Type = EventDelivered
	case FatePermanent:
		e.Type = EventBounced
	}
	if r.Err != nil && e.Reason == "" {
		e.Reason = r.Err.Error()
	}
	if r.TLS != nil {
		e.TLS = tls.VersionName(r.TLS.Version)
	}
	return e
}
