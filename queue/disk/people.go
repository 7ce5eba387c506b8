package disk

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/postrider/postrider/queue"
	bolt "go.etcd.io/bbolt"
)

// page is how many messages are looked at before others get their turn.
const page = 256

// List shows items. It looks at all messages unless the query names a message, or a tenant and a key.
func (s *Store) List(ctx context.Context, q queue.Query) ([]queue.Item, error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	if q.Limit <= 0 || q.Limit > 1000 {
		q.Limit = 1000
	}
	var from uint64
	if q.After != (queue.ID{}) {
		var ok bool
		if from, ok = s.number(q.After.Message); !ok {
			return nil, fmt.Errorf("%w: %q is not an id of this store", queue.ErrInvalid, q.After.Message)
		}
	}
	var items []queue.Item
	err := s.each(ctx, &q, from, func(m *message) bool {
		for n := range m.items {
			if m.seq == from && n <= q.After.N {
				continue
			}
			i := s.show(m, n)
			if !q.Match(&i) {
				continue
			}
			if items = append(items, i); len(items) == q.Limit {
				return false
			}
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	return items, nil
}

// each calls f, under mu, for the messages that the query may mean, from a number on, until f returns false. It
// gives up mu now and then.
func (s *Store) each(ctx context.Context, q *queue.Query, from uint64, f func(*message) bool) error {
	for {
		done, next, err := s.eachPage(ctx, q, from, f)
		if done || err != nil {
			return err
		}
		from = next
	}
}

func (s *Store) eachPage(ctx context.Context, q *queue.Query, from uint64, f func(*message) bool) (bool, uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(ctx); err != nil {
		return true, 0, err
	}
	seqs, last, err := s.numbers(q, from)
	if err != nil {
		return true, 0, err
	}
	load := s.loadNamed
	if q.Message != "" {
		load = s.load
	}
	for _, seq := range seqs {
		m := load(seq)
		if s.broken != nil {
			return true, 0, s.broken
		}
		if m == nil || q.Tenant != "" && m.tenant != q.Tenant || q.Lane != "" && !slices.Contains(m.lanes, q.Lane) {
			continue
		}
		s.meta(m) // what is damaged is shown with what is known
		if !f(m) {
			return true, 0, nil
		}
	}
	return last == math.MaxUint64, last, nil
}

// numbers are the next messages that a query may mean, in order, and where to go on.
func (s *Store) numbers(q *queue.Query, from uint64) (seqs []uint64, next uint64, err error) {
	if q.Message != "" {
		if seq, ok := s.number(q.Message); ok && seq >= from {
			seqs = append(seqs, seq)
		}
		return seqs, math.MaxUint64, nil
	}
	if q.Key != "" && q.Tenant != "" {
		m, err := s.byKey(q.Tenant, q.Key)
		if m != nil && m.seq >= from {
			seqs = append(seqs, m.seq)
		}
		return seqs, math.MaxUint64, err
	}
	next = math.MaxUint64
	err = s.index.view(func(tx *bolt.Tx) error {
		c := tx.Bucket(messagesBucket).Cursor()
		for k, v := c.Seek(number(from)); k != nil; k, v = c.Next() {
			if len(k) != 8 || v == nil { // one without a value would be a bucket
				return errCode
			}
			if len(seqs) == page {
				next = be.Uint64(k)
				break
			}
			seqs = append(seqs, be.Uint64(k))
		}
		return nil
	})
	if err != nil {
		s.fail(err)
		return nil, 0, err
	}
	for seq := range s.messages {
		if seq >= from && seq < next {
			seqs = append(seqs, seq)
		}
	}
	slices.Sort(seqs)
	return slices.Compact(seqs), next, nil
}

// Update changes items for people. What it finds it changes in one transaction.
func (s *Store) Update(ctx context.Context, c queue.Change) (queue.Changed, error) {
	if err := s.begin(ctx); err != nil {
		return queue.Changed{}, err
	}
	if c.Max <= 0 {
		c.Max = 1000
	}
	var seqs []uint64
	var err error
	var done queue.Changed
	switch c.Op {
	case queue.Forget, queue.Cancel, queue.Hold, queue.Requeue:
		seqs, err = s.candidates(ctx, &c)
	case queue.Expire:
	default:
		err = fmt.Errorf("%w: no operation %q", queue.ErrInvalid, c.Op)
	}
	if err != nil {
		return queue.Changed{}, err
	}
	err = s.do(ctx, func() (durable bool, err error) { return s.update(ctx, &c, seqs, &done) })
	if err != nil {
		return queue.Changed{}, err
	}
	return done, nil
}

// candidates are the messages that seem to be meant; they are looked at again when they are changed.
func (s *Store) candidates(ctx context.Context, c *queue.Change) (seqs []uint64, err error) {
	items := 0
	err = s.each(ctx, &c.Where, 0, func(m *message) bool {
		was := items
		for n := range m.items {
			i := s.show(m, n)
			if !c.Where.Match(&i) {
				continue
			}
			if c.Op == queue.Forget {
				if s.forgettable(m, c) {
					items += len(m.items)
				}
				break
			}
			if free, busy := changeable(&m.items[n], c); free {
				items++
			} else if busy && (len(seqs) == 0 || seqs[len(seqs)-1] != m.seq) {
				seqs = append(seqs, m.seq)
			}
		}
		if items > was && (len(seqs) == 0 || seqs[len(seqs)-1] != m.seq) {
			seqs = append(seqs, m.seq)
		}
		if c.Op == queue.Forget {
			return items == was || was < c.Max
		}
		return items <= c.Max
	})
	return seqs, err
}

func (s *Store) forgettable(m *message, c *queue.Change) bool {
	named := c.Where.Message != "" || c.Where.State == queue.Damaged
	return m.gone && (!m.damaged || named) && m.ended+m.keep <= micros(c.Now)
}

// changeable says whether the operation changes the item, and else whether for a running lease.
func changeable(i *item, c *queue.Change) (free, busy bool) {
	if i.ended() || i.state == held && c.Op == queue.Hold {
		return false, false
	}
	if i.state == leased && i.until > micros(c.Now) {
		return false, true
	}
	return true, false
}

func (s *Store) update(ctx context.Context, c *queue.Change, seqs []uint64, done *queue.Changed) (durable bool, err error) {
	if err := s.usable(ctx); err != nil {
		return false, err
	}
	if c.Op == queue.Expire {
		if seqs, err = s.expiredBy(c); err != nil {
			return false, err
		}
	}
	var found []*message
	room, largest := roomOfChanges, int64(0)
	for _, seq := range seqs {
		m := s.load(seq)
		if m == nil {
			continue
		}
		found = append(found, m)
		s.meta(m)
		size := int64(0)
		for n := range m.items {
			size += 80 + int64(max(len(m.items[n].note), len(c.Note)))
		}
		room, largest = room+size, max(largest, size)
	}
	if s.broken != nil {
		return false, s.broken
	}
	most := s.log.length / 4 // of a record, or one message; the rest is left for the next call
	room = min(room, most+largest)
	if c.Op == queue.Hold || c.Op == queue.Requeue { // these can wait, for they end nothing
		room += s.log.toSettle()
	}
	if err := s.log.ensure(room, true); err != nil {
		return false, err
	}
	if c.Op == queue.Forget {
		return s.forgetAll(c, found, done)
	}
	ch := changes{now: micros(c.Now), event: s.eventSeq}
	for _, m := range found {
		if ch.n > 0 && int64(len(ch.w))+largest > most {
			done.More = true
			break
		}
		changed := false
		for n := range m.items {
			if done.More {
				break
			}
			i := s.show(m, n)
			if c.Where.Match(&i) && s.changeOne(m, n, c, &ch, done) {
				changed = true
			}
		}
		if changed {
			s.reindex(m)
		}
	}
	if s.broken != nil || ch.n == 0 {
		return false, s.broken
	}
	return true, s.write(setRecord, ch.event, ch.encode(0))
}

func (s *Store) changeOne(m *message, n int, c *queue.Change, ch *changes, done *queue.Changed) bool {
	to := m.items[n]
	if c.Op == queue.Expire && (to.expires == never || to.expires > ch.now || to.state == held) {
		return false
	}
	free, busy := changeable(&to, c)
	if busy {
		done.Busy++
	}
	if !free {
		return false
	}
	if done.Items == c.Max {
		done.More = true
		return false
	}
	done.Items++
	to.until, to.token = never, 0
	tell := false
	switch c.Op {
	case queue.Cancel, queue.Expire:
		to.state, to.due, tell = cancelled, ch.now, true
		if c.Op == queue.Expire {
			to.state = expired
		}
		if len(c.Note) > 0 {
			to.note = bytes.Clone(c.Note)
		}
	case queue.Hold:
		to.state = held
	case queue.Requeue:
		to.state, to.due = waiting, max(micros(c.Due), ch.now)
	}
	ch.add(m, n, &to, tell)
	s.change(m, n, to, tell, ch.now)
	s.wake(&m.items[n])
	return true
}
