package queue_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postrider/postrider/queue"
)

// lapsing is a store that fails to extend a lease once, and whose Claim answers late from the second on.
type lapsing struct {
	queue.Store
	extended, claimed bool
}

func (l *lapsing) Settle(ctx context.Context, s queue.Settlement) ([]queue.ID, error) {
	if s.Outcomes[0].State == queue.Leased && !l.extended {
		l.extended = true
		nap(500 * time.Millisecond) // from 60 s on, so that the next try is at 120.5 s
		return nil, errFault
	}
	return l.Store.Settle(ctx, s)
}

func (l *lapsing) Claim(ctx context.Context, r queue.ClaimRequest) (queue.Lease, error) {
	lease, err := l.Store.Claim(ctx, r)
	if len(lease.Items) > 0 {
		if l.claimed {
			nap(time.Second) // from 120 s on, when the lease lapses
		}
		l.claimed = true
	}
	return lease, err
}

// A lease lapses, and this runner claims the item again. In the moment when the store has given it a new lease of which the delivery
// does not know yet, the delivery ends or extends its lease: the item is still its own.
func TestRunnerClaimsItsOwn(t *testing.T) {
	for what, takes := range map[string]time.Duration{
		"ends":    120*time.Second + 250*time.Millisecond,
		"extends": 10 * time.Minute,
	} {
		t.Run(what, func(t *testing.T) {
			var calls, cut atomic.Int32
			opened(t, handle(func(ctx context.Context, _ queue.Item) queue.Result {
				calls.Add(1)
				nap(takes)
				if ctx.Err() != nil {
					cut.Add(1)
				}
				return queue.Result{State: queue.Delivered}
			}), func(o *office) {
				o.Store = &lapsing{Store: o.Store}
				o.put(queue.Batch{}, "bob@a")
				o.start()
				wait(time.Hour)
				o.equal("deliveries", calls.Load(), 1)
				o.equal("deliveries cut off", cut.Load(), 0)
				o.equal("ends", o.ends(t), map[string]queue.State{"bob@a": queue.Delivered})
			})
		})
	}
}
