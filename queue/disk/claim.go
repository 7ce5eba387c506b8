package disk

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strconv"
	"time"

	"github.com/postrider/postrider/queue"
)

var byDefault = []queue.Priority{queue.Urgent, queue.Normal, queue.Bulk}

// claim is one call of Claim.
type claim struct {
	*queue.ClaimRequest
	s     *Store
	now   int64
	token string
	taken map[string]int
	group int
	n     int // groups
	items []queue.Item
	done  changes // not written yet

	durable bool  // something was written
	err     error // why there is no room for more
}

// Claim gives out due items.
func (s *Store) Claim(ctx context.Context, r queue.ClaimRequest) (queue.Lease, error) {
	if err := s.begin(ctx); err != nil {
		return queue.Lease{}, err
	}
	if r.Lease <= 0 {
		return queue.Lease{}, fmt.Errorf("%w: a lease must last", queue.ErrInvalid)
	}
	if idle, err := s.idle(ctx, r.Now); idle || err != nil {
		return queue.Lease{}, err
	}
	var l queue.Lease
	err := s.do(ctx, func() (durable bool, err error) {
		l, durable, err = s.claim(ctx, &r)
		return durable, err
	})
	if err != nil {
		return queue.Lease{}, err
	}
	return l, nil
}

// idle says that nothing can be claimed.
func (s *Store) idle(ctx context.Context, now time.Time) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(ctx); err != nil {
		return false, err
	}
	s.advance(micros(now))
	return s.sched.idle(), s.broken
}

func (s *Store) claim(ctx context.Context, r *queue.ClaimRequest) (l queue.Lease, durable bool, err error) {
	if err := s.usable(ctx); err != nil {
		return l, false, err
	}
	s.advance(micros(r.Now))
	if s.broken != nil || s.sched.idle() {
		return l, false, s.broken
	}
	c := &claim{ClaimRequest: r, s: s, now: micros(r.Now), taken: map[string]int{}, group: r.Group}
	if c.group <= 0 {
		c.group = 100
	}
	s.token++
	c.token = strconv.FormatUint(s.token, 10)
	c.done = changes{now: c.now, event: s.eventSeq}
	order := r.Order
	if order == nil {
		order = byDefault
	}
	for _, p := range order {
		if p >= queue.Bulk && p <= queue.Urgent {
			c.class(&s.sched.classes[p-queue.Bulk])
		}
	}
	c.write()
	switch {
	case s.broken != nil:
		return l, false, s.broken
	case len(c.items) > 0:
		return queue.Lease{Token: c.token, Items: c.items}, c.durable, nil
	}
	return l, c.durable, c.err
}

// room makes sure that there is room for changes of so many bytes. A large claim is written in parts, each much smaller
// than a segment. It may not use the last half of a segment of the reserve: what runs must be settled when the disk is full.
func (c *claim) room(size int64) bool {
	l := c.s.log
	if int64(len(c.done.w))+size > l.length/4 {
		c.write()
	}
	c.err = l.ensure(max(min(l.toSettle(), int64(c.s.leased+1)<<10), int64(len(c.done.w))+size), true)
	return c.err == nil
}

// write writes what is done until now.
func (c *claim) write() {
	if c.done.n == 0 || c.s.broken != nil {
		return
	}
	c.s.write(setRecord, c.done.event, c.done.encode(c.s.token)) // an error breaks the store
	c.durable = true
	c.done = changes{now: c.now, event: c.s.eventSeq}
}

func (sc *schedule) idle() bool {
	return sc.classes[0].empty() && sc.classes[1].empty() && sc.classes[2].empty()
}

// class takes groups of one priority, by the rules 9 to 12.
func (c *claim) class(class *ring[*tenant]) {
	var touched []*tenant
	for c.n < c.Max && !class.exhausted() && c.s.broken == nil && c.err == nil {
		t := class.front()
		l := c.free(t)
		if t.lanes.parked.Len() > 0 {
			touched = append(touched, t)
		}
		if l == nil {
			class.park(t)
			continue
		}
		t.lanes.toBack(l)
		class.toBack(t)
		if c.take(l) {
			c.taken[l.name.lane]++
			c.n++
		}
	}
	for _, t := range touched {
		t.lanes.unpark()
	}
	class.unpark()
}

// free is the next lane of a tenant that is not full. The full ones before it are parked.
func (c *claim) free(t *tenant) *lane {
	for !t.lanes.exhausted() {
		l := t.lanes.front()
		limit, ok := c.Lanes[l.name.lane]
		if !ok {
			limit = c.PerLane
		}
		if !ok && limit == 0 || c.taken[l.name.lane] < limit {
			return l
		}
		t.lanes.park(l)
	}
	return nil
}

// take takes the first group of a lane. It may find that there is none.
func (c *claim) take(l *lane) bool {
	s, at := c.s, l.head
	m := s.loadNamed(at.id)
	if m == nil {
		l.window.remove(at)
		s.rehead(l)
		return false
	}
	err := s.meta(m)
	if errors.Is(err, errRead) {
		c.postpone(m, l)
		return false
	}
	if errors.Is(err, queue.ErrDamaged) {
		if c.room(m.room()) {
			s.setAside(m, &c.done)
			l.window.remove(at) // where it still is if the index was wrong
			s.rehead(l)
		}
		return false
	}
	if err != nil {
		s.fail(err)
		return false
	}
	var due []int
	for n := range m.items {
		if t, ok := m.items[n].ready(); ok && t <= c.now && m.lanes[m.items[n].lane] == l.name.lane {
			due = append(due, n)
		}
	}
	sort.Ints(due)
	if len(due) > c.group {
		due = due[:c.group]
	}
	size := roomOfChanges
	for _, n := range due {
		size += m.items[n].room()
	}
	if !c.room(size) {
		return false
	}
	s.touch(m)
	for _, n := range due {
		to := m.items[n]
		to.state, to.token = leased, s.token
		to.attempts++
		to.until = micros(c.Now.Add(c.Lease))
		to.due = to.until
		if k := len(c.Backoff); k > 0 {
			to.due = max(to.due, micros(c.Now.Add(c.Backoff[min(to.attempts, k)-1])))
		}
		c.done.add(m, n, &to, false)
		s.change(m, n, to, false, c.now)
		c.items = append(c.items, s.show(m, n))
	}
	if len(due) == 0 { // the index was wrong
		l.window.remove(at)
		s.rehead(l)
	}
	s.reindex(m) // who claims knows how long: nobody is woken
	return len(due) > 0
}

// postpone lets a message that the medium does not give come up again in a minute, as if nobody had asked for it.
func (c *claim) postpone(m *message, l *lane) {
	s := c.s
	if !c.room(m.room()) {
		return
	}
	s.report("a message cannot be read now", "message", s.id(m.seq), "segment", m.at.segment, "offset", m.at.off)
	s.touch(m)
	for n := range m.items {
		to := m.items[n]
		if t, ok := to.ready(); ok && t <= c.now && m.lanes[to.lane] == l.name.lane {
			to.due = c.now + time.Minute.Microseconds()
			c.done.add(m, n, &to, false)
			s.change(m, n, to, false, c.now)
		}
	}
	s.reindex(m)
}

// setAside ends what has not ended of a message that cannot be read.
func (s *Store) setAside(m *message, done *changes) {
	s.report("a message cannot be read and is set aside", "message", s.id(m.seq), "segment", m.at.segment, "offset", m.at.off)
	for n := range m.items {
		if i := m.items[n]; !i.ended() {
			i.state, i.due, i.until, i.token = damaged, done.now, never, 0
			done.add(m, n, &i, true)
			s.change(m, n, i, true, done.now)
		}
	}
	s.reindex(m)
}

func (s *Store) report(what string, args ...any) {
	if s.logger != nil {
		s.logger.Error("disk queue: "+what, args...)
	}
}
