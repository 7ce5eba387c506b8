package queue

import (
	"context"
	"fmt"
	"time"
)

// Settle stores fates.
func (m *Memory) Settle(ctx context.Context, s Settlement) (lost []ID, err error) {
	if err := m.usable(ctx); err != nil {
		return nil, err
	}
	for _, o := range s.Outcomes {
		switch o.State {
		case Delivered, Failed, Expired, Damaged, Waiting, Leased:
		default:
			return nil, fmt.Errorf("%w: %q is not an outcome", ErrInvalid, o.State)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := s.Now.Round(0)
	for _, o := range s.Outcomes {
		if i := m.item(o.ID); i != nil && i.token != "" && i.token == s.Token {
			m.settle(i, &o, now)
		} else {
			lost = append(lost, o.ID)
		}
	}
	return lost, nil
}

func (m *Memory) item(id ID) *memItem {
	msg := m.byID[id.Message]
	if msg == nil || id.N < 0 || id.N >= len(msg.items) {
		return nil
	}
	return msg.items[id.N]
}

func (m *Memory) settle(i *memItem, o *Outcome, now time.Time) {
	switch {
	case o.State == Leased:
		i.Until = o.Due.Round(0)
		if i.Until.After(i.Due) {
			i.Due = i.Until
		}
	case o.State == Waiting:
		i.State, i.Due, i.Until, i.token = Waiting, o.Due.Round(0), time.Time{}, ""
		if o.Untried {
			i.Attempts--
			break
		}
		i.Note = append([]byte(nil), o.Note...)
		m.event(i, now)
	case o.State == Expired && o.Untried:
		i.Attempts--
		m.end(i, Expired, i.Note, now)
		return
	default:
		m.end(i, o.State, o.Note, now)
		return
	}
	m.reschedule(i)
}

// end ends an item.
func (m *Memory) end(i *memItem, state State, note []byte, now time.Time) {
	i.State, i.Due, i.Until, i.token = state, now, time.Time{}, ""
	i.Note = append([]byte(nil), note...)
	m.reschedule(i)
	i.msg.open--
	i.msg.damaged = i.msg.damaged || state == Damaged
	if now.After(i.msg.ended) {
		i.msg.ended = now
	}
	m.event(i, now)
}

func (m *Memory) event(i *memItem, now time.Time) {
	m.eventSeq++
	i.msg.unacked++
	m.events = append(m.events, Event{Seq: m.eventSeq, At: now, Item: i.Item})
}

// Events gives out the oldest events.
func (m *Memory) Events(ctx context.Context, r EventsRequest) ([]Event, error) {
	if err := m.usable(ctx); err != nil {
		return nil, err
	}
	if r.Lease <= 0 {
		return nil, fmt.Errorf("%w: a lease must last", ErrInvalid)
	}
	if r.Max <= 0 {
		r.Max = 1000
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.events) == 0 || m.outbox.After(r.Now) {
		return nil, nil
	}
	m.outbox = r.Now.Round(0).Add(r.Lease)
	return append([]Event(nil), m.events[:min(r.Max, len(m.events))]...), nil
}

// Ack removes events.
func (m *Memory) Ack(ctx context.Context, events []Event) error {
	if err := m.usable(ctx); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, e := range events {
		switch {
		case n < len(m.events) && e.Seq == m.events[n].Seq:
			n++
		case e.Seq > m.eventSeq, n < len(m.events) && e.Seq > m.events[n].Seq:
			return fmt.Errorf("%w: event %d is not one of the oldest", ErrInvalid, e.Seq)
		}
	}
	if n == 0 {
		return nil
	}
	gone := m.events[:n]
	if m.events = m.events[n:]; len(m.events) == 0 {
		m.events = nil
	}
	m.outbox = time.Time{}
	for _, e := range gone {
		msg := m.byID[e.Item.ID.Message]
		msg.unacked--
		m.settled(msg)
	}
	clear(gone)
	return nil
}
