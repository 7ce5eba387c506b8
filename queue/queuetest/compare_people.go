package queuetest

import (
	"context"
	"fmt"
	"sort"
	"time"

	"github.com/postrider/postrider/queue"
)

// tell asks for events. Those of one call of Settle or Update have no order among each other.
func (h *history) tell() {
	r := queue.EventsRequest{Now: h.now, Lease: time.Second + h.duration(5*time.Minute), Max: 1 << 20}
	h.same(h.note("events"), func(s *subject) any {
		events, err := s.store.Events(context.Background(), r)
		if len(events) > 0 {
			s.events = events
		}
		h.told = len(s.events)
		shown := make([]string, len(events))
		var seq uint64
		for n, e := range events {
			shown[n] = fmt.Sprintf("%+v", s.show(&e.Item, e.At))
			if e.Seq <= seq {
				shown[n] += " out of order"
			}
			seq = e.Seq
		}
		sort.Strings(shown)
		return []any{shown, failure(err)}
	})
}

// ack acknowledges the last answer of Events, again too.
func (h *history) ack() {
	h.same(h.note("acknowledge %d events", h.told), func(s *subject) any {
		return failure(s.store.Ack(context.Background(), s.events))
	})
}

func (h *history) update() {
	c := queue.Change{Now: h.now, Max: 1 << 20, Note: []byte(h.pick("", "by hand")),
		Op: []queue.Op{queue.Cancel, queue.Hold, queue.Requeue, queue.Requeue, queue.Forget, queue.Expire, queue.Expire}[h.random.IntN(7)]}
	message := -1
	switch h.random.IntN(4) {
	case 0:
		message = h.random.IntN(h.messages + 1)
	case 1:
		c.Where = queue.Query{To: fmt.Sprint(h.random.IntN(4)), Tenant: h.pick("t", "u")}
	case 2:
		c.Where = queue.Query{Lane: fmt.Sprint(h.pick("", "t", "u"), h.random.IntN(3)-1, h.random.IntN(3))}
	case 3:
		switch {
		case c.Op == queue.Cancel:
			c.Where.State = queue.Held
		case h.random.IntN(2) == 0:
			c.Where.State = []queue.State{queue.Waiting, queue.Leased, queue.Held, queue.Damaged, queue.Delivered}[h.random.IntN(5)]
		}
	}
	if h.random.IntN(2) == 0 {
		c.Due = h.now.Add(h.duration(time.Hour) - 10*time.Minute)
	}
	h.same(h.note("%s message %d, %+v", c.Op, message, c.Where), func(s *subject) any {
		c := c
		if message >= 0 {
			c.Where.Message = s.id(message)
		}
		done, err := s.store.Update(context.Background(), c)
		return []any{done, failure(err)}
	})
}

// reopen closes and opens the stores that can. Whose events are in hand is not known after it, so it waits for an
// answer of Events to be over.
func (h *history) reopen() {
	h.ack()
	h.now = h.now.Add(10 * time.Minute)
	h.note("reopen")
	for _, s := range h.subjects {
		if s.Reopen != nil {
			s.store = s.Reopen(h.T, s.store)
		}
	}
}

// look compares what can be seen: all items now and then, a page of some, and the next time.
func (h *history) look() {
	h.same("next", func(s *subject) any {
		at, _, err := s.store.Next(context.Background(), h.now)
		return []any{clock(at), failure(err)}
	})
	q := queue.Query{Limit: 1 + h.random.IntN(20)}
	if h.random.IntN(2) == 0 {
		q.State = []queue.State{queue.Waiting, queue.Leased, queue.Held, queue.Delivered, queue.Cancelled}[h.random.IntN(5)]
	}
	if h.random.IntN(4) == 0 {
		q.Key = h.pick("k", "l", "m")
	}
	if h.random.IntN(4) == 0 {
		q.Tenant = h.pick("t", "u")
	}
	all := h.random.IntN(20) == 0
	h.same(fmt.Sprintf("list %+v", q), func(s *subject) any {
		var items []shown
		for q := q; ; {
			page, err := s.store.List(context.Background(), q)
			items = append(items, s.showAll(page)...)
			if err != nil || len(page) < q.Limit || !all && len(items) > 40 {
				return []any{items, failure(err)}
			}
			q.After = page[len(page)-1].ID
		}
	})
}
