package queue_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postrider/postrider/queue"
)

// hanging is a Handler whose lanes hang until their time limit, but for those whose names begin with "good".
func hanging(took *sync.Map, running *atomic.Int32) queue.Handler {
	return handle(func(ctx context.Context, i queue.Item) queue.Result {
		if i.Lane[:4] == "good" {
			took.Store(i.To, time.Since(i.Created))
			return queue.Result{State: queue.Delivered}
		}
		running.Add(1)
		defer running.Add(-1)
		select {
		case <-time.After(5*time.Minute + rand.N(time.Minute)):
		case <-ctx.Done():
		}
		return queue.Result{LaneDown: true}
	})
}

// Lanes that nobody has heard of hang, many of them: mail of a higher priority gets a place at once all the same, in a lane that
// nobody has heard of either; and lanes that are known to answer get what is left.
func TestRunnerHangingLanes(t *testing.T) {
	var took sync.Map
	var running atomic.Int32
	opened(t, hanging(&took, &running), func(o *office) {
		o.Grace = -1
		o.start()
		o.put(queue.Batch{Priority: queue.Bulk}, "warm@good known")
		for n, c := range []struct {
			p       queue.Priority
			hanging int32
		}{{queue.Bulk, 256}, {queue.Normal, 320}, {queue.Urgent, 384}} {
			for k := range 600 {
				o.put(queue.Batch{Priority: c.p}, fmt.Sprintf("%d@dead %d %d", k, n, k))
			}
			wait(time.Second)
			o.equal("places that hang", running.Load(), c.hanging)
			for p := c.p + 1; p <= queue.Urgent; p++ {
				o.put(queue.Batch{Priority: p}, fmt.Sprintf("%d over %d@good%d%d", p, c.p, p, c.p))
			}
			o.put(queue.Batch{Priority: queue.Bulk}, fmt.Sprint(n, "@good known"))
			wait(time.Second)
		}
		n := 0
		took.Range(func(to, d any) bool {
			n++
			o.equal("what "+to.(string)+" waited", d, time.Duration(0))
			return true
		})
		o.equal("delivered", n, 7)
	})
}

// However much of higher priority hangs, each priority gets its part of the places that come free.
func TestRunnerHangingNoneStarves(t *testing.T) {
	var took sync.Map
	var running atomic.Int32
	opened(t, hanging(&took, &running), func(o *office) {
		o.Grace, o.Window = -1, 16
		for n := range 500 {
			o.put(queue.Batch{Priority: queue.Urgent}, fmt.Sprintf("%d@dead%d", n, n))
			o.put(queue.Batch{Priority: queue.Normal}, fmt.Sprintf("%d@died%d", n, n))
		}
		o.start()
		wait(time.Second)
		o.equal("places that hang", running.Load(), 12)
		o.put(queue.Batch{Priority: queue.Bulk}, "bob@good")
		wait(time.Hour)
		if d, ok := took.Load("bob@good"); !ok || d.(time.Duration) > 25*time.Minute {
			t.Errorf("bulk mail waited %v", d)
		}
	})
}
