package queue_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/postrider/postrider/queue"
)

// No attempt begins when an item has expired, even if it was claimed before the store was asked to expire it. What was not begun is
// not counted, and the note of the last attempt stays.
func TestRunnerTriesNothingExpired(t *testing.T) {
	var mu sync.Mutex
	tried := map[string]int{}
	opened(t, post(func(_ context.Context, _ queue.Body, items []queue.Item) []queue.Result {
		nap(300 * time.Millisecond) // in the only place, so that the next claim comes between two sweeps
		mu.Lock()
		defer mu.Unlock()
		results := make([]queue.Result, len(items))
		for n, i := range items {
			tried[i.To]++
			results[n].State = queue.Delivered
		}
		return results
	}), func(o *office) {
		o.Window = 1
		now := time.Now()
		after := func(d time.Duration) queue.Item { return queue.Item{Expires: now.Add(d)} }
		o.put(queue.Batch{}, "first@a")
		o.put(queue.Batch{Items: []queue.Item{after(250 * time.Millisecond), {}, after(300 * time.Millisecond)}}, "late@a", "lasting@a", "just@a")
		o.start()
		wait(time.Minute)
		o.equal("attempts", tried, map[string]int{"first@a": 1, "lasting@a": 1})
		o.equal("ends", o.ends(t), map[string]queue.State{"first@a": queue.Delivered, "late@a": queue.Expired, "just@a": queue.Expired,
			"lasting@a": queue.Delivered})
		for _, to := range []string{"late@a", "just@a"} {
			events := o.of(to)
			o.equal("attempts for "+to, events[len(events)-1].Item.Attempts, 0)
		}
	})
}

// late is a store whose Claim answers so late that the item has expired.
type late struct{ queue.Store }

func (l late) Claim(ctx context.Context, r queue.ClaimRequest) (queue.Lease, error) {
	lease, err := l.Store.Claim(ctx, r)
	if len(lease.Items) > 0 && lease.Items[0].Attempts == 2 {
		nap(2 * time.Hour)
	}
	return lease, err
}

func TestRunnerKeepsNoteOfExpired(t *testing.T) {
	opened(t, handle(func(context.Context, queue.Item) queue.Result { return queue.Result{Note: []byte("busy")} }), func(o *office) {
		o.Store = late{o.Store}
		o.put(queue.Batch{Items: []queue.Item{{Expires: time.Now().Add(time.Hour)}}}, "bob@a")
		o.start()
		wait(5 * time.Hour)
		events := o.of("bob@a")
		last := events[len(events)-1].Item
		o.equal("the end", fmt.Sprint(last.State, " ", last.Attempts, " ", string(last.Note)), "expired 1 busy")
	})
}
