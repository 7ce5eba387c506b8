package queue

import (
	"context"
	"fmt"
	"time"
)

// List shows items.
func (m *Memory) List(ctx context.Context, q Query) ([]Item, error) {
	if err := m.usable(ctx); err != nil {
		return nil, err
	}
	if q.Limit <= 0 || q.Limit > 1000 {
		q.Limit = 1000
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	after := q.After
	var from uint64
	if after != (ID{}) {
		seq, err := m.seqOf(after.Message)
		if err != nil {
			return nil, err
		}
		from = seq
	}
	var items []Item
	m.each(&q, from, func(msg *message) bool {
		for n, i := range msg.items {
			if msg.seq == from && n <= after.N || !q.Match(&i.Item) {
				continue
			}
			if items = append(items, i.Item); len(items) == q.Limit {
				return false
			}
		}
		return true
	})
	return items, nil
}

// each calls f for the messages that the query may mean, from a seq on, until f returns false.
func (m *Memory) each(q *Query, from uint64, f func(*message) bool) {
	if q.Message != "" {
		if msg := m.byID[q.Message]; msg != nil && msg.seq >= from {
			f(msg)
		}
		return
	}
	if q.Key != "" && q.Tenant != "" {
		if msg := m.byKey[[2]string{q.Tenant, q.Key}]; msg != nil && msg.seq >= from {
			f(msg)
		}
		return
	}
	for _, s := range m.order[m.position(from):] { // f may forget messages, and m.order change
		if s.msg != nil && !f(s.msg) {
			return
		}
	}
}

// Update changes items for people.
func (m *Memory) Update(ctx context.Context, c Change) (Changed, error) {
	if err := m.usable(ctx); err != nil {
		return Changed{}, err
	}
	if c.Max <= 0 {
		c.Max = 1000
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	c.Now = c.Now.Round(0)
	var done Changed
	switch c.Op {
	case Forget:
		m.forgetAll(&c, &done)
	case Expire:
		m.expire(&c, &done)
	case Cancel, Hold, Requeue:
		m.each(&c.Where, 0, func(msg *message) bool {
			for _, i := range msg.items {
				if c.Where.Match(&i.Item) && !m.change(i, &c, &done) {
					return false
				}
			}
			return true
		})
	default:
		return Changed{}, fmt.Errorf("%w: no operation %q", ErrInvalid, c.Op)
	}
	return done, nil
}

// change changes one item, and returns false if it would be one too many.
func (m *Memory) change(i *memItem, c *Change, done *Changed) bool {
	switch {
	case i.State.Ended(), i.State == Held && c.Op == Hold:
		return true
	case i.State == Leased && i.Until.After(c.Now):
		done.Busy++
		return true
	case done.Items == c.Max:
		done.More = true
		return false
	}
	done.Items++
	switch c.Op {
	case Cancel:
		m.end(i, Cancelled, orElse(c.Note, i.Note), c.Now)
		return true
	case Expire:
		m.end(i, Expired, orElse(c.Note, i.Note), c.Now)
		return true
	case Hold:
		i.State = Held
	case Requeue:
		i.State, i.Due = Waiting, c.Due.Round(0)
		if i.Due.Before(c.Now) {
			i.Due = c.Now
		}
	}
	i.Until, i.token = time.Time{}, ""
	m.reschedule(i)
	return true
}

func orElse(note, before []byte) []byte {
	if len(note) > 0 {
		return note
	}
	return before
}

// expire ends what has expired.
func (m *Memory) expire(c *Change, done *Changed) {
	m.sched.advance(c.Now)
	var found []*memItem // first, for to end an item changes the heap
	for _, i := range m.sched.expiry.past.all {
		if !c.Where.Match(&i.Item) {
			continue
		}
		if i.State == Leased && i.Until.After(c.Now) {
			done.Busy++
		} else if found = append(found, i); len(found) > c.Max {
			break
		}
	}
	for _, i := range found {
		m.change(i, c, done)
	}
}

func (m *Memory) forgetAll(c *Change, done *Changed) {
	if m.kept == 0 {
		return
	}
	named := c.Where.Message != "" || c.Where.State == Damaged
	m.each(&c.Where, 0, func(msg *message) bool {
		if !msg.gone || msg.damaged && !named || msg.ended.Add(msg.Keep).After(c.Now) || !matches(msg, &c.Where) {
			return true
		}
		if done.Items >= c.Max {
			done.More = true
			return false
		}
		done.Items += len(msg.items)
		m.forget(msg)
		return true
	})
}

func matches(msg *message, q *Query) bool {
	for _, i := range msg.items {
		if q.Match(&i.Item) {
			return true
		}
	}
	return false
}
