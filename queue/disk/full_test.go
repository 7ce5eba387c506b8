package disk

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/postrider/postrider/queue"
)

// When the disk is full Put says so, what was accepted can be delivered and settled, and then there is room again.
func TestFull(t *testing.T) {
	l := newLife(t, newFaulty(4, full, 1))
	if err := l.open(); err != nil {
		t.Fatal(err)
	}
	put := func() error {
		st, err := l.s.Put(t.Context(), &queue.Batch{Now: l.now, Body: make(queue.Bytes, 2000), Items: []queue.Item{{To: "bob", Lane: "a"}}})
		if err == nil {
			l.bodies[st.Message] = make([]byte, 2000)
			l.items[queue.ID{Message: st.Message}] = true
		}
		return err
	}
	var err error
	for err == nil && len(l.items) < 1000 {
		err = put()
	}
	if !errors.Is(err, queue.ErrFull) || len(l.items) == 0 {
		t.Fatalf("Put to a full disk, after %d that went well: %v", len(l.items), err)
	}
	l.finish() // fails if a Settle does
	if err := l.s.checkpoint(false); err != nil {
		t.Fatal(err)
	}
	l.s.tidy()
	if err := put(); err != nil {
		t.Fatalf("Put after all was delivered: %v", err)
	}
	if err := l.s.Close(); err != nil {
		t.Fatal(err)
	}
}

// The reserve is for claims and settlements, also when the log has gone on to it: Puts leave it room.
func TestFullKeepsReserve(t *testing.T) {
	l := newLife(t, newFaulty(0, "", 1))
	if err := l.open(); err != nil {
		t.Fatal(err)
	}
	defer func() { l.s.Close() }()
	rng := rand.New(rand.NewPCG(13, 14))
	put := func(size int) error {
		return l.putBody(rng, size, &queue.Batch{Items: []queue.Item{{To: "bob", Lane: "a"}}})
	}
	if err := put(2000); err != nil {
		t.Fatal(err)
	}
	l.files.at, l.files.fault = l.files.count+1, full
	fill := func(size int) {
		t.Helper()
		for range 10_000 {
			if err := put(size); errors.Is(err, queue.ErrFull) {
				return
			} else if err != nil {
				t.Fatal(err)
			}
		}
		t.Fatal("the disk is never full")
	}
	fill(2000)
	running, err := l.claim(3)
	if err != nil || len(running.Items) != 3 {
		t.Fatal(running, err)
	}
	for len(l.s.log.spare) > 0 { // others are deferred, until the log has gone on to the reserve
		l.now = l.now.Add(time.Second)
		other, err := l.claim(1)
		if err != nil || len(other.Items) != 1 {
			t.Fatal(other, err)
		}
		if err := l.settle(queue.Settlement{Now: l.now, Token: other.Token, Outcomes: []queue.Outcome{
			{ID: other.Items[0].ID, State: queue.Waiting, Due: l.now, Note: make([]byte, 300)}}}); err != nil {
			t.Fatal(err)
		}
	}
	fill(100)
	for _, i := range running.Items {
		if err := l.settle(queue.Settlement{Now: l.now, Token: running.Token, Outcomes: []queue.Outcome{
			{ID: i.ID, State: queue.Delivered, Note: make([]byte, 200)}}}); err != nil {
			t.Errorf("settling what runs: %v", err)
		}
	}
	l.finish()
}

// On a full disk one message that waits for long does not keep the segments behind it, however few they are.
func TestFullBehindLate(t *testing.T) {
	for files := 3; files <= 8; files++ {
		t.Run(fmt.Sprint(files, " files"), func(t *testing.T) {
			l := newLife(t, newFaulty(0, "", 1))
			if err := l.open(); err != nil {
				t.Fatal(err)
			}
			defer func() { l.s.Close() }()
			rng := rand.New(rand.NewPCG(15, 16))
			due := l.now.Add(1000 * time.Hour)
			if err := l.putBody(rng, 2000, &queue.Batch{Items: []queue.Item{{To: "late", Lane: "late", Due: due}}}); err != nil {
				t.Fatal(err)
			}
			accepted, refused := 0, 0
			for range 300 {
				l.files.mu.Lock()
				if l.files.at == 0 && len(l.files.files) > files { // and the small one with the format
					l.files.at, l.files.fault = l.files.count+1, full
				}
				l.files.mu.Unlock()
				switch err := l.putBody(rng, 2000, &queue.Batch{Items: []queue.Item{{To: "bob", Lane: "a"}}}); {
				case err == nil:
					accepted++
				case errors.Is(err, queue.ErrFull):
					refused++
				default:
					t.Fatal(err)
				}
				if err := l.deliverAll(1000); err != nil {
					t.Fatalf("after %d messages: %v", accepted, err)
				}
				if err := l.s.checkpoint(false); err != nil {
					t.Fatal(err)
				}
				l.s.tidy()
			}
			if accepted < 200 {
				t.Errorf("%d messages were accepted, %d refused", accepted, refused)
			}
			l.now = due
			l.finish()
		})
	}
}
