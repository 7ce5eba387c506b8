package disk

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// Every operation on the files goes wrong once, in every way. Then the spool is opened again, with the index as it is,
// without it, with an old one and with a broken one, or the power is cut once more: what was accepted is there, what has ended stays so.
// DISK_FAULTS=all does it in full, DISK_FAULTS=3/8 the third of eight parts of that.
func TestFaults(t *testing.T) {
	clean := newLife(t, newFaulty(0, "", 0))
	if err := clean.script(); err != nil {
		t.Fatal(err)
	}
	operations := clean.files.count
	if clean.moves() == 0 {
		t.Fatal("the history has no message that was moved")
	}
	clean.s.Close()
	runs := map[fault]int{}
	stride, phase := faultPart(24)
	for _, f := range []fault{failEIO, failENOSPC, failShort, failSync, full, cut512, cut4096, cutClean} {
		t.Run(string(f), func(t *testing.T) {
			for at := 1; at <= operations; at++ {
				for k, index := range []string{"kept", "lost", "old", "broken", "kept, and a power cut soon after"} {
					if UnderRace && index == "broken" {
						continue
					}
					if (at+k)%stride != phase {
						continue
					}
					runs[f]++
					faultOnce(t, at, f, index)
					if t.Failed() {
						t.Fatalf("operation %d of %d, %s, index %s", at, operations, f, index)
					}
				}
			}
		})
	}
	t.Logf("%v runs over %d operations, of which %d records move a message", runs, operations, clean.moves())
}

// faultPart is how much of a sweep to do: one fault of stride, from the phase on.
func faultPart(usual int) (stride, phase int) {
	if os.Getenv("DISK_FAULTS") == "all" {
		return 1, 0
	}
	if n, _ := fmt.Sscanf(os.Getenv("DISK_FAULTS"), "%d/%d", &phase, &stride); n == 2 && stride > 0 {
		return stride, phase % stride
	}
	return usual, 0
}

func faultOnce(t *testing.T, at int, f fault, index string) {
	l := newLife(t, newFaulty(at, f, 7))
	l.script()
	if l.s != nil {
		l.s.Close()
	}
	l.files = l.files.rise()
	path := filepath.Join(l.dir, indexName)
	switch index {
	case "lost":
		os.Remove(path)
	case "old":
		if l.oldIndex != nil {
			os.WriteFile(path, l.oldIndex, 0o600)
		}
	case "broken":
		if b, err := os.ReadFile(path); err == nil && len(b) > 8192 {
			for i := range 8192 {
				b[i] = 0x55
			}
			os.WriteFile(path, b, 0o600)
		}
	}
	if index == "kept, and a power cut soon after" {
		l.files.at, l.files.fault, l.files.rng = 1+at%25, cut512, rand.New(rand.NewPCG(3, uint64(at)))
		l.s = nil
		l.script()
		if l.s != nil {
			l.s.Close()
		}
		l.files = l.files.rise()
	}
	if err := l.open(); err != nil {
		t.Errorf("opened again: %v", err)
		return
	}
	defer l.s.Close()
	l.finish()
}
