package disk

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/postrider/postrider/queue"
)

// Every read of the log fails once: while the spool is worked, and while it is opened. A medium that fails to give what it holds has not
// lost it: what was accepted is there afterwards. Only the head of a message is not asked for twice; without it the message is set aside.
func TestReadFaults(t *testing.T) {
	stride, phase := faultPart(48)
	t.Run("working", func(t *testing.T) {
		clean := newLife(t, newFaulty(0, "", 0))
		if err := clean.script(); err != nil {
			t.Fatal(err)
		}
		clean.s.Close()
		aside := 0
		for at := 1 + phase; at <= clean.files.reads && !t.Failed(); at += stride {
			l := newLife(t, newFaulty(0, "", 7))
			l.files.blind = at
			l.script()
			if l.s != nil {
				l.s.Close()
			}
			l.files = l.files.rise()
			aside += l.again(t, "kept", 0, 1)
		}
		t.Logf("%d reads, %d messages set aside", clean.files.reads, aside)
	})
	for _, index := range []string{"kept", "lost", "old"} {
		t.Run("opening, index "+index, func(t *testing.T) {
			refused := 0
			for at := 1 + phase; !t.Failed(); at += stride {
				l := newLife(t, newFaulty(0, "", 7))
				if err := l.script(); err != nil {
					t.Fatal(err)
				}
				l.files = l.files.rise()
				saved, _ := os.ReadFile(filepath.Join(l.dir, indexName)) // as it was before Close: there is something to replay
				l.s.Close()
				os.WriteFile(filepath.Join(l.dir, indexName), saved, 0o600)
				l.again(t, index, at, 0)
				if l.files.reads < at {
					break // all reads of Open have failed once
				}
				refused++
			}
			if refused == 0 {
				t.Error("no read of Open has failed")
			}
			t.Logf("Open was refused %d times", refused)
		})
	}
}

// again opens the spool with a read that fails, once more if need be, and delivers what is left; it returns the messages that
// were set aside, of which there may be so many.
func (l *life) again(t *testing.T, index string, blind, most int) (aside int) {
	path := filepath.Join(l.dir, indexName)
	switch index {
	case "lost":
		os.Remove(path)
	case "old":
		os.WriteFile(path, l.oldIndex, 0o600)
	}
	l.files.blind = blind
	err := l.open()
	reads := l.files.reads
	if errors.Is(err, syscall.EIO) {
		l.files.blind = 0
		err = l.open()
	}
	if err != nil {
		t.Fatalf("read %d: opened again: %v", blind, err)
	}
	defer l.s.Close()
	l.files.blind = 0
	l.deliverRest()
	l.account()
	l.files.reads = reads
	items, err := l.s.List(context.Background(), queue.Query{})
	set, left := map[string]bool{}, map[string]bool{}
	for _, i := range items {
		left[i.ID.Message] = true
		if i.State == queue.Damaged {
			set[i.ID.Message] = true
		}
	}
	if err != nil || len(set) > most || len(left) != len(set) {
		t.Errorf("read %d: left: %v, %v", blind, items, err)
	}
	return len(set)
}
