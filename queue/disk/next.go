package disk

import (
	"context"
	"math"
	"time"
)

// Next says when something else is due.
func (s *Store) Next(ctx context.Context, after time.Time) (time.Time, <-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(ctx); err != nil {
		return time.Time{}, nil, err
	}
	at := int64(math.MaxInt64)
	for _, kind := range []uint8{claimable, expiring} {
		t, err := s.moment(spot{kind, micros(after), math.MaxUint64})
		if err != nil {
			return time.Time{}, nil, err
		}
		at = min(at, t)
	}
	if at == math.MaxInt64 {
		at = never
	}
	return timeOf(at), s.next.wait(at), nil
}

// moment is the first time of that kind after the spot; MaxInt64: none.
func (s *Store) moment(after spot) (int64, error) {
	first := int64(math.MaxInt64)
	if n := s.times.next(after); n != nil && n.at.kind == after.kind {
		first = n.at.t
	}
	if s.indexed == 0 {
		return first, nil
	}
	err := s.index.times(after, func(at spot) bool {
		if at.t >= first {
			return false
		}
		if s.messages[at.id] != nil {
			return true // memory knows it better
		}
		first = at.t
		return false
	})
	if err != nil {
		s.fail(err)
	}
	return first, err
}

// waiters are those who were told when something is due.
type waiters struct {
	changed chan struct{}
	latest  int64 // of what they were told; never: one was told that nothing is
}

func (w *waiters) wait(at int64) <-chan struct{} {
	if w.changed == nil {
		w.changed, w.latest = make(chan struct{}), at
	}
	if at == never || w.latest == never {
		w.latest = never
	} else {
		w.latest = max(w.latest, at)
	}
	return w.changed
}

// ready wakes them if this is earlier.
func (w *waiters) ready(at int64) {
	if w.changed != nil && (w.latest == never || at < w.latest) {
		w.wakeUp()
	}
}

func (w *waiters) wakeUp() {
	if w.changed != nil {
		close(w.changed)
		w.changed = nil
	}
}
