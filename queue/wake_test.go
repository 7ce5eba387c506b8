package queue_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/queue"
	"github.com/postrider/postrider/queue/disk"
)

// rounds are how many runners TestWakeUps runs with each store: POSTRIDER_WAKEUPS names another number.
func rounds(usual int) int {
	if n, err := strconv.Atoi(os.Getenv("POSTRIDER_WAKEUPS")); err == nil {
		return n
	}
	if testing.Short() {
		return usual / 4
	}
	return usual
}

// Whatever the order of things, the runner hears of what can be claimed: it is not asked to look now and then, no lease
// lapses, and between bursts nothing happens that would wake it by chance. In a bubble time stands still while many things happen; outside of it they happen
// between any two ticks of the clock.
func TestWakeUps(t *testing.T) {
	onDisk := func(t *testing.T) queue.Store {
		s, err := disk.Config{Dir: t.TempDir(), Segment: 256 << 10}.Open()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	inMemory := func(*testing.T) queue.Store { return new(queue.Memory) }
	for _, c := range []struct {
		name   string
		open   func(*testing.T) queue.Store
		bubble bool
		rounds int
	}{{"memory in a bubble", inMemory, true, 80}, {"disk in a bubble", onDisk, true, 4},
		{"memory", inMemory, false, 8}, {"disk", onDisk, false, 4}} {
		t.Run(c.name, func(t *testing.T) {
			for range rounds(c.rounds) {
				if c.bubble {
					synctest.Test(t, func(t *testing.T) { sendBursts(t, c.open(t), 300*time.Millisecond, 100*time.Hour) })
				} else {
					sendBursts(t, c.open(t), time.Millisecond, time.Minute)
				}
			}
		})
	}
}

// sendBursts sends bursts of mail through a runner, each when the one before it is done. Step is about how long things take. A
// lane rests for minutes if it is down: that needs patience.
func sendBursts(t *testing.T, s queue.Store, step, patience time.Duration) {
	defer s.Close()
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 1))
	random := func() time.Duration { return time.Duration(rand.Int64N(int64(2 * step))) }
	ended := make(chan string, 1000)
	r := &queue.Runner{Store: s, Poll: 1000 * time.Hour, Window: 1 + rng.IntN(8), Group: 2, LaneInitial: 1 + rng.IntN(3), LaneMax: 3,
		Schedule: queue.Schedule{Delays: []time.Duration{step}}, Lease: 1000 * time.Hour,
		Handler: handle(func(_ context.Context, i queue.Item) queue.Result {
			if rand.IntN(2) == 0 {
				nap(random())
			}
			switch rand.IntN(8) {
			case 0:
				return queue.Result{After: random()}
			case 1:
				return queue.Result{Untried: true, After: random()}
			case 2:
				return queue.Result{LaneBusy: true}
			case 3:
				return queue.Result{LaneDown: patience > time.Hour}
			}
			return queue.Result{State: queue.Delivered}
		}),
		Recorder: recorder(func(events []queue.Event) {
			for _, e := range events {
				if e.Item.State.Ended() {
					ended <- e.Item.To
				}
			}
		})}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	over := make(chan error, 1)
	go func() { over <- r.Run(ctx) }()
	// Something is always due at some time, so that not every answer of Next is that nothing is.
	if _, err := s.Put(ctx, &queue.Batch{Now: time.Now(), Body: queue.Bytes("x"), Items: []queue.Item{{Due: time.Now().Add(1e6 * time.Hour)}}}); err != nil {
		t.Fatal(err)
	}
	for n := range 10 {
		var putting sync.WaitGroup
		items := 0
		for k := range 1 + rng.IntN(5) {
			b := &queue.Batch{Body: queue.Bytes("x"), Priority: queue.Priority(rng.IntN(3) - 1), Tenant: fmt.Sprint(rng.IntN(2))}
			delay, later := random(), random()
			for range 1 + rng.IntN(4) {
				b.Items = append(b.Items, queue.Item{To: fmt.Sprint(n, ".", k, ".", items), Lane: fmt.Sprint(rng.IntN(3))})
				items++
			}
			early := rng.IntN(2) == 0
			putting.Go(func() {
				if !early {
					nap(delay)
				}
				b.Now = time.Now()
				if delay < step {
					b.Items[0].Due = b.Now.Add(later)
				}
				if _, err := s.Put(ctx, b); err != nil {
					t.Error(err)
				}
			})
		}
		putting.Wait()
		for left := items; left > 0; left-- {
			select {
			case <-ended:
			case <-time.After(patience):
				all, err := s.List(ctx, queue.Query{})
				t.Fatalf("seed %d, burst %d: %d of %d items are not done, and nobody looks after %v, %v", seed, n, left, items, all, err)
			}
		}
	}
	cancel()
	if err := <-over; err != nil {
		t.Error(err)
	}
}

// recorder is a Recorder that is a function.
type recorder func(events []queue.Event)

func (r recorder) Record(_ context.Context, events []queue.Event) error { r(events); return nil }
