package queue_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postrider/postrider/queue"
)

// A lane that takes ten minutes for each item does not hold up the others, nor do a hundred such lanes.
func TestRunnerSlowLanes(t *testing.T) {
	var mu sync.Mutex
	took := map[string]time.Duration{}
	opened(t, handle(func(ctx context.Context, i queue.Item) queue.Result {
		if i.Lane[0] == 's' {
			select {
			case <-time.After(10 * time.Minute):
			case <-ctx.Done():
			}
			return queue.Result{LaneDown: true}
		}
		mu.Lock()
		defer mu.Unlock()
		took[i.To] = time.Since(i.Created)
		return queue.Result{State: queue.Delivered}
	}), func(o *office) {
		o.Window = 64
		o.Grace = -1
		o.start()
		o.put(queue.Batch{}, "warm@good") // the lane is known to answer
		wait(time.Second)
		for n := range 1000 {
			o.put(queue.Batch{}, fmt.Sprintf("%d@slow%d", n, n%100))
		}
		for n := range 1000 {
			o.put(queue.Batch{}, fmt.Sprint(n, "@good"))
		}
		wait(5 * time.Second)
		o.equal("delivered meanwhile", locked(&mu, func() int { return len(took) }), 1001)
		for to, d := range locked(&mu, func() map[string]time.Duration { return maps.Clone(took) }) {
			if d > time.Second {
				t.Fatalf("%s took %v", to, d)
			}
		}
	})
}

// A dead lane is left in peace, one delivery at a time tries whether it lives, and it recovers.
func TestRunnerDeadLane(t *testing.T) {
	var dead atomic.Bool
	var tries atomic.Int32
	dead.Store(true)
	opened(t, handle(func(context.Context, queue.Item) queue.Result {
		tries.Add(1)
		if dead.Load() {
			return queue.Result{LaneDown: true}
		}
		return queue.Result{State: queue.Delivered}
	}), func(o *office) {
		o.start()
		const many = 2000
		for n := range many {
			o.put(queue.Batch{}, fmt.Sprint(n, "@dead"))
		}
		wait(time.Second)
		first := tries.Load()
		if first < 5 || first > 10 {
			t.Errorf("%d attempts until it counts as dead", first)
		}
		wait(time.Hour)
		if n := tries.Load() - first; n < 4 || n > 12 {
			t.Errorf("%d attempts in the first hour", n)
		}
		dead.Store(false)
		wait(16 * time.Minute)
		o.equal("delivered once it lives", len(o.ends(t)), many)
	})
}

// A receiver that closes what is over its limit is held near the limit, not flooded.
func TestRunnerAdapts(t *testing.T) {
	const limit = 8
	var mu sync.Mutex
	var running, most, over, all int
	opened(t, handle(func(context.Context, queue.Item) queue.Result {
		mu.Lock()
		running++
		most = max(most, running)
		all++
		refused := running > limit
		if refused {
			over++
		}
		mu.Unlock()
		if refused {
			nap(10 * time.Millisecond) // a greeting of 421
		} else {
			nap(time.Second)
		}
		mu.Lock()
		running--
		mu.Unlock()
		if refused {
			return queue.Result{LaneDown: true, After: time.Second}
		}
		return queue.Result{State: queue.Delivered}
	}), func(o *office) {
		o.start()
		for n := range 4000 {
			o.put(queue.Batch{}, fmt.Sprint(n, "@a"))
		}
		wait(time.Hour)
		o.equal("delivered", len(o.ends(t)), 4000)
		mu.Lock()
		defer mu.Unlock()
		if most <= 5 || most > limit+3 {
			t.Errorf("up to %d at a time, of which %d are taken", most, limit)
		}
		if over*6 > all {
			t.Errorf("%d of %d attempts were over the limit, want a sixth or less", over, all)
		}
		t.Logf("%d of %d attempts over the limit, at most %d at a time", over, all, most)
	})
}

// With no trouble a lane grows to its limit and no further.
func TestRunnerLaneGrows(t *testing.T) {
	for _, c := range []struct{ initial, most, want int }{{0, 0, 20}, {2, 4, 4}, {30, 0, 30}, {9, 3, 3}} {
		var mu sync.Mutex
		var running, most int
		opened(t, handle(func(context.Context, queue.Item) queue.Result {
			mu.Lock()
			running++
			most = max(most, running)
			mu.Unlock()
			nap(time.Second)
			mu.Lock()
			running--
			mu.Unlock()
			return queue.Result{State: queue.Delivered}
		}), func(o *office) {
			o.LaneInitial, o.LaneMax = c.initial, c.most
			o.start()
			for n := range 1000 {
				o.put(queue.Batch{}, fmt.Sprint(n, "@a"))
			}
			wait(10 * time.Minute)
			o.equal("most at a time", locked(&mu, func() int { return most }), c.want)
		})
	}
}

// Urgent mail takes the next free slot, whatever waits; bulk mail moves on all the same.
func TestRunnerPriorities(t *testing.T) {
	var mu sync.Mutex
	waited := map[queue.Priority][]time.Duration{}
	opened(t, handle(func(_ context.Context, i queue.Item) queue.Result {
		mu.Lock()
		waited[i.Priority] = append(waited[i.Priority], time.Since(i.Created))
		mu.Unlock()
		nap(100 * time.Millisecond)
		return queue.Result{State: queue.Delivered}
	}), func(o *office) {
		o.Window, o.LaneInitial = 8, 8
		o.start()
		for n := range 5000 {
			o.put(queue.Batch{Priority: queue.Bulk}, fmt.Sprint(n, "@a"))
		}
		for n := range 20 {
			wait(time.Second)
			o.put(queue.Batch{Priority: queue.Urgent}, fmt.Sprint("urgent", n, "@a"))
		}
		wait(time.Second)
		for _, d := range locked(&mu, func() []time.Duration { return slices.Clone(waited[queue.Urgent]) }) {
			if d > 200*time.Millisecond {
				t.Errorf("urgent mail waited %v for a slot that is free every 100ms", d)
			}
		}
		// More urgent mail than there is room for: bulk gets its part.
		bulk := func() int { return len(waited[queue.Bulk]) }
		before := locked(&mu, bulk)
		for n := range 1000 {
			o.put(queue.Batch{Priority: queue.Urgent}, fmt.Sprint("more", n, "@b"))
		}
		wait(5 * time.Second)
		if n := locked(&mu, bulk) - before; n < 20 || n > 200 {
			t.Errorf("%d bulk deliveries beside 1000 urgent ones", n)
		}
	})
}

// Tenants share the slots, whatever each has waiting.
func TestRunnerTenants(t *testing.T) {
	var mu sync.Mutex
	count := map[string]int{}
	opened(t, handle(func(_ context.Context, i queue.Item) queue.Result {
		mu.Lock()
		count[i.Tenant]++
		mu.Unlock()
		nap(100 * time.Millisecond)
		return queue.Result{State: queue.Delivered}
	}), func(o *office) {
		o.Window, o.LaneInitial = 10, 10
		for n := range 10_000 {
			o.put(queue.Batch{Tenant: "big"}, fmt.Sprintf("%d@a%d", n, n%50))
		}
		for n := range 200 {
			o.put(queue.Batch{Tenant: "small"}, fmt.Sprintf("small%d@b%d", n, n%3))
		}
		o.start()
		wait(3*time.Second + 50*time.Millisecond)
		mu.Lock()
		defer mu.Unlock()
		if n := count["small"]; n < count["big"]*8/10 {
			t.Errorf("small got %d, big %d", n, count["big"])
		}
	})
}
