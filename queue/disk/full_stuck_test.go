package disk

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/postrider/postrider/queue"
)

// filled is a spool on a disk that is full: no other file has room. Small messages have filled it.
func filled(t *testing.T, files int, before ...*queue.Batch) (*life, *rand.Rand) {
	t.Helper()
	l, rng := newLife(t, newFaulty(0, "", 1)), rand.New(rand.NewPCG(13, 14))
	if err := l.open(); err != nil {
		t.Fatal(err)
	}
	for _, b := range before {
		if err := l.putBody(rng, 1000, b); err != nil {
			t.Fatal(err)
		}
	}
	for {
		if l.files.at == 0 && len(l.files.files) > files { // and the small one
			l.files.at, l.files.fault = l.files.count+1, full
		}
		switch err := l.put1(rng); {
		case errors.Is(err, queue.ErrFull):
			return l, rng
		case err != nil:
			t.Fatal(err)
		}
	}
}

func (l *life) put1(rng *rand.Rand) error {
	return l.putBody(rng, 2000, &queue.Batch{Items: []queue.Item{{To: "bob", Lane: "a"}}})
}

// keepUpOnce does what keepUp does.
func (l *life) keepUpOnce() {
	l.t.Helper()
	if err := l.s.checkpoint(false); err != nil {
		l.t.Fatal(err)
	}
	l.s.tidy()
}

func outcomes(lease queue.Lease, o queue.Outcome) (all []queue.Outcome) {
	for _, i := range lease.Items {
		o.ID = i.ID
		all = append(all, o)
	}
	return all
}

// Each crash begins a new segment. Where there is no room for one, the last goes on.
func TestFullCrashes(t *testing.T) {
	l, _ := filled(t, 2)
	for range 5 {
		files := l.files.rise()
		index, err := os.ReadFile(filepath.Join(l.dir, indexName))
		if err != nil {
			t.Fatal(err)
		}
		l.s.Close() // what that writes is forgotten
		l.files, l.dir = files, t.TempDir()
		os.WriteFile(filepath.Join(l.dir, indexName), index, 0o600)
		l.files.at, l.files.fault = 1, full
		if err := l.open(); err != nil {
			t.Fatal(err)
		}
		l.now = l.now.Add(time.Hour)
		if lease, err := l.claim(1); err != nil || len(lease.Items) != 1 {
			t.Fatal(lease, err)
		}
	}
	l.finish()
	l.s.Close()
}

// Deliveries that take long use more of the reserve than claims leave. What makes room may take the rest then, as long as a
// segment becomes free.
func TestFullMostlyDead(t *testing.T) {
	for files := 3; files < 7; files++ {
		t.Run(fmt.Sprint(files, " files"), func(t *testing.T) {
			l, rng := filled(t, files, &queue.Batch{Items: []queue.Item{{To: "late", Lane: "late", Due: time.Date(2032, 1, 1, 0, 0, 0, 0, time.UTC)}}})
			defer func() { l.s.Close() }()
			if err := l.drain(1000); err != nil {
				t.Fatal(err)
			}
			running, err := l.claim(1000)
			if err != nil {
				t.Fatal(err)
			}
			for c := l.s.log.current; len(l.s.log.spare) > 0 || c.size-c.end >= l.s.log.toSettle(); c = l.s.log.current {
				l.now = l.now.Add(30 * time.Second)
				extended := outcomes(running, queue.Outcome{State: queue.Leased, Due: l.now.Add(time.Minute)})
				if err := l.settle(queue.Settlement{Now: l.now, Token: running.Token, Outcomes: extended}); err != nil {
					t.Fatal(err)
				}
				l.keepUpOnce()
			}
			if err := l.settle(queue.Settlement{Now: l.now, Token: running.Token, Outcomes: outcomes(running, queue.Outcome{State: queue.Delivered})}); err != nil {
				t.Fatal(err)
			}
			for range 10 {
				l.now = l.now.Add(time.Second)
				if err := l.drain(1000); err != nil {
					t.Fatal(err)
				}
				l.keepUpOnce()
			}
			if err := l.put1(rng); err != nil {
				t.Errorf("Put after nearly all was delivered: %v", err)
			}
			l.now = l.now.Add(10_000 * time.Hour)
			l.finish()
		})
	}
}

// What people hold and requeue leaves room for settlements.
func TestFullUpdates(t *testing.T) {
	l, _ := filled(t, 2)
	defer func() { l.s.Close() }()
	running, err := l.claim(2)
	if err != nil || len(running.Items) != 2 {
		t.Fatal(running, err)
	}
	for n := 0; err == nil; n++ {
		l.now = l.now.Add(time.Millisecond)
		err = l.update([]queue.Op{queue.Hold, queue.Requeue}[n%2], 1)
		l.keepUpOnce()
	}
	if !errors.Is(err, queue.ErrFull) {
		t.Fatal(err)
	}
	if err := l.settle(queue.Settlement{Now: l.now, Token: running.Token, Outcomes: outcomes(running, queue.Outcome{State: queue.Delivered})}); err != nil {
		t.Errorf("Settle: %v", err)
	}
	if err := l.drain(10); err != nil {
		t.Errorf("Ack: %v", err)
	}
}

// Expire of more than a record takes is done in parts.
func TestFullExpire(t *testing.T) {
	var large []*queue.Batch
	for range 4 {
		b := &queue.Batch{}
		for n := range 40 {
			b.Items = append(b.Items, queue.Item{To: fmt.Sprint(n), Lane: "a", Expires: time.Date(2031, 5, 6, 8, 0, 0, 0, time.UTC)})
		}
		large = append(large, b)
	}
	l, _ := filled(t, 8, large...)
	defer func() { l.s.Close() }()
	l.now = l.now.Add(time.Hour)
	expired, parts := 0, 0
	for more := true; more; {
		c, err := l.s.Update(t.Context(), queue.Change{Now: l.now, Op: queue.Expire})
		if err != nil {
			t.Fatalf("after %d: %v", expired, err)
		}
		if more = c.More; more && c.Items == 0 {
			t.Fatal("more is left, and nothing was done")
		}
		expired, parts = expired+c.Items, parts+1
		if err := l.drain(1000); err != nil {
			t.Fatal(err)
		}
		l.keepUpOnce()
	}
	if expired != 160 || parts < 2 {
		t.Errorf("%d of 160 expired, in %d parts", expired, parts)
	}
}
