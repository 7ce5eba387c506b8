package queuetest

import (
	"context"
	"fmt"
	"io"
	"sort"
	"strconv"
	"time"

	"github.com/postrider/postrider/queue"
)

// model is the contract of queue.Store written as simply as possible: a list that every call walks through. It is not
// fair, so Compare never asks it to choose, and it is not safe for concurrent use.
type model struct {
	messages []*modelMessage
	events   []queue.Event
	seq      uint64
	tokens   int
	outbox   time.Time
}

type modelMessage struct {
	queue.Batch
	id     string
	body   []byte
	items  []*queue.Item
	tokens []string
	gone   bool
	ended  time.Time
}

func (m *model) Put(_ context.Context, b *queue.Batch) (queue.Stored, error) {
	for _, msg := range m.messages {
		if b.Key != "" && msg.Key == b.Key && msg.Tenant == b.Tenant {
			if msg.Fingerprint != b.Fingerprint {
				return queue.Stored{}, queue.ErrKeyConflict
			}
			return queue.Stored{Message: msg.id, Known: true}, nil
		}
	}
	r, err := b.Body.Open()
	if err != nil {
		return queue.Stored{}, err
	}
	msg := &modelMessage{Batch: *b, tokens: make([]string, len(b.Items))}
	if msg.body, err = io.ReadAll(r); err != nil {
		return queue.Stored{}, err
	}
	msg.Keep = max(b.Keep, 0)
	m.seq++
	msg.id = strconv.FormatUint(m.seq, 10)
	for n, i := range b.Items {
		i := queue.Item{ID: queue.ID{Message: msg.id, N: n}, Lane: i.Lane, To: i.To, Meta: i.Meta, Common: b.Common, Key: b.Key, Tenant: b.Tenant,
			Priority: b.Priority, Created: b.Now, State: queue.Waiting, Due: later(i.Due, b.Now), Expires: i.Expires}
		msg.items = append(msg.items, &i)
		m.event(&i, b.Now)
	}
	m.messages = append(m.messages, msg)
	return queue.Stored{Message: msg.id}, nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (m *model) event(i *queue.Item, now time.Time) {
	m.seq++
	m.events = append(m.events, queue.Event{Seq: m.seq, At: now, Item: *i})
}

func (m *model) find(id string) *modelMessage {
	for _, msg := range m.messages {
		if msg.id == id {
			return msg
		}
	}
	return nil
}

func (m *model) Open(_ context.Context, id string) (queue.Body, error) {
	if msg := m.find(id); msg != nil && !msg.gone {
		return queue.Bytes(msg.body), nil
	}
	return nil, queue.ErrNotFound
}

// Claim takes all groups that the limits allow, which Compare makes clear without a choice: it walks by priority, then by the time
// that a group has been due.
func (m *model) Claim(_ context.Context, r queue.ClaimRequest) (queue.Lease, error) {
	type groupKey struct{ message, lane string }
	since, members, order := map[groupKey]time.Time{}, map[groupKey][]*queue.Item{}, []groupKey(nil)
	for _, msg := range m.messages {
		for _, i := range msg.items {
			if !claimable(i, r.Now) {
				continue
			}
			k := groupKey{msg.id, i.Lane}
			if since[k].IsZero() {
				order = append(order, k)
				since[k] = ready(i)
			} else if ready(i).Before(since[k]) {
				since[k] = ready(i)
			}
			members[k] = append(members[k], i)
		}
	}
	sort.SliceStable(order, func(a, b int) bool {
		if p, q := members[order[a]][0].Priority, members[order[b]][0].Priority; p != q {
			return p > q
		}
		return since[order[a]].Before(since[order[b]])
	})
	m.tokens++
	l := queue.Lease{Token: fmt.Sprint("token ", m.tokens)}
	taken := map[string]int{}
	for _, k := range order {
		limit, named := r.Lanes[k.lane]
		if !named {
			limit = r.PerLane
		}
		if (named || limit != 0) && taken[k.lane] >= limit {
			continue
		}
		taken[k.lane]++
		for _, i := range members[k] {
			i.State, i.Until = queue.Leased, r.Now.Add(r.Lease)
			i.Attempts++
			i.Due = i.Until
			if n := len(r.Backoff); n > 0 {
				i.Due = later(i.Due, r.Now.Add(r.Backoff[min(i.Attempts, n)-1]))
			}
			m.find(k.message).tokens[i.ID.N] = l.Token
			l.Items = append(l.Items, *i)
		}
	}
	return l, nil
}

func ready(i *queue.Item) time.Time { return later(i.Due, i.Until) }

func claimable(i *queue.Item, now time.Time) bool {
	return (i.State == queue.Waiting || i.State == queue.Leased) && !ready(i).After(now)
}

func (m *model) Settle(_ context.Context, s queue.Settlement) (lost []queue.ID, err error) {
	for _, o := range s.Outcomes {
		msg := m.find(o.ID.Message)
		if msg == nil || s.Token == "" || msg.tokens[o.ID.N] != s.Token {
			lost = append(lost, o.ID)
			continue
		}
		i := msg.items[o.ID.N]
		switch {
		case o.State == queue.Leased:
			i.Until, i.Due = o.Due, later(i.Due, o.Due)
			continue
		case o.State == queue.Expired && o.Untried:
			i.Attempts--
			m.end(msg, i, o.State, i.Note, s.Now)
			continue
		case o.State != queue.Waiting:
			m.end(msg, i, o.State, o.Note, s.Now)
			continue
		}
		i.State, i.Due, i.Until, msg.tokens[o.ID.N] = queue.Waiting, o.Due, time.Time{}, ""
		if o.Untried {
			i.Attempts--
			continue
		}
		i.Note = o.Note
		m.event(i, s.Now)
	}
	return lost, nil
}

func (m *model) end(msg *modelMessage, i *queue.Item, state queue.State, note []byte, now time.Time) {
	i.State, i.Due, i.Until, i.Note, msg.tokens[i.ID.N] = state, now, time.Time{}, note, ""
	msg.ended = later(msg.ended, now)
	m.event(i, now)
}

func (m *model) Next(_ context.Context, after time.Time) (at time.Time, _ <-chan struct{}, _ error) {
	for _, msg := range m.messages {
		for _, i := range msg.items {
			if i.State != queue.Waiting && i.State != queue.Leased {
				continue
			}
			for _, t := range []time.Time{ready(i), i.Expires} {
				if t.After(after) && (at.IsZero() || t.Before(at)) {
					at = t
				}
			}
		}
	}
	return at, nil, nil
}

func (m *model) Events(_ context.Context, r queue.EventsRequest) ([]queue.Event, error) {
	if m.outbox.After(r.Now) || len(m.events) == 0 {
		return nil, nil
	}
	m.outbox = r.Now.Add(r.Lease)
	return append([]queue.Event(nil), m.events[:min(r.Max, len(m.events))]...), nil
}

func (m *model) Ack(_ context.Context, events []queue.Event) error {
	for _, e := range events {
		if len(m.events) > 0 && m.events[0].Seq == e.Seq {
			m.events, m.outbox = m.events[1:], time.Time{}
		}
	}
	for n := len(m.messages) - 1; n >= 0; n-- {
		msg := m.messages[n]
		if !m.over(msg) {
			continue
		}
		msg.gone = true
		if msg.Keep <= 0 && !damaged(msg) {
			m.forget(msg)
		}
	}
	return nil
}

// over says that a message has ended and was told.
func (m *model) over(msg *modelMessage) bool {
	for _, i := range msg.items {
		if !i.State.Ended() {
			return false
		}
	}
	for _, e := range m.events {
		if e.Item.ID.Message == msg.id {
			return false
		}
	}
	return true
}

func damaged(msg *modelMessage) bool {
	for _, i := range msg.items {
		if i.State == queue.Damaged {
			return true
		}
	}
	return false
}

func (m *model) forget(msg *modelMessage) {
	for n := range m.messages {
		if m.messages[n] == msg {
			m.messages = append(m.messages[:n:n], m.messages[n+1:]...)
			return
		}
	}
}

func (m *model) List(_ context.Context, q queue.Query) (items []queue.Item, _ error) {
	after := q.After == queue.ID{}
	for _, msg := range m.messages {
		for _, i := range msg.items {
			if after && q.Match(i) && len(items) < q.Limit {
				items = append(items, *i)
			}
			after = after || i.ID == q.After
		}
	}
	return items, nil
}

func (m *model) Update(_ context.Context, c queue.Change) (done queue.Changed, _ error) {
	for _, msg := range append([]*modelMessage(nil), m.messages...) {
		if c.Op == queue.Forget {
			if m.forgettable(msg, &c) {
				done.Items += len(msg.items)
				m.forget(msg)
			}
			continue
		}
		for _, i := range msg.items {
			m.change(msg, i, &c, &done)
		}
	}
	return done, nil
}

func (m *model) forgettable(msg *modelMessage, c *queue.Change) bool {
	matches := false
	for _, i := range msg.items {
		matches = matches || c.Where.Match(i)
	}
	named := c.Where.Message != "" || c.Where.State == queue.Damaged
	return matches && msg.gone && !msg.ended.Add(msg.Keep).After(c.Now) && (!damaged(msg) || named)
}

func (m *model) change(msg *modelMessage, i *queue.Item, c *queue.Change, done *queue.Changed) {
	expired := !i.Expires.IsZero() && !i.Expires.After(c.Now)
	switch {
	case !c.Where.Match(i), i.State.Ended(), c.Op == queue.Hold && i.State == queue.Held,
		c.Op == queue.Expire && (!expired || i.State == queue.Held):
		return
	case i.State == queue.Leased && i.Until.After(c.Now):
		done.Busy++
		return
	}
	done.Items++
	note := i.Note
	if len(c.Note) > 0 {
		note = c.Note
	}
	switch c.Op {
	case queue.Cancel:
		m.end(msg, i, queue.Cancelled, note, c.Now)
		return
	case queue.Expire:
		m.end(msg, i, queue.Expired, note, c.Now)
		return
	case queue.Hold:
		i.State = queue.Held
	case queue.Requeue:
		i.State, i.Due = queue.Waiting, later(c.Due, c.Now)
	}
	i.Until, msg.tokens[i.ID.N] = time.Time{}, ""
}

func (m *model) Close() error { return nil }
