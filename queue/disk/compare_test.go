package disk_test

import (
	"os"
	"strconv"
	"testing"

	"github.com/postrider/postrider/queue"
	"github.com/postrider/postrider/queue/disk"
	"github.com/postrider/postrider/queue/queuetest"
)

// One random history, and equal answers of the model, the memory, a spool, and a spool that keeps next to nothing in its memory. The
// spools are opened again now and then, one of them without its index. DISK_COMPARE says how many histories.
func TestCompare(t *testing.T) {
	histories, steps := 3, 300
	if testing.Short() {
		histories = 1
	}
	if n, err := strconv.Atoi(os.Getenv("DISK_COMPARE")); err == nil {
		histories = n
	}
	for range histories {
		t.Run("", func(t *testing.T) {
			memory := queuetest.Contender{Name: "Memory", Open: func(*testing.T) queue.Store { return new(queue.Memory) }}
			queuetest.Compare(t, steps, memory, spool(t, "Disk", disk.Config{}, false), spool(t, "Disk, restless", disk.Config{}.Restless(), false),
				spool(t, "Disk, index lost", disk.Config{}, true))
		})
	}
}

// spool is a contender with a folder of its own.
func spool(t *testing.T, name string, c disk.Config, forgetful bool) queuetest.Contender {
	c.Dir, c.Segment = t.TempDir(), 256<<10
	begin := func(t *testing.T) queue.Store {
		s, err := c.Open()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return s
	}
	return queuetest.Contender{Name: name, Open: begin, Reopen: func(t *testing.T, s queue.Store) queue.Store {
		if err := s.(*disk.Store).Close(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if forgetful {
			os.Remove(c.Dir + "/index")
		}
		return begin(t)
	}}
}
