package disk_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/queue"
	"github.com/postrider/postrider/queue/disk"
)

var spoolTime = time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)

func spoolBody(n int) string { return strings.Repeat(fmt.Sprintf("line %d\r\n", n), 20) }

// makeSpool makes a small spool with messages in all states.
func makeSpool(t *testing.T, dir string) {
	s, err := disk.Config{Dir: dir, Segment: 16 << 10}.Open()
	if err != nil {
		t.Fatal(err)
	}
	for n := range 12 {
		b := &queue.Batch{Now: spoolTime, Key: fmt.Sprint("key", n), Fingerprint: "print", Keep: time.Hour, Body: queue.Bytes(spoolBody(n)),
			Common: []byte("common"), Items: []queue.Item{{To: "bob", Lane: "a", Meta: []byte("meta")}, {To: "eve", Lane: "b", Due: spoolTime.Add(time.Hour)}}}
		if _, err := s.Put(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	l, err := s.Claim(t.Context(), queue.ClaimRequest{Now: spoolTime, Lease: time.Minute, Max: 4})
	if err != nil || len(l.Items) != 4 {
		t.Fatalf("Claim: %v, %v", l, err)
	}
	_, err = s.Settle(t.Context(), queue.Settlement{Now: spoolTime, Token: l.Token, Outcomes: []queue.Outcome{
		{ID: l.Items[0].ID, State: queue.Delivered, Note: []byte("thanks")}, {ID: l.Items[1].ID, State: queue.Failed},
		{ID: l.Items[2].ID, State: queue.Waiting, Due: spoolTime.Add(time.Minute)}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = s.Update(t.Context(), queue.Change{Now: spoolTime, Op: queue.Hold, Where: queue.Query{Key: "key7"}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func copyDir(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

// The spool of version 1 opens for ever. DISK_SPOOL=write makes it again, for a format that was never released.
func TestSpoolOfVersion1(t *testing.T) {
	kept := filepath.Join("testdata", "version1")
	if os.Getenv("DISK_SPOOL") == "write" {
		os.RemoveAll(kept)
		makeSpool(t, kept)
	}
	for _, index := range []string{"as it is", "lost"} {
		t.Run("index "+index, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "spool")
			copyDir(t, kept, dir)
			if index == "lost" {
				os.Remove(filepath.Join(dir, "index"))
			}
			s := open(t, disk.Config{Dir: dir, Segment: 16 << 10})
			got := map[queue.State]int{}
			for _, i := range list(t, s) {
				got[i.State]++
				n := 0
				fmt.Sscanf(i.Key, "key%d", &n)
				if body, err := read(s, i.ID.Message); err != nil || body != spoolBody(n) {
					t.Errorf("the body of %s is %q, %v", i.Key, body, err)
				}
			}
			if want := "map[delivered:1 failed:1 held:2 leased:1 waiting:19]"; fmt.Sprint(got) != want {
				t.Errorf("items: %v, want %s", got, want)
			}
			st, err := s.Put(t.Context(), &queue.Batch{Now: spoolTime, Key: "key3", Fingerprint: "print", Body: queue.Bytes("x"), Items: []queue.Item{{}}})
			if err != nil || !st.Known {
				t.Errorf("Put with a known key: %v, %v", st, err)
			}
			events, err := s.Events(t.Context(), queue.EventsRequest{Now: spoolTime, Lease: time.Minute})
			if err != nil || len(events) != 27 {
				t.Errorf("%d events, %v", len(events), err)
			}
		})
	}
}

func read(s *disk.Store, id string) (string, error) {
	b, err := s.Open(context.Background(), id)
	if err != nil {
		return "", err
	}
	r, err := b.Open()
	if err != nil {
		return "", err
	}
	defer r.Close()
	all, err := io.ReadAll(r)
	return string(all), err
}

func TestUnknownFormat(t *testing.T) {
	dir := t.TempDir()
	os.WriteFile(filepath.Join(dir, "format"), []byte("postrider spool 2 0011223344556677\n"), 0o600)
	if _, err := disk.Open(dir); err == nil || !strings.Contains(err.Error(), "spool 2") {
		t.Fatalf("Open of a later format: %v", err)
	}
}

// Bytes of every file flip. Nothing panics, no damaged body is given as if it were whole, and what is whole goes on.
// DISK_FLIPS=all flips every byte, DISK_FLIPS=3/8 the third of eight parts of them.
func TestFlips(t *testing.T) {
	kept := filepath.Join(t.TempDir(), "spool")
	makeSpool(t, kept)
	files, err := filepath.Glob(filepath.Join(kept, "*"))
	if err != nil {
		t.Fatal(err)
	}
	step, phase := 211, 0
	if of := os.Getenv("DISK_FLIPS"); of == "all" {
		step = 1
	} else if n, _ := fmt.Sscanf(of, "%d/%d", &phase, &step); n != 2 || step < 1 {
		step, phase = 211, 0
	}
	flips, refused, damaged := 0, 0, 0
	for _, path := range files {
		if disk.UnderRace && filepath.Base(path) == "index" {
			continue
		}
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for at := phase % step; at < len(whole); at += step {
			if zero := whole[max(0, at-64):min(len(whole), at+64)]; len(bytes.Trim(zero, "\x00")) == 0 {
				continue // nothing is there
			}
			for _, lost := range []bool{false, true} {
				flips++
				dir := filepath.Join(t.TempDir(), "spool")
				copyDir(t, kept, dir)
				b := bytes.Clone(whole)
				b[at] ^= byte(1 << (at % 8))
				os.WriteFile(filepath.Join(dir, filepath.Base(path)), b, 0o600)
				if lost {
					os.Remove(filepath.Join(dir, "index"))
				}
				opened, bad := useFlipped(t, dir)
				if !opened {
					refused++
				}
				damaged += bad
				// A flip in the log may take the message that it is in, one in the index none: the log has them all.
				if n := harmed(t, dir); n > 1 || n > 0 && !strings.HasPrefix(filepath.Base(path), "log-") {
					t.Errorf("%s at %d, index lost %t: %d messages are not whole", filepath.Base(path), at, lost, n)
				}
				os.RemoveAll(dir)
			}
		}
	}
	t.Logf("%d flips, %d times the spool was refused, %d items or bodies found damaged", flips, refused, damaged)
}

// harmed counts the messages that are not there with their bodies.
func harmed(t *testing.T, dir string) int {
	s, err := disk.Config{Dir: dir, Segment: 16 << 10}.Open()
	if err != nil {
		return 0 // it is refused, and nothing is touched
	}
	defer s.Close()
	items, err := s.List(t.Context(), queue.Query{})
	if err != nil {
		t.Fatalf("List after the spool was opened again: %v", err)
	}
	whole := map[int]bool{}
	for _, i := range items {
		n := -1
		fmt.Sscanf(i.Key, "key%d", &n)
		if body, err := read(s, i.ID.Message); err == nil && body == spoolBody(n) {
			whole[n] = true
		}
	}
	return 12 - len(whole)
}

func useFlipped(t *testing.T, dir string) (opened bool, damaged int) {
	t.Helper()
	s, err := disk.Config{Dir: dir, Segment: 16 << 10}.Open()
	if err != nil {
		return false, 0
	}
	defer s.Close()
	items, err := s.List(t.Context(), queue.Query{})
	if err != nil {
		return true, 1
	}
	for _, i := range items {
		if i.State == queue.Damaged {
			damaged++
		}
	}
	l, err := s.Claim(t.Context(), queue.ClaimRequest{Now: spoolTime.Add(2 * time.Hour), Lease: time.Minute, Max: 100})
	if err != nil {
		return true, 1
	}
	for _, i := range l.Items {
		body, err := read(s, i.ID.Message)
		n := -1
		fmt.Sscanf(i.Key, "key%d", &n)
		switch {
		case err == nil && body != spoolBody(n):
			t.Fatalf("the body of %v (%q) is given as %q", i.ID, i.Key, body)
		case err != nil && !errors.Is(err, queue.ErrDamaged) && !errors.Is(err, queue.ErrNotFound):
			t.Fatalf("the body of %v: %v", i.ID, err)
		case err != nil:
			damaged++
		}
	}
	s.Events(t.Context(), queue.EventsRequest{Now: spoolTime, Lease: time.Minute})
	return true, damaged
}
