package queue_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postrider/postrider/queue"
)

// drowsy is a store whose chosen call answers late: a sync of the disk that takes long.
type drowsy struct {
	queue.Store
	claim, open time.Duration
}

func (s *drowsy) Claim(ctx context.Context, r queue.ClaimRequest) (queue.Lease, error) {
	l, err := s.Store.Claim(ctx, r)
	if len(l.Items) > 0 {
		nap(s.claim)
	}
	return l, err
}

func (s *drowsy) Open(ctx context.Context, id string) (queue.Body, error) {
	nap(s.open)
	return s.Store.Open(ctx, id)
}

// What the store gives after the end of Run's context is not tried any more. It goes back at once, and another worker need not wait
// for the lease to lapse.
func TestRunnerEndsWhileItClaims(t *testing.T) {
	for what, s := range map[string]*drowsy{"claims": {claim: 3 * time.Second}, "opens": {open: 3 * time.Second}} {
		t.Run(what, func(t *testing.T) {
			var begun atomic.Int32
			opened(t, handle(func(context.Context, queue.Item) queue.Result {
				begun.Add(1)
				return queue.Result{State: queue.Delivered}
			}), func(o *office) {
				s.Store = o.Store
				o.Store = s
				for n := range 300 {
					o.put(queue.Batch{}, fmt.Sprint(n, "@l", n), fmt.Sprint("also", n, "@l", n))
				}
				o.start()
				wait(time.Second)
				ended := time.Now()
				o.end()
				o.equal("attempts begun", begun.Load(), 0)
				if took := time.Since(ended); took > 3*time.Second {
					t.Errorf("stopping took %v", took)
				}
				items := must(o.Store.List(o.Context(), queue.Query{State: queue.Waiting}))
				o.equal("items that wait", len(items), 600)
				for _, i := range items {
					if i.Attempts != 0 || i.Due.After(time.Now()) {
						t.Fatalf("%v is due in %v, after %d attempts", i.ID, time.Until(i.Due), i.Attempts)
					}
				}
			})
		})
	}
}

// A delivery gave its item back, and before the runner heard of its end it claimed the item again: then Run's context ends.
func TestRunnerEndsWithItemClaimedAgain(t *testing.T) {
	var begun atomic.Int32
	opened(t, handle(func(context.Context, queue.Item) queue.Result {
		begun.Add(1)
		return queue.Result{Untried: true}
	}), func(o *office) {
		o.Store = lingering{o.Store}
		o.start()
		o.put(queue.Batch{}, "bob@a")
		wait(500 * time.Millisecond)
		o.equal("state in the store", must(o.Store.List(o.Context(), queue.Query{}))[0].State, queue.Leased)
		o.end()
		o.equal("attempts begun", begun.Load(), 1)
		i := must(o.Store.List(o.Context(), queue.Query{}))[0]
		o.equal("state and attempts", fmt.Sprint(i.State, i.Attempts), "waiting0")
	})
}
