package disk

import (
	"errors"
	"testing"

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
