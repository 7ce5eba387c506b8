package disk

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/postrider/postrider/queue"
)

// crowd puts a message for many recipients in one lane.
func (l *life) crowd(many int) {
	l.t.Helper()
	b := &queue.Batch{Now: l.now, Body: queue.Bytes("x")}
	for n := range many {
		b.Items = append(b.Items, queue.Item{To: fmt.Sprint("crowd", n), Lane: "a"})
	}
	if _, err := l.s.Put(l.t.Context(), b); err != nil {
		l.t.Fatal(err)
	}
}

// A claim takes all it may, be it more than a part of a segment, or than a whole one; and so does what is read again.
func TestClaimLargerThanSegment(t *testing.T) {
	for _, c := range []struct{ messages, items, group int }{{1000, 1, 1}, {1, 1000, 1000}, {3, 300, 7}} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			l := newLife(t, newFaulty(0, "", 1))
			if err := l.open(); err != nil {
				t.Fatal(err)
			}
			defer func() { l.s.Close() }()
			for range c.messages {
				l.crowd(c.items)
			}
			r := queue.ClaimRequest{Now: l.now, Lease: 1e9, Max: 10_000, Group: c.group}
			lease, err := l.s.Claim(t.Context(), r)
			if err != nil || len(lease.Items) != c.messages*c.items {
				t.Fatalf("Claim gives %d of %d items, %v", len(lease.Items), c.messages*c.items, err)
			}
			l.files = l.files.rise()
			l.s.Close()
			if err := l.open(); err != nil {
				t.Fatal(err)
			}
			st := queue.Settlement{Now: l.now, Token: lease.Token}
			for _, i := range lease.Items {
				st.Outcomes = append(st.Outcomes, queue.Outcome{ID: i.ID, State: queue.Delivered})
			}
			if lost, err := l.s.Settle(t.Context(), st); err != nil || len(lost) > 0 {
				t.Errorf("Settle after opening again: %d lost, %v", len(lost), err)
			}
		})
	}
}

// A message of many recipients that cannot be read is set aside, though the record that says so is larger than a segment.
func TestSetAsideLargerThanSegment(t *testing.T) {
	l := newLife(t, newFaulty(0, "", 1))
	if err := l.open(); err != nil {
		t.Fatal(err)
	}
	defer func() { l.s.Close() }()
	l.crowd(1000)
	if err := l.s.checkpoint(false); err != nil { // memory has nothing of it any more
		t.Fatal(err)
	}
	l.files.mu.Lock()
	for _, f := range l.files.files {
		if at := bytes.Index(f.now, []byte("crowd7")); at >= 0 {
			f.now[at] ^= 1
		}
	}
	l.files.mu.Unlock()
	if lease, err := l.s.Claim(t.Context(), queue.ClaimRequest{Now: l.now, Lease: 1e9, Max: 10}); err != nil || len(lease.Items) > 0 {
		t.Fatalf("Claim: %d items, %v", len(lease.Items), err)
	}
	items, err := l.s.List(t.Context(), queue.Query{State: queue.Damaged})
	if err != nil || len(items) != 1000 {
		t.Errorf("%d items are damaged, %v", len(items), err)
	}
	l.crowd(1)
	if lease, err := l.s.Claim(t.Context(), queue.ClaimRequest{Now: l.now, Lease: 1e9, Max: 10}); err != nil || len(lease.Items) != 1 {
		t.Errorf("Claim after that: %d items, %v", len(lease.Items), err)
	}
}
