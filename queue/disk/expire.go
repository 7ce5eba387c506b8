package disk

import (
	"math"
	"slices"

	"github.com/postrider/postrider/queue"
)

// expiredBy are the messages of which an item has expired, as many as the change can take and a little more.
func (s *Store) expiredBy(c *queue.Change) (seqs []uint64, err error) {
	now := micros(c.Now)
	for n := s.times.next(spot{expiring, math.MinInt64, 0}); n != nil && n.at.kind == expiring && n.at.t <= now; n = s.times.next(n.at) {
		seqs = append(seqs, n.at.id)
	}
	from := spot{expiring, math.MinInt64, 0}
	for matched := 0; matched <= c.Max; {
		some, err := s.expiredPage(from, now)
		if err != nil {
			s.fail(err)
			return nil, err
		}
		if len(some) == 0 {
			break
		}
		for _, at := range some {
			from = at
			m := s.loadNamed(at.id)
			if m == nil || s.messages[at.id] != nil {
				continue
			}
			s.meta(m)
			for n := range m.items {
				if i := s.show(m, n); c.Where.Match(&i) {
					matched++
				}
			}
			seqs = append(seqs, at.id)
		}
	}
	slices.Sort(seqs)
	return slices.Compact(seqs), s.broken
}

// expiredPage are the next entries of the index after a spot.
func (s *Store) expiredPage(from spot, now int64) (some []spot, err error) {
	err = s.index.times(from, func(at spot) bool {
		if at.t > now {
			return false
		}
		some = append(some, at)
		return len(some) < page
	})
	return some, err
}

func (s *Store) forgetAll(c *queue.Change, found []*message, done *queue.Changed) (durable bool, err error) {
	var all []*message
	for _, m := range found {
		matches := false
		for n := range m.items {
			i := s.show(m, n)
			matches = matches || c.Where.Match(&i)
		}
		if !matches || !s.forgettable(m, c) {
			continue
		}
		if done.Items >= c.Max {
			done.More = true
			break
		}
		done.Items += len(m.items)
		all = append(all, m)
	}
	if len(all) == 0 {
		return false, nil
	}
	var w writer
	w.uint(uint64(len(all)))
	for _, m := range all {
		w.uint(m.seq)
		s.forget(m)
	}
	if s.broken != nil {
		return false, s.broken
	}
	return true, s.write(forgetRecord, s.eventSeq, w)
}
