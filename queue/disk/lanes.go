package disk

import (
	"bytes"
	"container/list"

	"github.com/postrider/postrider/queue"
	bolt "go.etcd.io/bbolt"
)

// schedule is the order in which items can be claimed. Memory holds a window of it: of each lane the first entries, and all
// entries of messages that the index does not know as they are. The rest is in the index.
//
//	index ──refill──► lane.window ──first──► heads ──advance(now)──► rings: tenants, their lanes
//
// An entry is a message in a lane, at the time at which its first item there can be claimed.
type schedule struct {
	lanes   map[laneName]*lane
	tenants map[tenantKey]*tenant
	classes [3]ring[*tenant]
	heads   ordered[*lane] // the lanes by the first entry of each
	horizon int64          // the lanes whose head is not after it stand in the rings
	made    uint64         // lanes, for numbers
}

type tenantKey struct {
	priority queue.Priority
	name     string
}

type tenant struct {
	key   tenantKey
	lanes ring[*lane]
	seat
}

type lane struct {
	name   laneName
	prefix []byte
	number uint64
	tenant *tenant // nil: not in the rings
	seat

	window ordered[struct{}]
	more   bool // the index may have entries after bound that are not in the window
	bound  spot
	head   spot
	headed bool
}

// ring is served from the front. What has nothing to give for the rest of a claim is parked.
type ring[T interface{ sitting() *seat }] struct{ live, parked list.List }

type seat struct {
	in *list.List
	at *list.Element
}

func (s *seat) sitting() *seat { return s }
func (s *seat) stand()         { s.in.Remove(s.at) }

func (r *ring[T]) sit(t T, in *list.List) { *t.sitting() = seat{in, in.PushBack(t)} }
func (r *ring[T]) add(t T)                { r.sit(t, &r.live) }
func (r *ring[T]) park(t T)               { t.sitting().stand(); r.sit(t, &r.parked) }
func (r *ring[T]) toBack(t T)             { s := t.sitting(); s.in.MoveToBack(s.at) }
func (r *ring[T]) empty() bool            { return r.live.Len()+r.parked.Len() == 0 }
func (r *ring[T]) front() T               { return r.live.Front().Value.(T) }
func (r *ring[T]) exhausted() bool        { return r.live.Len() == 0 }

func (r *ring[T]) unpark() {
	for e := r.parked.Front(); e != nil; e = r.parked.Front() {
		t := e.Value.(T)
		t.sitting().stand()
		r.add(t)
	}
}

// lane finds or makes a lane.
func (s *Store) lane(name laneName) *lane {
	l := s.sched.lanes[name]
	if l == nil {
		s.sched.made++
		l = &lane{name: name, prefix: name.prefix(), number: s.sched.made}
		s.sched.lanes[name] = l
	}
	return l
}

func (s *Store) laneOf(m *message, n int) *lane {
	return s.lane(laneName{m.priority, m.tenant, m.lanes[n]})
}

// perLane is how many entries of a lane the window holds.
func (s *Store) perLane() int { return min(256, max(8, s.window/(len(s.sched.lanes)+1))) }

// rehead restores order after entries of a lane came or went.
func (s *Store) rehead(l *lane) {
	first := l.window.first()
	for l.more && (first == nil || first.at.after(l.bound)) {
		if s.refill(l) != nil {
			return
		}
		first = l.window.first()
	}
	sc := &s.sched
	if l.headed && (first == nil || first.at != l.head) {
		sc.heads.remove(spot{0, l.head.t, l.number})
		l.headed = false
	}
	if first != nil && !l.headed {
		l.head, l.headed = first.at, true
		sc.heads.put(spot{0, l.head.t, l.number}, l)
	}
	if due := l.headed && l.head.t <= sc.horizon; due != (l.tenant != nil) {
		if due {
			s.enter(l)
		} else {
			s.leave(l)
		}
	}
	if first == nil {
		delete(sc.lanes, l.name)
	}
}

func (s *Store) enter(l *lane) {
	sc := &s.sched
	key := tenantKey{l.name.priority, l.name.tenant}
	t := sc.tenants[key]
	if t == nil {
		t = &tenant{key: key}
		sc.tenants[key] = t
		sc.classes[key.priority-queue.Bulk].add(t)
	}
	l.tenant = t
	t.lanes.add(l)
}

func (s *Store) leave(l *lane) {
	t := l.tenant
	l.stand()
	l.tenant = nil
	if t.lanes.empty() {
		delete(s.sched.tenants, t.key)
		t.stand()
	}
}

// advance moves the horizon, forth or back.
func (s *Store) advance(now int64) {
	sc := &s.sched
	from, to := sc.horizon, now
	sc.horizon = now
	if from > to {
		from, to = to, from
	}
	for n := sc.heads.next(spot{0, from, 1<<64 - 1}); n != nil && n.at.t <= to; n = sc.heads.next(n.at) {
		if l := n.value; l.head.t <= now && l.tenant == nil {
			s.enter(l)
		} else if l.head.t > now && l.tenant != nil {
			s.leave(l)
		}
	}
}

// refill takes the next entries of a lane from the index. The messages that memory knows better are passed over: their
// entries are in the window, wherever they stand.
func (s *Store) refill(l *lane) error {
	want := s.perLane()
	err := s.index.view(func(tx *bolt.Tx) error {
		return s.refillFrom(l, tx.Bucket(lanesBucket).Cursor(), want)
	})
	if err != nil {
		s.fail(err)
	}
	return err
}

func (s *Store) refillFrom(l *lane, c *bolt.Cursor, want int) error {
	k, v := c.Seek(laneKey(l.prefix, l.bound.t, l.bound.id))
	for read := 0; ; k, v = c.Next() {
		if k != nil {
			if err := checkKey(k, v); err != nil {
				return err
			}
		}
		if !bytes.HasPrefix(k, l.prefix) || len(k) != len(l.prefix)+16 {
			l.more = false
			return nil
		}
		at := readAt(0, k[len(l.prefix):])
		if at == l.bound && read == 0 {
			continue
		}
		if read == want {
			return nil
		}
		read++
		l.bound = at
		if s.messages[at.id] == nil {
			l.window.put(at, struct{}{})
		}
	}
}

// shrink drops entries from a window that has become too large, from its end.
func (s *Store) shrink(l *lane) {
	keep := s.perLane()
	if l.window.n <= 2*keep {
		return
	}
	at := l.window.first().at
	for range keep - 1 {
		at = l.window.next(at).at
	}
	if l.more && at.after(l.bound) {
		return // what is after the bound is there because memory knows it better
	}
	l.more, l.bound = true, at
	var drop []spot
	for n := l.window.next(at); n != nil; n = l.window.next(n.at) {
		if s.messages[n.at.id] == nil {
			drop = append(drop, n.at)
		}
	}
	for _, at := range drop {
		l.window.remove(at)
	}
}

// loadLanes finds the lanes in the index, and their first entries.
func (s *Store) loadLanes() error {
	return s.index.view(func(tx *bolt.Tx) error {
		c := tx.Bucket(lanesBucket).Cursor()
		for k, v := c.First(); k != nil; {
			name, prefix, _, ok := readLaneKey(k)
			if !ok || checkKey(k, v) != nil {
				return errCode
			}
			l := s.lane(name)
			l.more, l.bound = true, spot{0, never, 0}
			if err := s.refillFrom(l, c, 8); err != nil {
				return err
			}
			s.rehead(l)
			k, v = c.Seek(append(append([]byte(nil), prefix...), bytes.Repeat([]byte{0xff}, 17)...))
		}
		return nil
	})
}
