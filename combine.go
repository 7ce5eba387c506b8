package postrider

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/postrider/postrider/smtp"
)

// Failover is a Transport that asks its transports in their order, always the first one first: the
// next is asked for those recipients whose failure may pass, or lies on this side, such as a
// refused login. What was refused for good, and what may have been accepted, is not tried again.
type Failover []Transport

// Deliver returns for each recipient the result of the transport that was asked last for it; its
// error shows the earlier ones too.
func (f Failover) Deliver(ctx context.Context, e *smtp.Envelope) []smtp.Result {
	return deliverInOrder(ctx, f, 0, e)
}

// Close closes the transports.
func (f Failover) Close(ctx context.Context) error { return closeAll(ctx, f) }

// RoundRobin is a Transport that spreads mail over its transports, one after the other; where one
// fails for a cause that may pass, the next is asked. The zero value has no transport and fails.
type RoundRobin struct {
	Transports []Transport

	turn atomic.Uint64
}

// Deliver returns the results as Failover does.
func (r *RoundRobin) Deliver(ctx context.Context, e *smtp.Envelope) []smtp.Result {
	return deliverInOrder(ctx, r.Transports, int((r.turn.Add(1)-1)%uint64(max(1, len(r.Transports)))), e)
}

// Close closes the transports.
func (r *RoundRobin) Close(ctx context.Context) error { return closeAll(ctx, r.Transports) }

var errNoTransport = errors.New("no transport is configured")

func deliverInOrder(ctx context.Context, transports []Transport, first int, e *smtp.Envelope) []smtp.Result {
	results := smtp.Failed(e, smtp.PhaseLocal, "", errNoTransport)
	open := make([]int, len(e.To))
	for i := range open {
		open[i] = i
	}
	for i := range transports {
		if len(open) == 0 || i > 0 && ctx.Err() != nil {
			break
		}
		var next []int
		t := transports[(first+i)%len(transports)]
		if t == nil {
			continue
		}
		asked := portion(e, open)
		answers := t.Deliver(ctx, asked)
		if len(answers) != len(asked.To) {
			answers = miscounted(asked, len(answers))
		}
		for j, r := range answers {
			at := open[j]
			if i > 0 && r.Err != nil {
				r.Err = fmt.Errorf("%w (after: %w)", r.Err, results[at].Err)
			}
			results[at] = r
			if v := Classify(r); v.Fate == FateTemporary || v.Fate == FatePermanent && v.Ours {
				next = append(next, at)
			}
		}
		open = next
	}
	return results
}

func closeAll(ctx context.Context, transports []Transport) error {
	var errs []error
	for _, t := range transports {
		if c, ok := t.(interface{ Close(context.Context) error }); ok {
			errs = append(errs, c.Close(ctx))
		}
	}
	return errors.Join(errs...)
}
