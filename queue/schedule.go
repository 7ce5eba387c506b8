package queue

import (
	"container/list"
	"time"
)

// schedule is the order of the items of a Memory that can be claimed, now or later.
//
//	future ──advance(now)──► due ─┬─ in groups, by message and lane
//	                              ├─ in lanes:   groups, the one that has been due longest first
//	                              ├─ in tenants: a ring of lanes
//	                              └─ in classes: a ring of tenants for each priority
//
// Only what is due stands in the rings, so what waits for its time costs a claim nothing. The horizon divides due from
// future; it follows the time that the calls name, forth and back.
type schedule struct {
	ready   timeline
	expiry  timeline
	classes [3]ring[*tenant]
	tenants map[tenantKey]*tenant
	groups  map[groupKey]*group // of messages that share; in a large backlog even to look would be felt
}

type tenantKey struct {
	priority Priority
	name     string
}

type tenant struct {
	key   tenantKey
	lanes ring[*lane]
	named map[string]*lane
	seat
}

type lane struct {
	name   string
	tenant *tenant
	groups *heap[*group]
	seat
}

type groupKey struct {
	msg  *message
	lane string
}

// shares says whether items of the message can meet in a group.
func (m *message) shares() bool { return len(m.items) > 1 }

// group are the due items of one message and lane.
type group struct {
	key   groupKey
	items *heap[*memItem] // by N
	since time.Time       // when the first of them became due
	lane  *lane
	at    int
}

// ring is served from the front. What has nothing to give for the rest of a claim is parked, so that one claim
// looks at it once.
type ring[T interface{ sitting() *seat }] struct{ live, parked list.List }

// seat is a place in a ring.
type seat struct {
	in *list.List
	at *list.Element
}

func (s *seat) sitting() *seat { return s }

func (s *seat) stand() { s.in.Remove(s.at) }

func (r *ring[T]) sit(t T, in *list.List) { *t.sitting() = seat{in, in.PushBack(t)} }

func (r *ring[T]) add(t T)         { r.sit(t, &r.live) }
func (r *ring[T]) park(t T)        { t.sitting().stand(); r.sit(t, &r.parked) }
func (r *ring[T]) toBack(t T)      { s := t.sitting(); s.in.MoveToBack(s.at) }
func (r *ring[T]) empty() bool     { return r.live.Len()+r.parked.Len() == 0 }
func (r *ring[T]) front() (t T)    { return r.live.Front().Value.(T) }
func (r *ring[T]) exhausted() bool { return r.live.Len() == 0 }

func (r *ring[T]) unpark() {
	for e := r.parked.Front(); e != nil; e = r.parked.Front() {
		t := e.Value.(T)
		t.sitting().stand()
		r.add(t)
	}
}

func (s *schedule) init() {
	if s.groups == nil {
		s.ready.init(func(i *memItem) (time.Time, *spot) { return i.ready, &i.inReady })
		s.expiry.init(func(i *memItem) (time.Time, *spot) { return i.Expires, &i.inExpiry })
		s.tenants, s.groups = map[tenantKey]*tenant{}, map[groupKey]*group{}
	}
}

func (s *schedule) add(i *memItem) {
	s.init()
	if s.ready.add(i) {
		s.enter(i)
	}
	if !i.Expires.IsZero() {
		s.expiry.add(i)
	}
}

// remove takes an item out, if it is in.
func (s *schedule) remove(i *memItem) {
	s.init()
	if s.ready.remove(i) {
		s.leave(i)
	}
	s.expiry.remove(i)
}

// advance moves the horizon.
func (s *schedule) advance(now time.Time) {
	s.init()
	s.expiry.advance(now, nil, nil)
	s.ready.advance(now, s.enter, s.leave)
}

// enter puts a due item into the rings.
func (s *schedule) enter(i *memItem) {
	key := groupKey{i.msg, i.Lane}
	var g *group
	if i.msg.shares() {
		g = s.groups[key]
	}
	if g == nil {
		g = &group{key: key, at: -1, since: i.ready, lane: s.lane(i)}
		g.items = &heap[*memItem]{
			less:  func(a, b *memItem) bool { return a.ID.N < b.ID.N },
			place: func(i *memItem, at int) { i.inGroup = at },
		}
		if i.msg.shares() {
			s.groups[key] = g
		}
		g.lane.groups.push(g)
	}
	i.group = g
	g.items.push(i)
	if i.ready.Before(g.since) {
		g.since = i.ready
		g.lane.groups.fix(g.at)
	}
}

// leave takes a due item out of the rings.
func (s *schedule) leave(i *memItem) {
	g := i.group
	i.group = nil
	g.items.remove(i.inGroup)
	s.tidy(g)
}

// take takes the first n items of a group out of the schedule.
func (s *schedule) take(g *group, n int) []*memItem {
	items := make([]*memItem, min(n, g.items.len()))
	for k := range items {
		i := g.items.remove(0)
		i.group = nil
		s.ready.remove(i)
		items[k] = i
	}
	s.tidy(g)
	return items
}

// tidy restores order after items left a group.
func (s *schedule) tidy(g *group) {
	if g.items.len() > 0 {
		g.since = g.items.top().ready
		for _, i := range g.items.all {
			if i.ready.Before(g.since) {
				g.since = i.ready
			}
		}
		g.lane.groups.fix(g.at)
		return
	}
	if g.key.msg.shares() {
		delete(s.groups, g.key)
	}
	l := g.lane
	l.groups.remove(g.at)
	if l.groups.len() > 0 {
		return
	}
	t := l.tenant
	delete(t.named, l.name)
	l.stand()
	if t.lanes.empty() {
		delete(s.tenants, t.key)
		t.stand()
	}
}

func (s *schedule) class(p Priority) *ring[*tenant] { return &s.classes[p-Bulk] }

// lane finds or makes the lane of an item; a new one stands at the end of its ring.
func (s *schedule) lane(i *memItem) *lane {
	key := tenantKey{i.Priority, i.Tenant}
	t := s.tenants[key]
	if t == nil {
		t = &tenant{key: key, named: map[string]*lane{}}
		s.class(key.priority).add(t)
		s.tenants[key] = t
	}
	l := t.named[i.Lane]
	if l == nil {
		l = &lane{name: i.Lane, tenant: t}
		l.groups = &heap[*group]{place: func(g *group, at int) { g.at = at }, less: func(a, b *group) bool {
			if !a.since.Equal(b.since) {
				return a.since.Before(b.since)
			}
			return a.key.msg.seq < b.key.msg.seq
		}}
		t.lanes.add(l)
		t.named[i.Lane] = l
	}
	return l
}
