package disk

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/queue"
)

// An index of which the shape is wrong is not given to bbolt, which would write to where it does not own, or go round for
// ever: it is made again from the log, and all is there.
func TestUnsoundIndex(t *testing.T) {
	now := time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)
	le := binary.LittleEndian
	type pages struct {
		b    []byte
		page int
	}
	// find gives the offset of a page with those flags, of the last one if there are more: the newest tree stands behind the old.
	find := func(p pages, flags uint16) int {
		for at := len(p.b) - p.page; at > 0; at -= p.page {
			if le.Uint64(p.b[at:]) == uint64(at/p.page) && le.Uint16(p.b[at+8:]) == flags && le.Uint16(p.b[at+10:]) > 0 {
				return at
			}
		}
		t.Fatalf("no page with flags %x", flags)
		return 0
	}
	root := func(p pages) int {
		m := &boltTree{f: bytes.NewReader(p.b)}
		if !m.meta() {
			t.Fatal("no meta page")
		}
		return int(m.root) * p.page
	}
	for _, c := range []struct {
		name     string
		messages int
		harm     func(p pages)
	}{
		{"a small bucket with an element elsewhere", 3, func(p pages) {
			at := bytes.Index(p.b[root(p):], []byte("messages")) + root(p) + len("messages") + 16 // the inline page of that bucket
			le.PutUint32(p.b[at+boltHead+4:], le.Uint32(p.b[at+boltHead+4:])^1<<14)
		}},
		{"a small bucket with a longer element", 3, func(p pages) {
			at := bytes.Index(p.b[root(p):], []byte("messages")) + root(p) + len("messages") + 16
			le.PutUint32(p.b[at+boltHead+12:], le.Uint32(p.b[at+boltHead+12:])^1<<12)
		}},
		{"a branch that leads to itself", 500, func(p pages) {
			at := find(p, boltBranch)
			le.PutUint64(p.b[at+boltHead+8:], uint64(at/p.page))
		}},
		{"a free page that is in use", 500, func(p pages) {
			branch := find(p, boltBranch)
			m := &boltTree{f: bytes.NewReader(p.b)}
			m.meta()
			le.PutUint64(p.b[int(m.freelist)*p.page+boltHead:], le.Uint64(p.b[branch+boltHead+8:]))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			config := Config{Dir: dir, Segment: 1 << 20, every: time.Hour, noSync: true}
			s, err := config.Open()
			if err != nil {
				t.Fatal(err)
			}
			for n := range c.messages {
				b := &queue.Batch{Now: now, Body: queue.Bytes("x"), Items: []queue.Item{{To: fmt.Sprint(n), Lane: "a"}}}
				if _, err := s.Put(t.Context(), b); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, indexName)
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := sound(path); err != nil {
				t.Fatalf("before: %v", err)
			}
			c.harm(pages{b, os.Getpagesize()})
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			var said strings.Builder
			config.Log = slog.New(slog.NewTextHandler(&said, nil))
			if s, err = config.Open(); err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if !strings.Contains(said.String(), "made again from the log") {
				t.Errorf("the index is taken as it is: %s", said.String())
			}
			l, err := s.Claim(t.Context(), queue.ClaimRequest{Now: now, Lease: time.Minute, Max: 1000})
			if err != nil || len(l.Items) != c.messages {
				t.Errorf("Claim: %d items of %d, %v", len(l.Items), c.messages, err)
			}
		})
	}
}
