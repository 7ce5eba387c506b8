package disk

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/postrider/postrider/queue"
)

// compacted is a spool whose first segment had messages that wait, between others that were delivered, and behind them so
// many segments in which little lives that what waits was moved.
func compacted(t *testing.T) (l *life, before []queue.Item) {
	t.Helper()
	l = newLife(t, newFaulty(0, "", 0))
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(l.open())
	rng := rand.New(rand.NewPCG(5, 6))
	due := l.now.Add(8 * time.Minute)
	for n := range 6 {
		b := &queue.Batch{Tenant: "t", Key: fmt.Sprint("key", n), Fingerprint: "print", Common: []byte("common"),
			Items: []queue.Item{{To: "tried", Lane: "a", Meta: []byte("meta")}, {To: "late", Lane: "late", Due: due}}}
		if n%2 == 1 {
			b = &queue.Batch{Items: []queue.Item{{To: "gone", Lane: "b"}}}
		}
		check(l.putBody(rng, 1000, b))
	}
	lease, err := l.claim(100)
	check(err)
	s := queue.Settlement{Now: l.now, Token: lease.Token}
	for _, i := range lease.Items {
		o := queue.Outcome{ID: i.ID, State: queue.Waiting, Due: due.Add(time.Minute), Note: []byte("tried once")}
		if i.To == "gone" {
			o = queue.Outcome{ID: i.ID, State: queue.Delivered}
		}
		s.Outcomes = append(s.Outcomes, o)
	}
	check(l.settle(s))
	_, err = l.s.Update(t.Context(), queue.Change{Now: l.now, Op: queue.Hold, Where: queue.Query{Key: "key4", Tenant: "t", To: "late"}})
	check(err)
	check(l.drain(1000))
	before, err = l.s.List(t.Context(), queue.Query{})
	check(err)
	first, _ := l.s.log.first()
	if first == 0 {
		first = l.s.log.end().segment
	}
	for n := 0; l.s.log.used[first] != nil; n++ {
		if n == 20 {
			t.Fatalf("segment %d is never emptied: %v lives", first, l.s.live)
		}
		check(l.putBody(rng, 10_000, &queue.Batch{Items: []queue.Item{{To: "large", Lane: "b"}}}))
		check(l.deliverAll(1000))
		check(l.s.checkpoint(false))
		l.s.tidy()
	}
	return l, before
}

// What waits for long does not keep the segments behind it: it is moved, and stays what it was, body, states and key, also when
// the spool is opened again, with its index or without.
func TestCompact(t *testing.T) {
	for _, index := range []string{"kept", "lost", "killed", "killed and lost"} {
		t.Run(index, func(t *testing.T) {
			l, before := compacted(t)
			if n := l.moves(); n < 3 {
				t.Fatalf("%d records of moved messages", n)
			}
			same := func(when string) {
				t.Helper()
				after, err := l.s.List(t.Context(), queue.Query{})
				if err != nil || fmt.Sprint(after) != fmt.Sprint(before) {
					t.Fatalf("%s: %v, the items were\n%v\nand are\n%v", when, err, before, after)
				}
				for _, i := range after {
					if body, err := l.body(i.ID.Message); err != nil || !bytes.Equal(body, l.bodies[i.ID.Message]) {
						t.Errorf("%s: %v has another body, %v", when, i.ID, err)
					}
				}
				b := &queue.Batch{Now: l.now, Tenant: "t", Key: "key2", Fingerprint: "print", Body: queue.Bytes("x"), Items: []queue.Item{{}}}
				if st, err := l.s.Put(context.Background(), b); err != nil || !st.Known {
					t.Errorf("%s: Put with a known key: %v, %v", when, st, err)
				}
			}
			same("moved")
			files := l.files.rise() // a kill leaves what was written
			if index == "kept" || index == "lost" {
				if err := l.s.Close(); err != nil {
					t.Fatal(err)
				}
				files = l.files.rise()
			} else {
				defer l.s.Close()
				old, _ := os.ReadFile(filepath.Join(l.dir, indexName))
				l.dir = t.TempDir()
				if index == "killed" {
					os.WriteFile(filepath.Join(l.dir, indexName), old, 0o600)
				}
			}
			if index == "lost" {
				os.Remove(filepath.Join(l.dir, indexName))
			}
			l.files = files
			if err := l.open(); err != nil {
				t.Fatal(err)
			}
			defer l.s.Close()
			same("opened again")
			if _, err := l.s.Update(t.Context(), queue.Change{Now: l.now, Op: queue.Requeue}); err != nil {
				t.Fatal(err)
			}
			l.finish()
		})
	}
}

// A message that cannot be read when it is to be moved is set aside; those beside it are moved.
func TestCompactDamaged(t *testing.T) {
	for _, part := range []string{"body", "meta"} {
		t.Run(part, func(t *testing.T) {
			l := newLife(t, newFaulty(0, "", 0))
			if err := l.open(); err != nil {
				t.Fatal(err)
			}
			defer func() { l.s.Close() }()
			rng := rand.New(rand.NewPCG(7, 8))
			for n := range 3 {
				b := &queue.Batch{Items: []queue.Item{{To: fmt.Sprint("late", n), Lane: "late", Due: l.now.Add(8 * time.Minute)}}}
				if err := l.putBody(rng, 1000, b); err != nil {
					t.Fatal(err)
				}
			}
			if err := l.drain(1000); err != nil {
				t.Fatal(err)
			}
			// The index has all, so that memory knows nothing of the messages but where they are.
			if err := l.s.checkpoint(false); err != nil {
				t.Fatal(err)
			}
			l.s.mu.Lock()
			m := l.s.load(2)
			in := l.s.log.used[m.at.segment].f.(*faultyFile)
			l.s.mu.Unlock()
			off := m.at.off + headSize + 1
			if part == "body" {
				off += int64(m.at.meta) + 100
			}
			l.files.mu.Lock()
			in.now[off] ^= 1
			l.files.mu.Unlock()
			for n := 0; l.s.log.used[m.at.segment] != nil; n++ {
				if n == 20 {
					t.Fatalf("the segment is never emptied: %v lives", l.s.live)
				}
				if err := l.putBody(rng, 10_000, &queue.Batch{Items: []queue.Item{{To: "large", Lane: "b"}}}); err != nil {
					t.Fatal(err)
				}
				if err := l.deliverAll(1000); err != nil {
					t.Fatal(err)
				}
				if err := l.s.checkpoint(false); err != nil {
					t.Fatal(err)
				}
				l.s.tidy()
			}
			items, err := l.s.List(t.Context(), queue.Query{})
			if err != nil || len(items) != 3 {
				t.Fatalf("items %v, %v", items, err)
			}
			for n, i := range items {
				want := queue.Waiting
				if n == 1 {
					want = queue.Damaged
				}
				if i.State != want {
					t.Errorf("%v (%s) is %s, want %s", i.ID, i.To, i.State, want)
				}
			}
			l.now = l.now.Add(10 * time.Minute)
			if lease, err := l.claim(10); err != nil || len(lease.Items) != 2 {
				t.Errorf("Claim: %v, %v", lease.Items, err)
			}
		})
	}
}

// A message of which events are left is not moved before they are acknowledged: the log has them where it is.
func TestCompactLeavesEvents(t *testing.T) {
	l := newLife(t, newFaulty(0, "", 0))
	if err := l.open(); err != nil {
		t.Fatal(err)
	}
	defer func() { l.s.Close() }()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	rng := rand.New(rand.NewPCG(11, 12))
	check(l.putBody(rng, 500, &queue.Batch{Items: []queue.Item{{To: "late", Lane: "late", Due: l.now.Add(time.Minute)}}}))
	for range 7 {
		check(l.putBody(rng, 10_000, &queue.Batch{Items: []queue.Item{{To: "large", Lane: "b"}}}))
		check(l.deliverAll(1000))
	}
	l.now = l.now.Add(time.Minute)
	lease, err := l.claim(1)
	check(err)
	due := l.now.Add(8 * time.Minute)
	check(l.settle(queue.Settlement{Now: l.now, Token: lease.Token,
		Outcomes: []queue.Outcome{{ID: lease.Items[0].ID, State: queue.Waiting, Due: due, Note: []byte("tried")}}}))
	tidy := func() {
		check(l.s.checkpoint(false))
		l.s.tidy()
		check(l.s.log.hurry(t.Context(), l.s.log.last())) // what moves reads
	}
	tidy()
	if n := l.moves(); n != 0 {
		t.Errorf("%d messages with events were moved", n)
	}
	check(l.s.Close())
	check(os.Remove(filepath.Join(l.dir, indexName)))
	l.files = l.files.rise()
	check(l.open())
	events, err := l.s.Events(t.Context(), queue.EventsRequest{Now: l.now, Lease: time.Minute})
	if err != nil || len(events) != 1 || string(events[0].Item.Note) != "tried" {
		t.Fatalf("events %v, %v", events, err)
	}
	check(l.s.Ack(t.Context(), events))
	tidy()
	if n := l.moves(); n != 1 {
		t.Errorf("%d messages were moved", n)
	}
	l.finish()
}
