package disk

import (
	"bytes"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/postrider/postrider/queue"
)

// scratched is a folder in whose first file some places cannot be read.
type scratched struct {
	folder
	from, to int64 // none: to is zero
}

type scratchedFile struct {
	file
	in *scratched
}

func (d *scratched) create(name string, size int64) (file, error) {
	f, err := d.folder.create(name, size)
	if err == nil && name == logName(1) {
		f = &scratchedFile{f, d}
	}
	return f, err
}

func (f *scratchedFile) ReadAt(p []byte, off int64) (int, error) {
	if off < f.in.to && f.in.from < off+int64(len(p)) {
		return 0, syscall.EIO
	}
	return f.file.ReadAt(p, off)
}

// The oldest segment has a place that cannot be read. What lives in it otherwise is moved; what is there waits for a while, in which the medium
// may come to itself, and is set aside then: the log does not grow for ever.
func TestUnreadable(t *testing.T) {
	for what, place := range map[string][2]int64{"head": {pageSize, pageSize + 512}, "body": {pageSize + 1024, pageSize + 1536}} {
		for _, patience := range []time.Duration{time.Nanosecond, time.Hour} {
			t.Run(what+" for "+patience.String(), func(t *testing.T) {
				var said bytes.Buffer
				bad := &scratched{folder: newFaulty(0, "", 0)}
				l := newLife(t, nil)
				s, err := Config{Dir: l.dir, Segment: 16 << 10, files: bad, every: time.Hour, noSync: true, patience: patience,
					Log: slog.New(slog.NewTextHandler(&said, nil))}.Open()
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				l.s = s
				put := func(due time.Duration) string {
					t.Helper()
					st, err := s.Put(t.Context(), &queue.Batch{Now: l.now, Body: queue.Bytes(strings.Repeat("b", 3000)),
						Items: []queue.Item{{To: "x", Lane: "a", Due: l.now.Add(due)}}})
					if err != nil {
						t.Fatal(err)
					}
					return st.Message
				}
				hit, beside := put(100*time.Hour), put(100*time.Hour)
				for n := range 60 {
					if n == 10 {
						bad.from, bad.to = place[0], place[1]
					}
					put(0)
					if err := l.deliverAll(1000); err != nil {
						t.Fatal(err)
					}
					if err := s.checkpoint(false); err != nil {
						t.Fatal(err)
					}
					s.tidy()
				}
				if used, _ := s.log.inUse(); (used > 6) != (patience == time.Hour) {
					t.Errorf("%d segments are in use", used)
				}
				if n := strings.Count(said.String(), "cannot be emptied"); (n == 1) != (patience < time.Hour) {
					t.Errorf("said %d times", n)
				}
				bad.to = 0
				if b, err := l.body(beside); err != nil || len(b) != 3000 {
					t.Errorf("the body beside: %d bytes, %v", len(b), err)
				}
				if b, err := l.body(hit); (err == nil && len(b) == 3000) != (patience == time.Hour) {
					t.Errorf("the body that could not be read: %d bytes, %v", len(b), err)
				}
				want := map[bool]queue.State{false: queue.Damaged, true: queue.Waiting}[patience == time.Hour]
				items, err := s.List(t.Context(), queue.Query{Message: hit})
				if err != nil || len(items) != 1 || items[0].State != want {
					t.Errorf("%v, %v, want %s", items, err, want)
				}
			})
		}
	}
}
