package queue_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postrider/postrider/queue"
)

// asked is a store that counts how often it is asked for events.
type asked struct {
	queue.Store
	times atomic.Int32
}

func (s *asked) Events(ctx context.Context, r queue.EventsRequest) ([]queue.Event, error) {
	s.times.Add(1)
	return s.Store.Events(ctx, r)
}

// Events that come of nothing the runner does, or is woken by, are told within a second or so.
func TestRunnerTellsSoon(t *testing.T) {
	opened(t, ok, func(o *office) {
		s := &asked{Store: o.Store}
		o.Store = s
		o.start()
		o.put(queue.Batch{Items: []queue.Item{{Due: time.Now().Add(24 * time.Hour)}}}, "eve@a")
		wait(time.Hour)
		id := o.put(queue.Batch{Items: []queue.Item{{Due: time.Now().Add(48 * time.Hour)}}}, "bob@a")
		wait(1100 * time.Millisecond)
		o.equal("events of Put told", len(o.of("bob@a")), 1)
		wait(time.Hour)
		if _, err := o.Store.Update(o.Context(), queue.Change{Now: time.Now(), Op: queue.Cancel, Where: queue.Query{Message: id}}); err != nil {
			t.Fatal(err)
		}
		wait(1100 * time.Millisecond)
		o.equal("ends told", o.ends(t), map[string]queue.State{"bob@a": queue.Cancelled})
		if n := s.times.Load(); n > 2*3600+2*3600/10 {
			t.Errorf("asked %d times in two hours", n)
		}
	})
}
