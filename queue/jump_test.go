package queue

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// When the clock jumps a week ahead during a delivery, its lease lapses, and the runner claims the item while it has it in hand: it is
// delivered once all the same. What is due meanwhile is found at once, and what expired meanwhile expires. In a bubble nobody can
// set the clock, so the runner begins in the past, and goes on now.
func TestRunnerClockJumpsAhead(t *testing.T) {
	for what, takes := range map[string]time.Duration{"before the lease is extended": 10 * time.Second, "after": 5 * time.Minute} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				now := wall()
				before := now.Add(-7 * 24 * time.Hour)
				k := &keeper{takes: takes, calls: map[string]int{}, ends: map[string]string{}}
				s := new(Memory)
				for _, i := range []Item{{To: "in hand"}, {To: "due", Due: before.Add(48 * time.Hour)},
					{To: "expires", Due: before.Add(time.Hour), Expires: before.Add(24 * time.Hour)}, {To: "later", Due: now.Add(time.Hour)}} {
					i.Lane = i.To
					if _, err := s.Put(ctx, &Batch{Now: before, Body: Bytes("x"), Items: []Item{i}}); err != nil {
						t.Fatal(err)
					}
				}
				x := &run{Runner: &Runner{Store: s, Handler: k, Recorder: k}, stop: ctx, store: t.Context(), deliver: t.Context(), lanes: newLanes(0, 0),
					inHand: map[ID]*delivery{}, done: make(chan finished, 64), outbox: make(chan struct{}, 1), claiming: make(chan struct{}, 1)}
				x.look(before)
				x.hungry, x.expired, x.forgot = true, before, before
				if err := x.claim(before); err != nil || x.active != 1 {
					t.Fatalf("claimed %d deliveries, %v", x.active, err)
				}
				told := x.tell()
				over := make(chan error)
				go func() { over <- x.loop() }()
				time.Sleep(time.Second)
				synctest.Wait()
				k.check(t, map[string]int{"in hand": 1, "due": 1}, map[string]string{"expires": "expired 0"})
				time.Sleep(2 * time.Hour)
				cancel()
				if err := <-over; err != nil {
					t.Error(err)
				}
				x.drain(func() {})
				if err := told(); err != nil {
					t.Error(err)
				}
				k.check(t, map[string]int{"in hand": 1, "due": 1, "later": 1},
					map[string]string{"expires": "expired 0", "in hand": "delivered 2", "due": "delivered 1", "later": "delivered 1"})
			})
		})
	}
}

// keeper delivers everything, and keeps count.
type keeper struct {
	takes time.Duration
	mu    sync.Mutex
	calls map[string]int
	ends  map[string]string
}

func (k *keeper) Deliver(_ context.Context, _ Body, items []Item) []Result {
	k.mu.Lock()
	k.calls[items[0].To]++
	k.mu.Unlock()
	time.Sleep(k.takes)
	return []Result{{State: Delivered}}
}

func (k *keeper) Record(_ context.Context, events []Event) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, e := range events {
		if e.Item.State.Ended() {
			k.ends[e.Item.To] += fmt.Sprint(e.Item.State, " ", e.Item.Attempts)
		}
	}
	return nil
}

func (k *keeper) check(t *testing.T, calls map[string]int, ends map[string]string) {
	t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	if fmt.Sprint(k.calls, k.ends) != fmt.Sprint(calls, ends) {
		t.Errorf("deliveries %v and ends %v, want %v and %v", k.calls, k.ends, calls, ends)
	}
}
