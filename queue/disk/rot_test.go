package disk

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/queue"
)

// cycles delivers large messages, so that the log goes on.
func (l *life) cycles(rng *rand.Rand, n int) {
	l.t.Helper()
	for range n {
		if err := l.putBody(rng, 10_000, &queue.Batch{Items: []queue.Item{{To: "large", Lane: "b"}}}); err != nil {
			l.t.Fatal(err)
		}
		if err := l.deliverAll(1000); err != nil {
			l.t.Fatal(err)
		}
		l.keepUpOnce()
	}
}

// openImpatient opens the spool as open does; what cannot be read is waited for a moment.
func (l *life) openImpatient() {
	l.t.Helper()
	if err := l.open(); err != nil {
		l.t.Fatal(err)
	}
	l.s.patience = time.Nanosecond
}

// A message whose head has rotted, and messages that are missing with a whole segment, do not keep the oldest segment in use.
func TestRotDoesNotKeepSegments(t *testing.T) {
	for _, what := range []string{"head", "segment"} {
		t.Run(what, func(t *testing.T) {
			l, rng := newLife(t, newFaulty(0, "", 0)), rand.New(rand.NewPCG(7, 8))
			l.openImpatient()
			for n := range 12 {
				if err := l.putBody(rng, 3000, &queue.Batch{Items: []queue.Item{{To: fmt.Sprint("late", n), Lane: "late", Due: l.now.Add(8000 * time.Hour)}}}); err != nil {
					t.Fatal(err)
				}
			}
			if err := l.drain(1000); err != nil {
				t.Fatal(err)
			}
			l.keepUpOnce()
			switch what {
			case "head":
				m := l.s.load(2)
				l.s.log.used[m.at.segment].f.(*faultyFile).now[m.at.off+20] ^= 1
			case "segment":
				l.s.Close()
				l.files = l.files.rise()
				os.Remove(filepath.Join(l.dir, indexName))
				for name, f := range l.files.files {
					if tt, err := readTitle(f); err == nil && tt.number == 2 {
						delete(l.files.files, name)
					}
				}
				l.openImpatient()
			}
			l.cycles(rng, 60)
			if used, _ := l.s.log.inUse(); used > 12 {
				t.Errorf("%d segments are in use, live %v", used, l.s.live)
			}
			l.s.Close()
		})
	}
}

// A process is killed between the write and the sync. What the next one finds it may tell, so that it must make that durable first.
func TestKilledBeforeSync(t *testing.T) {
	l, rng := newLife(t, newFaulty(0, "", 0)), rand.New(rand.NewPCG(7, 8))
	if err := l.open(); err != nil {
		t.Fatal(err)
	}
	if err := l.put1(rng); err != nil {
		t.Fatal(err)
	}
	b := &queue.Batch{Key: "k", Items: []queue.Item{{To: "keyed", Lane: "a"}}}
	l.files.at, l.files.fault = l.files.count+2, failEIO
	if err := l.putBody(rng, 1000, b); err == nil {
		t.Fatal("Put without a sync")
	}
	l.s.Close()
	l.files = l.files.rise()
	if err := l.open(); err != nil {
		t.Fatal(err)
	}
	b.Now, b.Body = l.now, queue.Bytes("again")
	st, err := l.s.Put(t.Context(), b)
	if err != nil || !st.Known {
		t.Fatal(st, err)
	}
	l.files.mu.Lock()
	l.files.off, l.files.fault = true, cutClean
	l.files.mu.Unlock()
	l.s.Close()
	l.files = l.files.rise()
	if err := l.open(); err != nil {
		t.Fatal(err)
	}
	defer l.s.Close()
	if b, err := l.body(st.Message); err != nil || len(b) != 1000 {
		t.Errorf("what a Put has answered for: %d bytes, %v", len(b), err)
	}
}

// A free file that has lost its title is not taken for a segment: its mail has ended.
func TestFreedWithoutTitle(t *testing.T) {
	for _, index := range []string{"kept", "lost"} {
		t.Run("index "+index, func(t *testing.T) {
			l, rng := newLife(t, newFaulty(0, "", 0)), rand.New(rand.NewPCG(7, 8))
			if err := l.open(); err != nil {
				t.Fatal(err)
			}
			for n := range 13 {
				if err := l.putBody(rng, 3000, &queue.Batch{Items: []queue.Item{{To: "x", Lane: "a"}}}); err != nil {
					t.Fatal(err)
				}
				if n == 5 || n == 12 {
					if err := l.deliverAll(1000); err != nil {
						t.Fatal(err)
					}
				}
			}
			l.keepUpOnce()
			files := l.files.rise()
			saved, err := os.ReadFile(filepath.Join(l.dir, indexName))
			if err != nil {
				t.Fatal(err)
			}
			l.s.Close()
			if l.files = files; index == "kept" {
				os.WriteFile(filepath.Join(l.dir, indexName), saved, 0o600)
			} else {
				os.Remove(filepath.Join(l.dir, indexName))
			}
			hit := false
			for name, f := range l.files.files {
				if tt, err := readTitle(f); err == nil && tt.spool != 0 && tt.number == 0 && strings.HasPrefix(name, "log-") && f.now[pageSize+4] == byte(putRecord) && !hit {
					copy(f.now[:512], strings.Repeat("\x55", 512))
					hit = true
				}
			}
			if !hit {
				t.Fatal("there is no file that was freed")
			}
			if err := l.open(); err != nil {
				t.Fatal(err)
			}
			defer l.s.Close()
			l.now = l.now.Add(time.Hour)
			if lease, err := l.claim(1000); err != nil || len(lease.Items) > 0 { // claim fails if what has ended is given out
				t.Error(lease, err)
			}
		})
	}
}

// The events of one message that cannot be read wait for it once, not each for itself, also with others between them.
func TestUnreadableEvents(t *testing.T) {
	bad := &scratched{folder: newFaulty(0, "", 0)}
	l := newLife(t, nil)
	s, err := Config{Dir: l.dir, Segment: 16 << 10, files: bad, every: time.Hour, noSync: true, patience: time.Hour}.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	b := &queue.Batch{Now: l.now, Body: queue.Bytes(strings.Repeat("b", 3000))}
	for n := range 10 {
		b.Items = append(b.Items, queue.Item{To: fmt.Sprint(n), Lane: "a", Due: l.now.Add(100 * time.Hour)})
	}
	st, err := s.Put(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	beside := &queue.Batch{Now: l.now, Body: queue.Bytes("beside"), Items: []queue.Item{{To: "beside", Lane: "b"}}}
	if _, err := s.Put(t.Context(), beside); err != nil {
		t.Fatal(err)
	}
	c := queue.Change{Now: l.now, Op: queue.Cancel, Max: 5, Where: queue.Query{Message: st.Message}}
	if _, err := s.Update(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if err := s.checkpoint(false); err != nil {
		t.Fatal(err)
	}
	ask := func() []queue.Event {
		l.now = l.now.Add(time.Minute)
		all, err := s.Events(t.Context(), queue.EventsRequest{Now: l.now, Lease: time.Millisecond})
		if (err == nil) != (len(all) > 0) {
			t.Errorf("%d events, %v", len(all), err)
		}
		return all
	}
	bad.from, bad.to = pageSize, pageSize+512
	if n := len(ask()); n != 0 {
		t.Errorf("%d events are told at once", n)
	}
	for number, f := range s.untold { // an hour passes, in which it is tried now and then
		s.untold[number] = failing{f.first.Add(-time.Hour), f.last}
	}
	if n := len(ask()); n != 16 {
		t.Errorf("%d of 16 events are told when it has lasted", n)
	}
	bad.to = 0
	all := ask()
	for _, e := range all {
		if e.Item.To == "" {
			t.Errorf("%+v is told without recipient, and it can be read", e)
		}
	}
	for number, f := range s.untold {
		s.untold[number] = failing{f.first.Add(-2 * time.Hour), f.last.Add(-2 * time.Hour)}
	}
	bad.to = pageSize + 512
	if n := len(ask()); n != 0 {
		t.Errorf("%d events are told in a new trouble", n)
	}
}
