package disk_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/queue"
	"github.com/postrider/postrider/queue/disk"
)

const longBody = 3000 // of which few fit into a segment

func putLong(t *testing.T, s *disk.Store, first, n int) {
	t.Helper()
	for k := first; k < first+n; k++ {
		body := bytes.Repeat([]byte{byte('a' + k)}, longBody)
		if _, err := s.Put(t.Context(), &queue.Batch{Now: spoolTime, Key: fmt.Sprint("key", k), Body: queue.Bytes(body), Items: []queue.Item{{Lane: "a"}}}); err != nil {
			t.Fatal(err)
		}
	}
}

// longOnes are the messages that are whole, and how many items are not.
func longOnes(t *testing.T, s *disk.Store) (whole map[int]bool, others int) {
	t.Helper()
	whole = map[int]bool{}
	for _, i := range list(t, s) {
		n := -1
		fmt.Sscanf(i.Key, "key%d", &n)
		body, err := read(s, i.ID.Message)
		switch {
		case err != nil:
			others++
		case body != strings.Repeat(string(rune('a'+n)), longBody):
			t.Errorf("the body of %v (%q) is another's", i.ID, i.Key)
		default:
			whole[n] = true
		}
	}
	return whole, others
}

// The sector with a segment's title is lost. The records behind it say which segment it is; if the first of them is lost too, the file is
// left as it is. What is in other segments stays there.
func TestTitleLost(t *testing.T) {
	kept := filepath.Join(t.TempDir(), "spool")
	s := open(t, disk.Config{Dir: kept, Segment: 16 << 10})
	putLong(t, s, 0, 12)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(kept, "log-*"))
	if err != nil || len(files) < 5 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		for _, index := range []string{"kept", "lost"} {
			for _, size := range []int{4096, 4200} {
				for _, with := range []byte{0, 0x55} {
					t.Run(fmt.Sprint(filepath.Base(file), " index ", index, " lost ", size, " with ", with), func(t *testing.T) {
						loseTitle(t, kept, filepath.Base(file), index, bytes.Repeat([]byte{with}, size))
					})
				}
			}
		}
	}
}

func loseTitle(t *testing.T, kept, name, index string, with []byte) {
	dir := filepath.Join(t.TempDir(), "spool")
	copyDir(t, kept, dir)
	path := filepath.Join(dir, name)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(b[4096:4200], make([]byte, 104)) {
		return // a spare one
	}
	inside := 0
	for k := range 12 {
		if bytes.Contains(b, bytes.Repeat([]byte{byte('a' + k)}, 100)) {
			inside++
		}
	}
	before := append(bytes.Clone(with), b[len(with):]...)
	os.WriteFile(path, before, 0o600)
	if index == "lost" {
		os.Remove(filepath.Join(dir, "index"))
	}
	want, gone := 12, 0
	if len(with) > 4096 {
		want, gone = 12-inside, inside
	}
	for round := range 3 {
		var said bytes.Buffer
		s := open(t, disk.Config{Dir: dir, Segment: 16 << 10, Log: slog.New(slog.NewTextHandler(&said, nil))})
		// Without index and numbers nobody knows of what was in the last segment.
		whole, others := longOnes(t, s)
		if len(whole) != want || index == "kept" && others != gone {
			t.Errorf("round %d: %d messages are whole, want %d; %d are not, want %d", round, len(whole), want, others, gone)
		}
		if !strings.Contains(said.String(), name) {
			t.Errorf("round %d: not reported: %s", round, said.String())
		}
		putLong(t, s, 12+4*round, 4)
		want += 4
		l, err := s.Claim(t.Context(), queue.ClaimRequest{Now: spoolTime, Lease: time.Minute, Max: 1000})
		if err != nil || len(l.Items) > want {
			t.Errorf("%d items of %d are given out, %v", len(l.Items), want, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if after, err := os.ReadFile(path); err != nil || gone > 0 && !bytes.Equal(before, after) {
		t.Errorf("the file was written to, %v", err)
	}
}

// The small file with the format and the name is made again; a file of another queue is not taken for a free one.
func TestFormatLost(t *testing.T) {
	kept, other := filepath.Join(t.TempDir(), "spool"), filepath.Join(t.TempDir(), "other")
	makeSpool(t, kept)
	makeSpool(t, other)
	if err := os.Remove(filepath.Join(kept, "format")); err != nil {
		t.Fatal(err)
	}
	s := open(t, disk.Config{Dir: kept, Segment: 16 << 10})
	if n := len(list(t, s)); n != 24 {
		t.Errorf("%d items of 24", n)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	stray, err := os.ReadFile(filepath.Join(other, "log-000001"))
	if err != nil {
		t.Fatal(err)
	}
	config := disk.Config{Dir: kept, Segment: 16 << 10}
	os.WriteFile(filepath.Join(kept, "log-000099"), stray, 0o600)
	for _, format := range []string{"there", "lost"} {
		if format == "lost" {
			os.Remove(filepath.Join(kept, "format"))
		}
		if s, err := config.Open(); err == nil {
			s.Close()
			t.Errorf("a file of another queue, format %s: opened", format)
		}
	}
	os.Remove(filepath.Join(kept, "log-000099"))
	if n := len(list(t, open(t, config))); n != 24 {
		t.Errorf("%d items of 24 when the stray file is gone", n)
	}
}
