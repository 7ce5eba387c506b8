package disk

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// Every read of the log fails once: while the spool is worked, and while it is opened. A medium that fails to give what it holds has not
// lost it: what was accepted is there afterwards, and delivered.
func TestReadFaults(t *testing.T) {
	stride, phase := faultPart(48)
	t.Run("working", func(t *testing.T) {
		clean := newLife(t, newFaulty(0, "", 0))
		if err := clean.script(); err != nil {
			t.Fatal(err)
		}
		clean.s.Close()
		for at := 1 + phase; at <= clean.files.reads && !t.Failed(); at += stride {
			l := newLife(t, newFaulty(0, "", 7))
			l.files.blind = at
			l.script()
			if l.s != nil {
				l.s.Close()
			}
			l.files = l.files.rise()
			l.again(t, "kept", 0)
		}
		t.Logf("%d reads", clean.files.reads)
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
				l.again(t, index, at)
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

// again opens the spool with a read that fails, once more if need be, and delivers what is left.
func (l *life) again(t *testing.T, index string, blind int) {
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
	l.finish()
	l.files.reads = reads
}
