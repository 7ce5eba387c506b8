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
	done  changes
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
	if err := s.log.ensure(s.log.length/2, true); err != nil {
		return l, false, err
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
	if s.broken == nil && c.done.n > 0 {
		durable, err = true, s.write(setRecord, c.done.event, c.done.encode(s.token))
	}
	if err == nil {
		err = s.broken
	}
	if len(c.items) == 0 {
		return l, durable, err
	}
	return queue.Lease{Token: c.token, Items: c.items}, durable, err
}

func (sc *schedule) idle() bool {
	return sc.classes[0].empty() && sc.classes[1].empty() && sc.classes[2].empty()
}

// class takes groups of one priority, by the rules 9 to 12.
func (c *claim) class(class *ring[*tenant]) {
	var touched []*tenant
	for c.n < c.Max && !class.exhausted() && c.s.broken == nil && len(c.done.w) < int(c.s.log.length/4) {
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
	m := s.load(at.id)
	if m == nil {
		l.window.remove(at)
		s.rehead(l)
		return false
	}
	s.touch(m)
	err := s.meta(m)
	var due []int
	for n := range m.items {
		if t, ok := m.items[n].ready(); ok && t <= c.now && m.lanes[m.items[n].lane] == l.name.lane {
			due = append(due, n)
		}
	}
	sort.Ints(due)
	if err != nil {
		if errors.Is(err, queue.ErrDamaged) {
			s.setAside(m, &c.done)
		} else {
			s.fail(err)
		}
		return false
	}
	if len(due) > c.group {
		due = due[:c.group]
	}
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
	s.arrange(m, func(int64) {}) // who claims knows how long: nobody is woken
	return len(due) > 0
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
