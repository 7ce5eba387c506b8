package queue_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postrider/postrider/queue"
)

// faulty is a store of which chosen calls fail: before they do anything, or after all is done.
type faulty struct {
	queue.Store
	mu    sync.Mutex
	calls int
	fails func(call int) bool
	done  bool // the call that fails has done its work
	quiet bool // nothing has happened since the last look for events
}

var errFault = errors.New("fault injected")

func (f *faulty) call(do func() error) error {
	f.mu.Lock()
	f.calls++
	f.quiet = false
	fails := f.fails != nil && f.fails(f.calls)
	f.mu.Unlock()
	if fails && !f.done {
		return errFault
	}
	err := do()
	if fails {
		return errFault
	}
	return err
}

func (f *faulty) Open(ctx context.Context, id string) (b queue.Body, err error) {
	err = f.call(func() error { b, err = f.Store.Open(ctx, id); return err })
	return b, err
}

func (f *faulty) Claim(ctx context.Context, r queue.ClaimRequest) (l queue.Lease, err error) {
	err = f.call(func() error { l, err = f.Store.Claim(ctx, r); return err })
	if err != nil {
		l = queue.Lease{}
	}
	return l, err
}

func (f *faulty) Settle(ctx context.Context, s queue.Settlement) (lost []queue.ID, err error) {
	err = f.call(func() error { lost, err = f.Store.Settle(ctx, s); return err })
	return lost, err
}

func (f *faulty) Next(ctx context.Context, after time.Time) (at time.Time, c <-chan struct{}, err error) {
	err = f.call(func() error { at, c, err = f.Store.Next(ctx, after); return err })
	return at, c, err
}

func (f *faulty) Events(ctx context.Context, r queue.EventsRequest) (e []queue.Event, err error) {
	if locked(&f.mu, func() bool { return f.quiet }) {
		return f.Store.Events(ctx, r) // the look of every second is no call to be counted
	}
	err = f.call(func() error { e, err = f.Store.Events(ctx, r); return err })
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.quiet = len(e) == 0
	return e, nil
}

func (f *faulty) Ack(ctx context.Context, e []queue.Event) error {
	return f.call(func() error { return f.Store.Ack(ctx, e) })
}

func (f *faulty) Update(ctx context.Context, c queue.Change) (d queue.Changed, err error) {
	err = f.call(func() error { d, err = f.Store.Update(ctx, c); return err })
	return d, err
}

// scenario runs a few hours over the store and checks that everybody got their mail once, and one end.
func scenario(t *testing.T, f *faulty, long time.Duration) {
	var mu sync.Mutex
	got := map[string]int{}
	opened(t, handle(func(_ context.Context, i queue.Item) queue.Result {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case i.To == "never@c":
			return queue.Result{}
		case i.To == "second@b" && i.Attempts == 1:
			return queue.Result{}
		}
		got[i.To]++
		return queue.Result{State: queue.Delivered}
	}), func(o *office) {
		f.Store = o.Store
		o.Store = f
		o.Poll = 10 * time.Minute
		o.start()
		o.put(queue.Batch{}, "first@a", "second@b", "third@a")
		o.put(queue.Batch{Items: []queue.Item{{Expires: time.Now().Add(3 * time.Hour)}}}, "never@c")
		o.put(queue.Batch{Items: []queue.Item{{Due: time.Now().Add(time.Hour)}}}, "later@a")
		wait(long)
		o.equal("deliveries", locked(&mu, func() map[string]int { return maps.Clone(got) }), map[string]int{"first@a": 1, "second@b": 1, "third@a": 1, "later@a": 1})
		o.equal("ends", o.ends(t), map[string]queue.State{"first@a": queue.Delivered, "second@b": queue.Delivered,
			"third@a": queue.Delivered, "later@a": queue.Delivered, "never@c": queue.Expired})
		o.equal("items left", o.left(), 0)
	})
}

// One call of the store fails, whichever it is: nothing is lost, nothing comes twice.
func TestRunnerFaults(t *testing.T) {
	none := &faulty{}
	scenario(t, none, 4*time.Hour)
	// Most calls are alike; the first hundred have every kind, and every later one in steps is enough.
	step := 1
	for call := 1; call <= none.calls; call += step {
		if call > 120 {
			step = 1 + none.calls/50
		}
		for _, done := range []bool{false, true} {
			t.Run(fmt.Sprintf("call %d done %t", call, done), func(t *testing.T) {
				scenario(t, &faulty{fails: func(n int) bool { return n == call }, done: done}, 4*time.Hour)
			})
		}
	}
	t.Logf("%d calls without a fault", none.calls)
}

// Calls fail at random, one in four.
func TestRunnerManyFaults(t *testing.T) {
	for seed := range uint64(20) {
		for _, done := range []bool{false, true} {
			t.Run(fmt.Sprintf("seed %d done %t", seed, done), func(t *testing.T) {
				random := rand.New(rand.NewPCG(seed, 0))
				scenario(t, &faulty{fails: func(n int) bool { return random.IntN(4) == 0 }, done: done}, 12*time.Hour)
			})
		}
	}
}

// A store that is out of order for an hour stops the deliveries: what cannot be recorded must not be sent.
func TestRunnerOutage(t *testing.T) {
	var mu sync.Mutex
	got := map[string]int{}
	opened(t, handle(func(_ context.Context, i queue.Item) queue.Result {
		mu.Lock()
		defer mu.Unlock()
		got[i.To]++
		return queue.Result{State: queue.Delivered}
	}), func(o *office) {
		var out bool
		f := &faulty{Store: o.Store, fails: func(int) bool { return out }}
		o.Store = f
		o.start()
		set := func(to bool) { f.mu.Lock(); out = to; f.mu.Unlock() }
		wait(time.Second)
		set(true)
		for n := range 50 {
			o.put(queue.Batch{}, fmt.Sprint(n, "@a"))
		}
		calls := func() int { return locked(&f.mu, func() int { return f.calls }) }
		before := calls()
		wait(time.Hour)
		if n := calls() - before; n > 3600 {
			t.Errorf("%d calls of a broken store in an hour", n)
		}
		o.equal("deliveries meanwhile", locked(&mu, func() int { return len(got) }), 0)
		set(false)
		wait(time.Minute)
		o.equal("ends", len(o.ends(t)), 50)
		for to, n := range locked(&mu, func() map[string]int { return maps.Clone(got) }) {
			o.equal("deliveries to "+to, n, 1)
		}
	})
}

// An outage that begins while a delivery runs: its fate is stored when the store is back.
func TestRunnerOutageWhileDelivering(t *testing.T) {
	var calls atomic.Int32
	opened(t, handle(func(context.Context, queue.Item) queue.Result {
		calls.Add(1)
		nap(10 * time.Minute) // longer than the lease
		return queue.Result{State: queue.Delivered}
	}), func(o *office) {
		var out bool
		f := &faulty{Store: o.Store, fails: func(int) bool { return out }}
		o.Store = f
		set := func(to bool) { f.mu.Lock(); out = to; f.mu.Unlock() }
		o.start()
		o.put(queue.Batch{}, "bob@a")
		wait(time.Second)
		set(true)
		wait(time.Hour)
		set(false)
		wait(time.Minute)
		o.equal("ends", o.ends(t), map[string]queue.State{"bob@a": queue.Delivered})
		o.equal("deliveries", calls.Load(), 1)

		// And one that ends while the delivery runs on, its lease long lapsed.
		o.put(queue.Batch{}, "carl@a")
		wait(time.Second)
		set(true)
		wait(5 * time.Minute)
		set(false)
		wait(20 * time.Minute)
		o.equal("ends", o.ends(t), map[string]queue.State{"bob@a": queue.Delivered, "carl@a": queue.Delivered})
		o.equal("deliveries", calls.Load(), 2)

		// And one that does not end: stopping does not wait for ever, and says what is lost.
		o.put(queue.Batch{}, "eve@a")
		wait(time.Second)
		set(true)
		begun := time.Now()
		if err := o.stop(); err == nil {
			t.Error("Run says nothing of the fate that it could not store")
		}
		o.stop = nil
		if took := time.Since(begun); took > 12*time.Minute {
			t.Errorf("stopping took %v", took)
		}
	})
}

// An item that is given back and due at once is claimed again before the runner has seen the end of its delivery, and
// delivered all the same.
func TestRunnerGivenBack(t *testing.T) {
	var mu sync.Mutex
	calls := map[string]int{}
	opened(t, handle(func(_ context.Context, i queue.Item) queue.Result {
		mu.Lock()
		defer mu.Unlock()
		if calls[i.To]++; calls[i.To] < 50 {
			return queue.Result{Untried: true}
		}
		return queue.Result{State: queue.Delivered}
	}), func(o *office) {
		o.start()
		for n := range 20 {
			o.put(queue.Batch{}, fmt.Sprint(n, "@a"), fmt.Sprint("also", n, "@a"))
		}
		wait(10 * time.Second)
		o.equal("ends", len(o.ends(t)), 40)
		for to, n := range locked(&mu, func() map[string]int { return maps.Clone(calls) }) {
			o.equal("calls for "+to, n, 50)
		}
	})
}

// lingering is a store whose answer comes late when items are given back.
type lingering struct{ queue.Store }

func (l lingering) Settle(ctx context.Context, s queue.Settlement) ([]queue.ID, error) {
	lost, err := l.Store.Settle(ctx, s)
	if s.Outcomes[0].Untried {
		nap(time.Second)
	}
	return lost, err
}

// A claim may give only what deliveries that are about to end have in hand. The places it was for are still free then, and others
// in the lane get them at once.
func TestRunnerClaimsBesideGivenBack(t *testing.T) {
	var backs atomic.Int32
	opened(t, handle(func(_ context.Context, i queue.Item) queue.Result {
		switch {
		case i.To == "back@a" && backs.Add(1) <= 2:
			nap(100 * time.Millisecond)
			return queue.Result{Untried: true}
		case i.To == "long@a":
			nap(200 * time.Millisecond) // until then the lane is full
		}
		return queue.Result{State: queue.Delivered}
	}), func(o *office) {
		o.Store, o.LaneInitial = lingering{o.Store}, 4
		for _, to := range []string{"back@a", "back@a", "long@a", "long@a"} {
			o.put(queue.Batch{}, to)
		}
		o.put(queue.Batch{Priority: queue.Bulk}, "behind@a")
		o.start()
		wait(5 * time.Second)
		o.equal("items left", o.left(), 0)
	})
}
