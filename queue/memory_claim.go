package queue

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// Claim gives out due items.
func (m *Memory) Claim(ctx context.Context, r ClaimRequest) (Lease, error) {
	if err := m.usable(ctx); err != nil {
		return Lease{}, err
	}
	if r.Lease <= 0 {
		return Lease{}, fmt.Errorf("%w: a lease must last", ErrInvalid)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := r.Now.Round(0)
	items := m.sched.claim(now, &r)
	if len(items) == 0 {
		return Lease{}, nil
	}
	m.tokens++
	lease := Lease{Token: strconv.FormatUint(m.tokens, 10), Items: make([]Item, len(items))}
	for k, i := range items {
		i.State, i.token = Leased, lease.Token
		i.Attempts++
		i.Until = now.Add(r.Lease)
		i.Due = i.Until
		if n := len(r.Backoff); n > 0 {
			if t := now.Add(r.Backoff[min(i.Attempts, n)-1]); t.After(i.Due) {
				i.Due = t
			}
		}
		m.arrange(i) // who claims knows how long: nobody is woken
		lease.Items[k] = i.Item
	}
	return lease, nil
}

var byDefault = []Priority{Urgent, Normal, Bulk}

// claim takes items out of the schedule by the rules 9 to 12.
func (s *schedule) claim(now time.Time, r *ClaimRequest) (items []*memItem) {
	s.advance(now)
	size, order := r.Group, r.Order
	if size <= 0 {
		size = 100
	}
	if order == nil {
		order = byDefault
	}
	groups, taken := 0, map[string]int{}
	full := func(lane string) bool {
		limit, ok := r.Lanes[lane]
		if !ok {
			limit = r.PerLane
		}
		return (ok || limit != 0) && taken[lane] >= limit
	}
	for _, p := range order {
		if p < Bulk || p > Urgent {
			continue
		}
		class, touched := s.class(p), []*tenant(nil)
		for groups < r.Max && !class.exhausted() {
			t := class.front()
			l := t.free(full)
			if t.lanes.parked.Len() > 0 {
				touched = append(touched, t)
			}
			if l == nil {
				class.park(t)
				continue
			}
			taken[l.name]++
			groups++
			t.lanes.toBack(l)
			class.toBack(t)
			items = append(items, s.take(l.groups.top(), size)...)
		}
		for _, t := range touched {
			t.lanes.unpark()
		}
		class.unpark()
	}
	return items
}

// free is the next lane that is not full. The full ones before it are parked.
func (t *tenant) free(full func(string) bool) *lane {
	for !t.lanes.exhausted() {
		l := t.lanes.front()
		if !full(l.name) {
			return l
		}
		t.lanes.park(l)
	}
	return nil
}

// Next says when something else is due.
func (m *Memory) Next(ctx context.Context, after time.Time) (time.Time, <-chan struct{}, error) {
	if err := m.usable(ctx); err != nil {
		return time.Time{}, nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sched.advance(after.Round(0))
	at, expiry := m.sched.ready.first(), m.sched.expiry.first()
	if at.IsZero() || !expiry.IsZero() && expiry.Before(at) {
		at = expiry
	}
	return at, m.next.wait(at), nil
}

// waiters are those who were told when something is due.
type waiters struct {
	changed chan struct{}
	latest  time.Time // of what they were told
	never   bool      // one was told that nothing is
}

func (w *waiters) wait(at time.Time) <-chan struct{} {
	if w.changed == nil {
		w.changed, w.latest, w.never = make(chan struct{}), at, false
	}
	if at.IsZero() {
		w.never = true
	} else if at.After(w.latest) {
		w.latest = at
	}
	return w.changed
}

// ready wakes them if this is earlier.
func (w *waiters) ready(at time.Time) {
	if w.changed != nil && !at.IsZero() && (w.never || at.Before(w.latest)) {
		w.wake()
	}
}

func (w *waiters) wake() {
	if w.changed != nil {
		close(w.changed)
		w.changed = nil
	}
}
