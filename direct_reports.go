package postrider

import (
	"errors"

	"github.com/postrider/postrider/mx"
	"github.com/postrider/postrider/mx/tlsrpt"
	"github.com/postrider/postrider/smtp"
)

// outcomes are how TLS went with the hosts of one domain in one attempt.
type outcomes []tlsrpt.Outcome

// add keeps what a result says about TLS, if anything. A mail over a connection that stood before
// counts as a session too.
func (o *outcomes) add(host *mx.Host, r smtp.Result) {
	outcome := tlsrpt.Outcome{Host: host.Name, Remote: r.Addr.Addr(), TLS: r.TLS}
	switch r.Phase {
	case smtp.PhaseLocal, smtp.PhaseRoute, smtp.PhaseConnect, smtp.PhaseGreeting:
		return
	case smtp.PhaseHello:
		if r.TLS == nil {
			return // it went wrong before TLS was a question
		}
	case smtp.PhaseTLS:
		var refused *smtp.ReplyError
		outcome.NotOffered = errors.Is(r.Err, smtp.ErrNoSTARTTLS) || errors.As(r.Err, &refused)
		outcome.Err = r.Err
	}
	*o = append(*o, outcome)
}

// report counts what came of an attempt to reach a domain. A route that was found without the policies
// is not counted: nobody was held to anything.
func (d *Direct) report(e *smtp.Envelope, route *mx.Route, o outcomes) {
	if d.Reports != nil && route != nil && !e.TLSOptional {
		d.Reports.Record(route, o...)
	}
}
