package disk

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/postrider/postrider/queue"
)

// A crash tears a write of three records: the first is not whole, those behind it are. Nobody was told of any, so the log ends
// before them; and what is written later must not lead to them, though it may end just where they begin.
func TestTornTail(t *testing.T) {
	for _, index := range []string{"kept", "lost each time"} {
		t.Run(index, func(t *testing.T) {
			l := newLife(t, newFaulty(0, "", 0))
			rng := rand.New(rand.NewPCG(9, 10))
			put := func(n int, to string) {
				t.Helper()
				for range n {
					if err := l.putBody(rng, 500, &queue.Batch{Items: []queue.Item{{To: to, Lane: "a"}}}); err != nil {
						t.Fatal(err)
					}
				}
			}
			crash := func() {
				t.Helper()
				path := filepath.Join(l.dir, indexName)
				files := l.files.rise()
				saved, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				l.s.Close() // what that writes is forgotten
				if l.files = files; index == "kept" {
					os.WriteFile(path, saved, 0o600)
				} else {
					os.Remove(path)
				}
			}
			reopen := func(want int) {
				t.Helper()
				if err := l.open(); err != nil {
					t.Fatal(err)
				}
				items, err := l.s.List(t.Context(), queue.Query{})
				if err != nil || len(items) != want {
					t.Fatalf("%d items, %v, want %d", len(items), err, want)
				}
				for _, i := range items {
					if i.To == "torn" {
						t.Errorf("%v was never accepted and is there", i.ID)
					}
				}
			}
			if err := l.open(); err != nil {
				t.Fatal(err)
			}
			put(2, "told")
			if err := l.s.checkpoint(false); err != nil {
				t.Fatal(err)
			}
			end := *l.s.log.end()
			name := l.s.log.used[end.segment].name
			put(3, "torn")
			crash()
			tear(t, l.files.files[name], end)
			for id := range l.items {
				if len(l.items) > 2 && id.Message > l.s.id(2) {
					delete(l.items, id)
					delete(l.bodies, id.Message)
				}
			}

			reopen(2)
			put(1, "told") // of the size of the record that was torn
			crash()
			reopen(3)
			put(2, "told")
			crash()
			reopen(5)
			l.finish()
			if err := l.s.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// tear makes of the records from a place on what one write leaves whose first sector did not come through: their heads say that
// nothing of them was known to be durable.
func tear(t *testing.T, f *faultyFile, from place) {
	t.Helper()
	records := 0
	for at := from.off; ; records++ {
		h, ok := readHead(f.now[at:], from.segment)
		if !ok {
			break
		}
		h.synced = uint32(from.off)
		h.write(f.now[at:], from.segment)
		at += h.size()
	}
	if records < 3 {
		t.Fatalf("%d records to tear", records)
	}
	clear(f.now[from.off : from.off+headSize])
	copy(f.durable, f.now)
}
