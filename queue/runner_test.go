package queue_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postrider/postrider/queue"
)

// post is a Handler that is a function.
type post func(ctx context.Context, b queue.Body, items []queue.Item) []queue.Result

func (p post) Deliver(ctx context.Context, b queue.Body, items []queue.Item) []queue.Result {
	return p(ctx, b, items)
}

func TestRunnerDeliversInGroups(t *testing.T) {
	var mu sync.Mutex
	calls := map[string]int{}
	opened(t, post(func(ctx context.Context, b queue.Body, items []queue.Item) []queue.Result {
		body, err := readAll(b)
		mu.Lock()
		defer mu.Unlock()
		calls[fmt.Sprint(body, ": ", recipients(items), " ", err)]++
		return []queue.Result{{State: queue.Delivered}, {State: queue.Delivered}}
	}), func(o *office) {
		o.start()
		wait(time.Minute)
		o.put(queue.Batch{Body: queue.Bytes("one")}, "bob@a", "eve@b", "carl@a")
		o.put(queue.Batch{Body: queue.Bytes("two")}, "bob2@a")
		wait(time.Millisecond)
		o.equal("calls", calls, map[string]int{"one: bob@a carl@a <nil>": 1, "one: eve@b <nil>": 1, "two: bob2@a <nil>": 1})
		o.equal("ends", o.ends(t), map[string]queue.State{
			"bob@a": queue.Delivered, "eve@b": queue.Delivered, "carl@a": queue.Delivered, "bob2@a": queue.Delivered})
		o.equal("items left", o.left(), 0)
	})
}

func TestRunnerWaitsForNotBefore(t *testing.T) {
	var at time.Time
	opened(t, handle(func(context.Context, queue.Item) queue.Result {
		at = time.Now()
		return queue.Result{State: queue.Delivered}
	}), func(o *office) {
		o.start()
		due := time.Now().Add(90 * time.Minute)
		o.put(queue.Batch{Items: []queue.Item{{Due: due}}}, "bob@a")
		wait(2 * time.Hour)
		if late := at.Sub(due); late < 0 || late > time.Second {
			t.Errorf("delivered %v after its time", late)
		}
	})
}

func TestRunnerTriesFiveDays(t *testing.T) {
	var tries []time.Time
	opened(t, handle(func(context.Context, queue.Item) queue.Result {
		tries = append(tries, time.Now())
		return queue.Result{Note: []byte("greylisted")}
	}), func(o *office) {
		o.start()
		begun := time.Now()
		o.put(queue.Batch{Items: []queue.Item{{Expires: o.Schedule.Expires(begun, time.Time{})}}}, "bob@a")
		wait(6 * 24 * time.Hour)
		for n, want := range []time.Duration{0, 1 * time.Minute, 3 * time.Minute, 8 * time.Minute, 20 * time.Minute, 45 * time.Minute, time.Hour} {
			gap := tries[n].Sub(tries[max(n-1, 0)])
			if gap < want*9/10-time.Second || gap > want*11/10+time.Second {
				t.Errorf("attempt %d came after %v, want about %v", n+1, gap, want)
			}
		}
		for n := 1; n < len(tries); n++ {
			if gap := tries[n].Sub(tries[n-1]); gap > 4*time.Hour*11/10+time.Second {
				t.Errorf("attempt %d came after %v", n+1, gap)
			}
		}
		events := o.of("bob@a")
		last := events[len(events)-1]
		o.equal("the end", fmt.Sprint(last.Item.State, " ", string(last.Item.Note)), "expired greylisted")
		o.equal("attempts", last.Item.Attempts, len(tries))
		if took := last.At.Sub(begun); took < 5*24*time.Hour-5*time.Hour || took > 5*24*time.Hour {
			t.Errorf("given up after %v", took)
		}
		t.Logf("%d attempts in %v", len(tries), tries[len(tries)-1].Sub(begun))
	})
}

func TestRunnerExpiresInTime(t *testing.T) {
	opened(t, handle(func(context.Context, queue.Item) queue.Result { return queue.Result{After: time.Second} }), func(o *office) {
		o.start()
		now := time.Now()
		o.put(queue.Batch{Items: []queue.Item{{Expires: now.Add(10 * time.Minute)}}}, "retried@a")
		o.put(queue.Batch{Items: []queue.Item{{Due: now.Add(time.Hour), Expires: now.Add(20 * time.Minute)}}}, "waiting@a")
		wait(time.Hour)
		o.equal("ends", o.ends(t), map[string]queue.State{"retried@a": queue.Expired, "waiting@a": queue.Expired})
		for to, want := range map[string]time.Duration{"retried@a": 10 * time.Minute, "waiting@a": 20 * time.Minute} {
			events := o.of(to)
			if at := events[len(events)-1].At.Sub(now); at > want+time.Second || at < want-2*time.Second {
				t.Errorf("%s ended after %v, want %v", to, at, want)
			}
		}
	})
}

func TestRunnerUnsure(t *testing.T) {
	for _, policy := range []queue.State{"", queue.Waiting, queue.Delivered, queue.Failed} {
		opened(t, handle(func(_ context.Context, i queue.Item) queue.Result {
			return queue.Result{Unsure: i.Attempts == 1, State: queue.Delivered}
		}), func(o *office) {
			o.Unsure = policy
			o.start()
			o.put(queue.Batch{}, "bob@a")
			wait(time.Hour)
			want, attempts := policy, 1
			if policy == "" || policy == queue.Waiting {
				want, attempts = queue.Delivered, 2
			}
			events := o.of("bob@a")
			o.equal("the end", events[len(events)-1].Item.State, want)
			o.equal("attempts", events[len(events)-1].Item.Attempts, attempts)
		})
	}
}

func TestRunnerWithoutAnswerTriesAgain(t *testing.T) {
	opened(t, post(func(_ context.Context, _ queue.Body, items []queue.Item) []queue.Result {
		if items[0].Attempts > 1 {
			return []queue.Result{{State: queue.Delivered}, {State: queue.Delivered}, {State: queue.Failed}} // one too many
		}
		return []queue.Result{{State: queue.Delivered}}
	}), func(o *office) {
		o.start()
		o.put(queue.Batch{}, "bob@a", "eve@a")
		wait(time.Hour)
		o.equal("ends", o.ends(t), map[string]queue.State{"bob@a": queue.Delivered, "eve@a": queue.Delivered})
		o.equal("events of eve", len(o.of("eve@a")), 3)
	})
}

func TestRunnerSetsDamagedAside(t *testing.T) {
	opened(t, post(func(_ context.Context, b queue.Body, items []queue.Item) []queue.Result {
		if _, err := readAll(b); err != nil {
			return nil // the handler thinks that it is any other trouble
		}
		return []queue.Result{{State: queue.Delivered}}
	}), func(o *office) {
		o.Store = rotten{o.Store}
		o.start()
		o.put(queue.Batch{}, "bob@a")
		wait(time.Hour)
		o.equal("ends", o.ends(t), map[string]queue.State{"bob@a": queue.Damaged})
	})
}

// rotten is a store whose bodies are damaged.
type rotten struct{ queue.Store }

func (r rotten) Open(ctx context.Context, id string) (queue.Body, error) {
	b, err := r.Store.Open(ctx, id)
	return rottenBody{b}, err
}

func TestRunnerStops(t *testing.T) {
	started := make(chan string, 10)
	opened(t, handle(func(ctx context.Context, i queue.Item) queue.Result {
		started <- i.To
		took := map[string]time.Duration{"short@a": 10 * time.Second, "long@b": time.Hour}[i.To]
		select {
		case <-ctx.Done():
			return queue.Result{Note: []byte("cut off")}
		case <-time.After(took):
			return queue.Result{State: queue.Delivered}
		}
	}), func(o *office) {
		o.start()
		o.put(queue.Batch{}, "short@a", "long@b")
		wait(time.Second)
		begun := time.Now()
		o.end()
		if took := time.Since(begun); took < 29*time.Second || took > 31*time.Second {
			t.Errorf("stopping took %v", took)
		}
		o.equal("ends", o.ends(t), map[string]queue.State{"short@a": queue.Delivered})
		items, _ := o.Store.List(o.Context(), queue.Query{To: "long@b"})
		o.equal("state and attempts of the one cut off", fmt.Sprint(items[0].State, items[0].Attempts), "waiting0")
		o.equal("how many claims see it at once", len(must(o.Store.Claim(o.Context(), queue.ClaimRequest{Now: time.Now(), Lease: 1, Max: 1})).Items), 1)
		o.put(queue.Batch{}, "late@a")
		wait(time.Hour)
		o.equal("deliveries begun", len(started), 2)
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestRunnerKeepsItsLease(t *testing.T) {
	var calls atomic.Int32
	opened(t, handle(func(ctx context.Context, i queue.Item) queue.Result {
		calls.Add(1)
		nap(time.Hour)
		return queue.Result{State: queue.Delivered}
	}), func(o *office) {
		o.Lease = time.Minute
		o.start()
		other := queue.Runner{Store: o.Store, Handler: o.Handler, Lease: time.Minute}
		ctx, cancel := context.WithCancel(o.Context())
		over := make(chan error)
		go func() { over <- other.Run(ctx) }()
		o.put(queue.Batch{}, "bob@a")
		wait(2 * time.Hour)
		cancel()
		if err := <-over; err != nil {
			t.Error(err)
		}
		o.equal("calls", calls.Load(), 1)
	})
}

func TestRunnerLeavesWhatIsAnothers(t *testing.T) {
	var cut error
	opened(t, handle(func(ctx context.Context, i queue.Item) queue.Result {
		<-ctx.Done()
		cut = ctx.Err()
		return queue.Result{State: queue.Failed}
	}), func(o *office) {
		o.Lease = time.Minute
		o.start()
		o.put(queue.Batch{}, "bob@a")
		wait(time.Second)
		// Another worker, whose clock is ahead, takes the item.
		l := must(o.Store.Claim(o.Context(), queue.ClaimRequest{Now: time.Now().Add(time.Hour), Lease: time.Hour, Max: 1}))
		o.equal("items of the other", len(l.Items), 1)
		wait(time.Minute)
		if !errors.Is(cut, context.Canceled) {
			t.Errorf("the delivery was not cut off: %v", cut)
		}
		o.equal("ends", o.ends(t), map[string]queue.State{})
	})
}

func TestRunnerTellsAgain(t *testing.T) {
	opened(t, ok, func(o *office) {
		o.fail = 12
		o.start()
		for n := range 5 {
			o.put(queue.Batch{}, fmt.Sprint(n, "@a"))
		}
		wait(10 * time.Minute)
		o.equal("ends", len(o.ends(t)), 5)
		for n := 1; n < len(o.events); n++ {
			if o.events[n].Seq <= o.events[n-1].Seq {
				t.Errorf("event %d after %d", o.events[n].Seq, o.events[n-1].Seq)
			}
		}
		o.equal("items left", o.left(), 0)
	})
}

func TestRunnerForgetsInTime(t *testing.T) {
	opened(t, ok, func(o *office) {
		o.start()
		o.put(queue.Batch{Keep: time.Hour}, "bob@a")
		wait(59 * time.Minute)
		o.equal("items kept", o.left(), 1)
		wait(3 * time.Minute)
		o.equal("items kept", o.left(), 0)
	})
}

func TestRunnerNeedsAStore(t *testing.T) {
	if err := new(queue.Runner).Run(t.Context()); err == nil {
		t.Error("a Runner without a Store runs")
	}
}

func TestRunnerEndsWithItsStore(t *testing.T) {
	opened(t, ok, func(o *office) {
		over := make(chan error)
		go func() { over <- o.Runner.Run(o.Context()) }()
		wait(time.Second)
		o.Store.Close()
		if err := <-over; !errors.Is(err, queue.ErrClosed) {
			t.Errorf("Run: %v, want ErrClosed", err)
		}
	})
}

// unhurried is a store that takes its time to claim.
type unhurried struct{ queue.Store }

func (s unhurried) Claim(ctx context.Context, r queue.ClaimRequest) (queue.Lease, error) {
	l, err := s.Store.Claim(ctx, r)
	nap(5 * time.Millisecond)
	return l, err
}

// What becomes due while the store is asked for something else is not left until the next poll.
func TestRunnerSlowStore(t *testing.T) {
	opened(t, ok, func(o *office) {
		o.Store = unhurried{o.Store}
		for n := range 50 {
			o.put(queue.Batch{Items: []queue.Item{{Due: time.Now().Add(time.Duration(n) * time.Millisecond)}}}, fmt.Sprint(n, "@a"))
		}
		o.start()
		wait(time.Second)
		o.equal("ends", len(o.ends(t)), 50)
	})
}

// tally is a store that counts its claims.
type tally struct {
	queue.Store
	claims atomic.Int32
}

func (s *tally) Claim(ctx context.Context, r queue.ClaimRequest) (queue.Lease, error) {
	s.claims.Add(1)
	return s.Store.Claim(ctx, r)
}

// One Put makes one claim: what a claim changes does not wake the runner that made it.
func TestRunnerClaimsOnce(t *testing.T) {
	opened(t, ok, func(o *office) {
		s := &tally{Store: o.Store}
		o.Store, o.Poll = s, time.Hour
		o.start()
		wait(time.Second)
		before := s.claims.Load()
		for n := range 10 {
			o.put(queue.Batch{}, fmt.Sprint(n, "@a"))
			wait(time.Second)
		}
		o.equal("ends", len(o.ends(t)), 10)
		o.equal("claims", s.claims.Load()-before, 10)
	})
}

// deaf is a store whose next answer to Claim is lost on the way.
type deaf struct {
	queue.Store
	lose atomic.Bool
}

func (s *deaf) Claim(ctx context.Context, r queue.ClaimRequest) (queue.Lease, error) {
	l, err := s.Store.Claim(ctx, r)
	if len(l.Items) > 0 && s.lose.CompareAndSwap(true, false) {
		return queue.Lease{}, errors.New("the answer is lost")
	}
	return l, err
}

// A lease that lapses is noticed when it does, though no Put, Settle or Update comes.
func TestRunnerNoticesLapse(t *testing.T) {
	opened(t, ok, func(o *office) {
		s := &deaf{Store: o.Store}
		o.Store, o.Poll, o.Lease = s, time.Hour, 3*time.Minute
		s.lose.Store(true)
		o.start()
		wait(time.Second)
		o.put(queue.Batch{}, "bob@a")
		wait(3*time.Minute - time.Second)
		o.equal("ends", len(o.ends(t)), 0)
		wait(3 * time.Second)
		o.equal("ends", len(o.ends(t)), 1)
	})
}
