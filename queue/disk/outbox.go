package disk

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/postrider/postrider/queue"
)

// Events gives out the oldest events.
func (s *Store) Events(ctx context.Context, r queue.EventsRequest) ([]queue.Event, error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	if r.Lease <= 0 {
		return nil, fmt.Errorf("%w: a lease must last", queue.ErrInvalid)
	}
	if r.Max <= 0 {
		r.Max = 1000
	}
	all, done, err := s.oldestEvents(ctx, &r)
	if err == nil && len(all) > 0 {
		err = s.log.hurry(ctx, done) // nobody is told what may be untrue after a crash
	}
	if err != nil {
		return nil, err
	}
	return all, nil
}

func (s *Store) oldestEvents(ctx context.Context, r *queue.EventsRequest) (all []queue.Event, done *batch, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(ctx); err != nil {
		return nil, nil, err
	}
	if s.outbox > micros(r.Now) {
		return nil, nil, nil
	}
	events, err := s.oldest(r.Max, math.MaxUint64)
	if err != nil || len(events) == 0 {
		return nil, nil, err
	}
	for k := range events {
		e, err := s.tell(&events[k])
		if s.waitsFor(&events[k], err) {
			if k == 0 {
				return nil, nil, err
			}
			break // those before it are told
		}
		all = append(all, e)
	}
	s.outbox = micros(r.Now.Add(r.Lease))
	return all, s.log.last(), s.broken
}

// failing is how long reads fail: since when, and the last time.
type failing struct{ first, last time.Time }

// waitsFor says whether an event waits, and those behind it, since its message could not be read now. What cannot be read from a segment
// is waited for once; when nothing has failed for longer than that, it begins anew.
func (s *Store) waitsFor(e *event, err error) bool {
	if !errors.Is(err, errRead) {
		return false
	}
	now, number := time.Now(), s.load(e.message).at.segment
	f := s.untold[number]
	if now.Sub(f.last) > s.patience+time.Minute {
		f.first = now
	}
	f.last = now
	if s.untold == nil {
		s.untold = map[uint64]failing{}
	}
	s.untold[number] = f
	return time.Since(f.first) < s.patience
}

// tell is an event for the caller. With an error it has what is known.
func (s *Store) tell(e *event) (_ queue.Event, err error) {
	out := queue.Event{Seq: e.seq, At: timeOf(e.at)}
	m := s.load(e.message)
	if m == nil || e.n >= len(m.items) {
		out.Item = queue.Item{ID: queue.ID{Message: s.id(e.message), N: e.n}}
	} else {
		err = s.meta(m)
		out.Item = s.show(m, e.n)
	}
	i := &out.Item
	i.State, i.Attempts, i.Due, i.Until, i.Note = states[e.state], e.attempts, timeOf(e.due), timeOf(never), e.note
	return out, err
}

// Ack removes events.
func (s *Store) Ack(ctx context.Context, events []queue.Event) error {
	if err := s.begin(ctx); err != nil || len(events) == 0 {
		return err
	}
	return s.do(ctx, func() (durable bool, err error) { return s.ack(ctx, events) })
}

func (s *Store) ack(ctx context.Context, events []queue.Event) (durable bool, err error) {
	if err := s.usable(ctx); err != nil {
		return false, err
	}
	pending, err := s.oldest(len(events), math.MaxUint64)
	if err != nil {
		return false, err
	}
	n := 0
	for _, e := range events {
		switch {
		case n < len(pending) && e.Seq == pending[n].seq:
			n++
		case e.Seq >= s.eventSeq, n < len(pending) && e.Seq > pending[n].seq:
			return false, fmt.Errorf("%w: event %d is not one of the oldest", queue.ErrInvalid, e.Seq)
		}
	}
	if n == 0 {
		return false, nil
	}
	if err := s.log.ensure(headSize+16, true); err != nil {
		return false, err
	}
	var w writer
	upTo := pending[n-1].seq
	w.uint(upTo)
	s.outbox = never
	if err = s.write(ackRecord, s.eventSeq, w); err == nil {
		err = s.acknowledge(upTo)
	}
	return true, err
}
