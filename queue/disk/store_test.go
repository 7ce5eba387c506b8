package disk_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/postrider/postrider/queue"
	"github.com/postrider/postrider/queue/disk"
	"github.com/postrider/postrider/queue/queuetest"
)

func open(t *testing.T, c disk.Config) *disk.Store {
	t.Helper()
	if c.Dir == "" {
		c.Dir = t.TempDir()
	}
	if c.Segment == 0 {
		c.Segment = 256 << 10
	}
	s, err := c.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

func TestContract(t *testing.T) {
	queuetest.Run(t, func(t *testing.T) queue.Store { return open(t, disk.Config{}) })
}

// The same with a memory that is emptied into the index between any two calls.
func TestContractIndexed(t *testing.T) {
	queuetest.Run(t, func(t *testing.T) queue.Store { return open(t, disk.Config{}.Restless()) })
}

// A spool that is closed and opened again is the same.
func TestReopen(t *testing.T) {
	dir := t.TempDir()
	c := disk.Config{Dir: dir, Segment: 256 << 10}
	now := time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)
	s := open(t, c)
	for n := range 50 {
		b := &queue.Batch{Now: now, Key: fmt.Sprint(n), Body: queue.Bytes(fmt.Sprint("body ", n)), Common: []byte("c"),
			Items: []queue.Item{{To: "bob", Lane: fmt.Sprint(n % 3), Meta: []byte("m")}, {To: "eve", Lane: "x", Due: now.Add(time.Hour)}}}
		if _, err := s.Put(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	l, err := s.Claim(t.Context(), queue.ClaimRequest{Now: now, Lease: time.Minute, Max: 20})
	if err != nil || len(l.Items) != 20 {
		t.Fatalf("Claim: %d items, %v", len(l.Items), err)
	}
	before := list(t, s)
	for range 3 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, c)
		after := list(t, s)
		for n := range before {
			if len(after) <= n || fmt.Sprint(before[n]) != fmt.Sprint(after[n]) {
				t.Fatalf("%d items were\n%v\nand %d are\n%v", len(before), before[n], len(after), after[min(n, len(after))])
			}
		}
	}
	if _, err := disk.Open(dir); err == nil {
		t.Fatal("a spool was opened twice")
	}
	st := queue.Settlement{Now: now, Token: l.Token}
	for _, i := range l.Items {
		st.Outcomes = append(st.Outcomes, queue.Outcome{ID: i.ID, State: queue.Delivered})
	}
	if lost, err := s.Settle(t.Context(), st); err != nil || len(lost) > 0 {
		t.Fatalf("Settle after opening again: lost %v, %v", lost, err)
	}
	l, err = s.Claim(t.Context(), queue.ClaimRequest{Now: now, Lease: time.Minute, Max: 1000})
	if err != nil || len(l.Items) != 30 {
		t.Fatalf("Claim: %d items, %v", len(l.Items), err)
	}
}

func list(t *testing.T, s *disk.Store) []queue.Item {
	t.Helper()
	items, err := s.List(t.Context(), queue.Query{})
	if err != nil {
		t.Fatal(err)
	}
	return items
}

// Claim wakes nobody who waits for something to come up; Put and Settle do (rule 20).
func TestClaimWakesNobody(t *testing.T) {
	s, now := open(t, disk.Config{}), time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)
	put := func() {
		b := &queue.Batch{Now: now, Body: queue.Bytes("x"), Items: []queue.Item{{To: "bob", Lane: "a", Expires: now.Add(24 * time.Hour)}}}
		if _, err := s.Put(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	next := func() (closed func() bool) {
		_, earlier, err := s.Next(t.Context(), now)
		if err != nil {
			t.Fatal(err)
		}
		return func() bool {
			select {
			case <-earlier:
				return true
			default:
				return false
			}
		}
	}
	put()
	woken := next()
	l, err := s.Claim(t.Context(), queue.ClaimRequest{Now: now, Lease: time.Minute, Max: 1})
	if err != nil || len(l.Items) != 1 || woken() {
		t.Fatalf("Claim: %d items, %v, woken %t", len(l.Items), err, woken())
	}
	put()
	if !woken() {
		t.Error("Put wakes nobody")
	}
	woken = next()
	_, err = s.Settle(t.Context(), queue.Settlement{Now: now, Token: l.Token,
		Outcomes: []queue.Outcome{{ID: l.Items[0].ID, State: queue.Waiting, Due: now.Add(time.Second)}}})
	if err != nil || !woken() {
		t.Errorf("Settle: %v, woken %t", err, woken())
	}
}

// Open makes the folder and those above it.
func TestOpenMakesFolders(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b", "c")
	for range 2 {
		s, err := disk.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "below")} {
		if s, err := disk.Open(dir); err == nil {
			s.Close()
			t.Errorf("%s was opened", dir)
		}
	}
}
