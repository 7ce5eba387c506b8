package queue_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/postrider/postrider/queue"
)

func putN(b *testing.B, s queue.Store, n int, lane func(n int) string, p queue.Priority) {
	b.Helper()
	body := queue.Bytes(make([]byte, 100))
	for n := range n {
		_, err := s.Put(b.Context(), &queue.Batch{Now: time.Now(), Body: body, Priority: p, Items: []queue.Item{{To: "bob", Lane: lane(n)}}})
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMemoryPut(b *testing.B) {
	s := new(queue.Memory)
	b.ReportAllocs()
	body := queue.Bytes(make([]byte, 4096))
	for b.Loop() {
		if _, err := s.Put(b.Context(), &queue.Batch{Now: time.Now(), Body: body, Items: []queue.Item{{To: "bob", Lane: "a"}}}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkMemoryCycle is put, claim, settle and the events, in batches of 100 items in 10 lanes.
func BenchmarkMemoryCycle(b *testing.B) {
	s := new(queue.Memory)
	b.ReportAllocs()
	items := 0
	for b.Loop() {
		putN(b, s, 100, func(n int) string { return fmt.Sprint(n % 10) }, 0)
		l, err := s.Claim(b.Context(), queue.ClaimRequest{Now: time.Now(), Lease: time.Minute, Max: 100})
		if err != nil || len(l.Items) != 100 {
			b.Fatal(len(l.Items), err)
		}
		outcomes := make([]queue.Outcome, len(l.Items))
		for n, i := range l.Items {
			outcomes[n] = queue.Outcome{ID: i.ID, State: queue.Delivered}
		}
		if _, err := s.Settle(b.Context(), queue.Settlement{Now: time.Now(), Token: l.Token, Outcomes: outcomes}); err != nil {
			b.Fatal(err)
		}
		events, err := s.Events(b.Context(), queue.EventsRequest{Now: time.Now(), Lease: time.Minute})
		if err == nil {
			err = s.Ack(b.Context(), events)
		}
		if err != nil {
			b.Fatal(err)
		}
		items += 100
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(items), "ns/item")
}

// crowd counts deliveries and says when there were enough.
type crowd struct {
	took   time.Duration // of a delivery
	counts func(*queue.Item) bool
	mu     sync.Mutex
	left   int
	enough chan struct{}
}

func (c *crowd) expect(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left, c.enough = n, make(chan struct{})
}

func (c *crowd) Deliver(ctx context.Context, _ queue.Body, items []queue.Item) []queue.Result {
	if c.took > 0 {
		timer := time.NewTimer(c.took)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	results := make([]queue.Result, len(items))
	c.mu.Lock()
	defer c.mu.Unlock()
	for n := range items {
		results[n].State = queue.Delivered
		if c.counts(&items[n]) {
			if c.left--; c.left == 0 {
				close(c.enough)
			}
		} else {
			results[n] = queue.Result{LaneDown: true}
		}
	}
	return results
}

// running runs a Runner during the benchmark.
func running(b *testing.B, r queue.Runner) {
	ctx, cancel := context.WithCancel(b.Context())
	over := make(chan error)
	r.Grace = -1
	go func() { over <- r.Run(ctx) }()
	b.Cleanup(func() {
		cancel()
		<-over
	})
}

// BenchmarkRunner is what the runner adds to a delivery that does nothing: many lanes, one item each message.
func BenchmarkRunner(b *testing.B) {
	s, h := new(queue.Memory), &crowd{counts: func(*queue.Item) bool { return true }}
	running(b, queue.Runner{Store: s, Handler: h})
	b.ReportAllocs()
	const many = 1000
	for b.Loop() {
		h.expect(many)
		putN(b, s, many, func(n int) string { return fmt.Sprint(n % 100) }, 0)
		<-h.enough
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*many), "ns/item")
}

// BenchmarkUrgent is how long urgent mail waits behind a million bulk mails that are all due, with deliveries that take
// 5 ms: from Put to its delivery.
func BenchmarkUrgent(b *testing.B) {
	s := new(queue.Memory)
	putN(b, s, 1_000_000, func(n int) string { return fmt.Sprint(n % 1000) }, queue.Bulk)
	var waited []time.Duration
	urgent := make(chan time.Time)
	h := deliverer(func(i *queue.Item) {
		if i.Priority == queue.Urgent {
			urgent <- time.Now()
			return
		}
		<-time.After(5 * time.Millisecond)
	})
	running(b, queue.Runner{Store: s, Handler: h, Window: 64})
	for b.Loop() {
		<-time.After(time.Millisecond)
		begun := time.Now()
		putN(b, s, 1, func(n int) string { return "urgent" }, queue.Urgent)
		waited = append(waited, (<-urgent).Sub(begun))
	}
	slices.Sort(waited)
	b.ReportMetric(float64(waited[len(waited)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(waited[len(waited)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(float64(waited[len(waited)-1].Microseconds())/1000, "max-ms")
}

type deliverer func(*queue.Item)

func (d deliverer) Deliver(_ context.Context, _ queue.Body, items []queue.Item) []queue.Result {
	results := make([]queue.Result, len(items))
	for n := range items {
		d(&items[n])
		results[n].State = queue.Delivered
	}
	return results
}

// BenchmarkDeadLane is what a dead domain with 500,000 due items costs the deliveries to others: their rate beside it, over
// their rate alone (of-alone), and over their rate beside 500,000 items that are not due (of-asleep; 1 is nothing). The second is
// the fair floor: to hold that many items costs the caches of the machine something, whatever their lane does. The
// three take turns in one process, so that its garbage collector costs all the same.
func BenchmarkDeadLane(b *testing.B) {
	const many = 5000
	counts := func(i *queue.Item) bool { return i.Lane != "dead" }
	rig := func(dead int, due time.Time) (round func() time.Duration) {
		s, h := new(queue.Memory), &crowd{counts: counts, took: time.Millisecond}
		body := queue.Bytes(make([]byte, 100))
		for range dead {
			_, err := s.Put(b.Context(), &queue.Batch{Now: time.Now(), Body: body, Items: []queue.Item{{To: "bob", Lane: "dead", Due: due}}})
			if err != nil {
				b.Fatal(err)
			}
		}
		running(b, queue.Runner{Store: s, Handler: h})
		return func() time.Duration {
			h.expect(many)
			begun := time.Now()
			putN(b, s, many, func(n int) string { return fmt.Sprint(n % 100) }, 0)
			<-h.enough
			return time.Since(begun)
		}
	}
	rigs := []func() time.Duration{rig(0, time.Time{}), rig(500_000, time.Now().Add(24*time.Hour)), rig(500_000, time.Time{})}
	var took [3]time.Duration
	for _, round := range rigs {
		round()
	}
	for b.Loop() {
		for n, round := range rigs {
			took[n] += round()
		}
	}
	b.ReportMetric(took[0].Seconds()/took[2].Seconds(), "of-alone")
	b.ReportMetric(took[1].Seconds()/took[2].Seconds(), "of-asleep")
	b.ReportMetric(float64(b.N*many)/took[2].Seconds(), "items/s")
}
