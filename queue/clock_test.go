package queue

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// taker delivers everything, and notes when.
type taker map[string]time.Time

func (k taker) Deliver(_ context.Context, _ Body, items []Item) []Result {
	for _, i := range items {
		k[i.Lane] = time.Now()
	}
	return []Result{{State: Delivered}}
}

// When the clock is set back, what is due is found at once, and a lane rests no longer than any does. In a bubble nobody can set
// the clock, so the runner is made to believe that it was ahead.
func TestRunnerClockSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		took, begun, ahead := taker{}, time.Now(), wall().Add(1000*time.Hour)
		s := new(Memory)
		for _, lane := range []string{"lively", "dead"} {
			if _, err := s.Put(ctx, &Batch{Now: begun, Body: Bytes("x"), Items: []Item{{Lane: lane}}}); err != nil {
				t.Fatal(err)
			}
		}
		x := &run{Runner: &Runner{Store: s, Handler: took}, stop: ctx, store: ctx, deliver: ctx, lanes: newLanes(0, 0), inHand: map[ID]*delivery{},
			done: make(chan finished, 64), outbox: make(chan struct{}, 1), claiming: make(chan struct{}, 1), polled: ahead, next: ahead, seen: ahead, earlier: make(chan struct{})}
		dead := x.lanes.get("dead")
		dead.die(ahead)
		x.lanes.publish(dead, ahead)
		over := make(chan error)
		go func() { over <- x.loop() }()
		time.Sleep(time.Hour)
		cancel()
		if err := <-over; err != nil {
			t.Error(err)
		}
		lively, rested := took["lively"].Sub(begun), took["dead"].Sub(begun)
		if fmt.Sprint(lively, rested) != fmt.Sprint(time.Duration(0), longRest) {
			t.Errorf("delivered after %v, and in the dead lane after %v; want 0s and %v", lively, rested, longRest)
		}
	})
}
