package queue

import "time"

// timeline orders items by one of their times and knows those that are not after the horizon: the past.
// The horizon may move both ways; a step costs what crosses it.
type timeline struct {
	of      func(*memItem) (time.Time, *spot)
	horizon time.Time
	future  heap[*memItem] // the earliest on top
	past    heap[*memItem] // the latest on top
}

// spot is an item's place on a timeline.
type spot struct {
	in   bool
	past bool
	at   int
}

func (l *timeline) init(of func(*memItem) (time.Time, *spot)) {
	l.of = of
	place := func(i *memItem, at int) {
		_, s := of(i)
		s.at, s.in = at, at >= 0
	}
	before := func(a, b *memItem) bool {
		at, _ := of(a)
		bt, _ := of(b)
		if !at.Equal(bt) {
			return at.Before(bt)
		}
		return a.msg.seq < b.msg.seq || a.msg == b.msg && a.ID.N < b.ID.N
	}
	l.future = heap[*memItem]{less: before, place: place}
	l.past = heap[*memItem]{less: func(a, b *memItem) bool { return before(b, a) }, place: place}
}

// add returns whether the item is past.
func (l *timeline) add(i *memItem) bool {
	t, s := l.of(i)
	if s.past = !t.After(l.horizon); s.past {
		l.past.push(i)
	} else {
		l.future.push(i)
	}
	return s.past
}

// remove takes an item off, if it is on, and returns whether it was past.
func (l *timeline) remove(i *memItem) bool {
	_, s := l.of(i)
	switch {
	case !s.in:
		return false
	case s.past:
		l.past.remove(s.at)
	default:
		l.future.remove(s.at)
	}
	return s.past
}

// advance moves the horizon and calls enter for what became past, leave for what is not any more.
func (l *timeline) advance(now time.Time, enter, leave func(*memItem)) {
	l.horizon = now
	for l.future.len() > 0 && !l.after(l.future.top()) {
		i := l.future.remove(0)
		if l.add(i); enter != nil {
			enter(i)
		}
	}
	for l.past.len() > 0 && l.after(l.past.top()) {
		i := l.past.remove(0)
		if l.add(i); leave != nil {
			leave(i)
		}
	}
}

func (l *timeline) after(i *memItem) bool {
	t, _ := l.of(i)
	return t.After(l.horizon)
}

// first is the earliest time that is not past; zero: none.
func (l *timeline) first() time.Time {
	if l.future.len() == 0 {
		return time.Time{}
	}
	t, _ := l.of(l.future.top())
	return t
}
