package queue_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postrider/postrider/queue"
)

// plodding is a store that takes its time to commit what Update changes.
type plodding struct {
	queue.Store
	updates atomic.Int32
}

func (s *plodding) Update(ctx context.Context, c queue.Change) (queue.Changed, error) {
	d, err := s.Store.Update(ctx, c)
	if d.Items > 0 {
		s.updates.Add(1)
		nap(20 * time.Millisecond)
	}
	return d, err
}

// When much mail expires at once, or is forgotten, new mail is not kept waiting; nor does the sweep wait for it.
func TestRunnerSweepsBesideClaims(t *testing.T) {
	const many = 20_000
	for what, b := range map[queue.State]queue.Batch{
		queue.Expired:   {},
		queue.Delivered: {Keep: time.Hour},
	} {
		t.Run(string(what), func(t *testing.T) {
			took := time.Duration(-1)
			opened(t, handle(func(_ context.Context, i queue.Item) queue.Result {
				if i.To == "urgent@a" {
					took = time.Since(i.Created)
				}
				return queue.Result{State: queue.Delivered}
			}), func(o *office) {
				s := &plodding{Store: o.Store}
				o.Store, o.Recorder = s, nil
				begun := time.Now()
				for range many / 1000 {
					b := b
					for range 1000 {
						i := queue.Item{To: "bob", Lane: "crowded"}
						if what == queue.Expired {
							i.Due, i.Expires = begun.Add(2*time.Hour), begun.Add(time.Hour)
						}
						b.Items = append(b.Items, i)
					}
					o.put(b)
				}
				o.start()
				wait(time.Hour - time.Second)
				for s.updates.Load() == 0 {
					wait(5 * time.Millisecond)
				}
				if passed := time.Since(begun); passed < time.Hour-time.Second || passed > time.Hour+time.Minute {
					t.Fatalf("swept after %v", passed)
				}
				swept := time.Now()
				o.put(queue.Batch{Priority: queue.Urgent}, "urgent@a")
				for s.updates.Load() < many/1000 {
					wait(5 * time.Millisecond)
				}
				if d := time.Since(swept); d > many/1000*25*time.Millisecond {
					t.Errorf("sweeping took %v", d)
				}
				wait(time.Minute)
				if took < 0 || took > 50*time.Millisecond {
					t.Errorf("urgent mail waited %v", took)
				}
				if n := o.left(); n > 0 {
					t.Errorf("%d items are left", n)
				}
			})
		})
	}
}

// noExpire is a store in which Expire fails, as when the disk is full.
type noExpire struct{ queue.Store }

func (s noExpire) Update(ctx context.Context, c queue.Change) (queue.Changed, error) {
	if c.Op == queue.Expire {
		return queue.Changed{}, queue.ErrFull
	}
	return s.Store.Update(ctx, c)
}

// An Expire that fails does not keep claims from working.
func TestRunnerExpireFails(t *testing.T) {
	took := time.Duration(-1)
	opened(t, handle(func(_ context.Context, i queue.Item) queue.Result {
		took = time.Since(i.Created)
		return queue.Result{State: queue.Delivered}
	}), func(o *office) {
		o.Store = noExpire{o.Store}
		o.start()
		wait(10 * time.Minute)
		o.put(queue.Batch{Priority: queue.Urgent}, "urgent@a")
		wait(24 * time.Hour)
		if took < 0 || took > time.Minute {
			t.Errorf("urgent mail waited %v", took)
		}
	})
}
