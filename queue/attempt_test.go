package queue_test

import (
	"context"
	"testing"
	"time"

	"github.com/postrider/postrider/queue"
)

// The time of the next attempt is stored before this one begins, so that a crash retries later.
func TestRunnerStoresNextAttemptFirst(t *testing.T) {
	var store queue.Store
	var next []time.Duration
	opened(t, handle(func(ctx context.Context, i queue.Item) queue.Result {
		stored, err := store.List(ctx, queue.Query{Message: i.ID.Message})
		if err != nil || len(stored) != 1 || stored[0].Attempts != i.Attempts {
			t.Errorf("while it is tried the store has %v, %v", stored, err)
		}
		next = append(next, time.Until(stored[0].Due))
		return queue.Result{}
	}), func(o *office) {
		store, o.Lease = o.Store, time.Second
		o.Schedule.Delays = []time.Duration{time.Minute, time.Hour}
		o.start()
		o.put(queue.Batch{}, "bob@a")
		wait(2 * time.Minute)
		o.equal("pauses stored before the attempts", next, []time.Duration{time.Minute, time.Hour})
	})
}

// When no attempt is left before it expires, an item ends with the last one, while somebody may still act on it.
func TestRunnerEndsWithLastAttempt(t *testing.T) {
	opened(t, handle(func(context.Context, queue.Item) queue.Result { return queue.Result{Note: []byte("no")} }), func(o *office) {
		o.Schedule.Delays = []time.Duration{time.Hour}
		o.start()
		o.put(queue.Batch{Items: []queue.Item{{Expires: time.Now().Add(10 * time.Minute)}}}, "bob@a")
		wait(time.Second)
		o.equal("ends", o.ends(t), map[string]queue.State{"bob@a": queue.Expired})
	})
}
