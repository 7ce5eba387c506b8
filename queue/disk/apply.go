package disk

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"

	"github.com/postrider/postrider/queue"
	bolt "go.etcd.io/bbolt"
)

// What follows changes memory as a record says, when it is appended and when it is replayed: the same way.

// load finds a message, nil if there is none.
func (s *Store) load(seq uint64) *message {
	if m := s.messages[seq]; m != nil {
		if m.forgotten {
			return nil
		}
		return m
	}
	if seq > s.indexed {
		return nil
	}
	m, err := s.index.message(seq)
	if err != nil {
		s.fail(err)
		return nil
	}
	return m
}

// loadNamed finds a message that the index has named elsewhere: it must be there, or have been forgotten since.
func (s *Store) loadNamed(seq uint64) *message {
	m := s.load(seq)
	if m == nil && s.messages[seq] == nil && s.broken == nil {
		s.fail(fmt.Errorf("%w: message %d is not there", errIndex, seq))
	}
	return m
}

// touch must be called before a message is changed: from now on memory knows it better than the index.
func (s *Store) touch(m *message) {
	s.version++
	m.version = s.version
	if s.messages[m.seq] == m {
		return
	}
	s.messages[m.seq] = m
	m.stands = m.standing(standing{})
	m.indexed = m.stands
	for n, t := range m.stands.entries {
		if t != never {
			s.laneOf(m, n).window.put(spot{0, t, m.seq}, struct{}{})
		}
	}
	for _, at := range m.stands.times {
		s.times.put(at, m)
	}
	if m.key != nil {
		s.keys[string(m.key)] = m.seq
	}
	if len(s.messages) >= checkpointAfter {
		s.nudge()
	}
}

// wake must be called for an item that was put, or changed other than by a claim: it wakes those who wait for something to come up.
func (s *Store) wake(i *item) {
	t, ok := i.ready()
	if !ok {
		return
	}
	s.next.ready(t)
	if i.expires != never {
		s.next.ready(i.expires)
	}
}

// reindex must be called after a message was changed.
func (s *Store) reindex(m *message) {
	s.scratch = m.standing(s.scratch)
	if s.scratch.equal(&m.stands) {
		return
	}
	was := m.stands
	m.stands = s.scratch.clone()
	for n, t := range m.stands.entries {
		old := int64(never)
		if was.entries != nil {
			old = was.entries[n]
		}
		if old == t {
			continue
		}
		l := s.laneOf(m, n)
		if old != never {
			l.window.remove(spot{0, old, m.seq})
		}
		if t != never {
			l.window.put(spot{0, t, m.seq}, struct{}{})
		}
		s.rehead(l)
	}
	if slices.Equal(was.times, m.stands.times) {
		return
	}
	for _, at := range was.times {
		s.times.remove(at)
	}
	for _, at := range m.stands.times {
		s.times.put(at, m)
	}
}

// add takes in a message that was put or moved.
func (s *Store) add(m *message) {
	s.seq = max(s.seq, m.seq)
	s.version++
	m.version = s.version
	s.messages[m.seq] = m
	if m.key != nil {
		s.keys[string(m.key)] = m.seq
	}
	s.live[m.at.segment] += m.live()
	s.reindex(m)
	if len(s.messages) >= checkpointAfter {
		s.nudge()
	}
}

func (s *Store) event(m *message, n int, now int64) {
	s.events = append(s.events, event{seq: s.eventSeq, at: now, message: m.seq, n: n,
		state: m.items[n].state, attempts: m.items[n].attempts, due: m.items[n].due, note: m.items[n].note})
	s.eventSeq++
	m.unacked++
}

// change changes one item; reindex must follow. An end is final, whatever comes.
func (s *Store) change(m *message, n int, to item, tell bool, now int64) {
	i := &m.items[n]
	if i.ended() {
		if tell {
			s.eventSeq++
		}
		return
	}
	s.touch(m)
	to.lane, to.expires = i.lane, i.expires
	s.leased += s.inHand(&to) - s.inHand(i)
	*i = to
	if i.ended() {
		m.open--
		m.damaged = m.damaged || i.state == damaged
		m.ended = max(m.ended, now)
	}
	if tell {
		s.event(m, n, now)
	}
}

// inHand is 1 for an item that was claimed since Open and whose fate may be settled.
func (s *Store) inHand(i *item) int {
	if i.state == leased && i.token > s.firstToken {
		return 1
	}
	return 0
}

// changes are the changes of one setRecord.
type changes struct {
	now   int64
	event uint64 // number of the first
	w     writer
	n     int
}

func (c *changes) add(m *message, n int, to *item, tell bool) {
	c.n++
	c.w.uint(m.seq)
	c.w.uint(uint64(n))
	c.w.byte(to.state)
	c.w.flags(tell)
	c.w.uint(uint64(to.attempts))
	c.w.int(to.due)
	c.w.int(to.until)
	c.w.uint(to.token)
	c.w.bytes(to.note)
}

func (c *changes) encode(token uint64) []byte {
	w := make(writer, 0, len(c.w)+24)
	w.int(c.now)
	w.uint(token)
	w.uint(uint64(c.n))
	return append(w, c.w...)
}

// applySet replays a setRecord.
func (s *Store) applySet(b []byte) error {
	r := reader{b: b}
	now := r.int()
	s.token = max(s.token, r.uint())
	touched := map[uint64]*message{}
	for range r.count() {
		seq, n := r.uint(), int(r.uint())
		to := item{state: r.byte()}
		tell := r.byte()&1 != 0
		to.attempts, to.due, to.until, to.token, to.note = int(r.uint()), r.int(), r.int(), r.uint(), bytes.Clone(r.bytes())
		if r.err != nil || to.state == 0 || int(to.state) >= len(states) {
			return errCode
		}
		m := touched[seq]
		if m == nil {
			m = s.load(seq)
		}
		if m == nil || n >= len(m.items) {
			if tell {
				s.eventSeq++
			}
			continue
		}
		touched[seq] = m
		s.change(m, n, to, tell, now)
	}
	for _, m := range touched {
		if s.messages[m.seq] == m {
			s.reindex(m)
		}
	}
	return r.err
}

// acknowledge removes the events up to a number.
func (s *Store) acknowledge(upTo uint64) error {
	gone, err := s.oldest(math.MaxInt, upTo)
	if err != nil {
		return err
	}
	k := 0
	for k < len(s.events) && s.events[k].seq <= upTo {
		k++
	}
	clear(s.events[:k])
	if s.events = s.events[k:]; len(s.events) == 0 {
		s.events = nil
	}
	s.acked = max(s.acked, upTo)
	for _, e := range gone {
		m := s.load(e.message)
		if m == nil {
			continue
		}
		s.touch(m)
		m.unacked--
		if m.open > 0 || m.unacked > 0 || m.gone {
			continue
		}
		s.live[m.at.segment] -= m.live()
		m.gone = true
		s.live[m.at.segment] += m.live()
		if m.keep <= 0 && !m.damaged {
			s.forget(m)
		}
	}
	return s.broken
}

// forget drops a message.
func (s *Store) forget(m *message) {
	s.touch(m)
	s.live[m.at.segment] -= m.live()
	m.forgotten = true
	s.reindex(m)
	if m.key != nil && s.keys[string(m.key)] == m.seq {
		delete(s.keys, string(m.key))
	}
	if !m.stored {
		delete(s.messages, m.seq)
	}
}

// oldest are the oldest events, at most max, none after the given number.
func (s *Store) oldest(max int, upTo uint64) (all []event, err error) {
	if s.eventsIndexed > s.acked {
		err = s.index.view(func(tx *bolt.Tx) error {
			c := tx.Bucket(eventsBucket).Cursor()
			for k, v := c.Seek(number(s.acked + 1)); k != nil; k, v = c.Next() {
				run, err := decodeRun(v)
				if err != nil {
					return err
				}
				if len(run) == 0 || run[len(run)-1].seq != be.Uint64(k) {
					return errCode
				}
				for _, e := range run {
					if len(all) >= max || e.seq > min(upTo, s.eventsIndexed) {
						return nil
					}
					if e.seq > s.acked {
						all = append(all, e)
					}
				}
			}
			return nil
		})
		if err != nil {
			s.fail(err)
			return nil, err
		}
	}
	for k := range s.events {
		e := &s.events[k]
		if len(all) >= max || e.seq > upTo {
			break
		}
		if e.seq > s.eventsIndexed {
			all = append(all, *e)
		}
	}
	return all, nil
}

// fail ends the store. An index that is damaged is out of the way at once, should Close never come: the next Open makes
// a new one from the log.
func (s *Store) fail(err error) {
	if s.broken != nil {
		return
	}
	s.broken = err
	s.unusable.Store(true)
	if errors.Is(err, errIndex) {
		s.report("the store must be closed and opened again", "because", err)
		s.dropIndex()
	}
}

func (s *Store) dropIndex() {
	os.Rename(s.index.path, s.index.path+".bad") // if this fails the next Open finds the damage, or a call after it
}

// meta reads what never changes of a message; it is durable, or memory has it. queue.ErrDamaged: it is lost; errRead: it may come
// back.
func (s *Store) meta(m *message) error {
	if m.meta != nil {
		return nil
	}
	b := make([]byte, headSize+int(m.at.meta))
	switch err := s.log.read(m.at.segment, b, m.at.off); {
	case errors.Is(err, errRead):
		return err
	case err != nil:
		return errors.Join(queue.ErrDamaged, err)
	}
	h, ok := readHead(b, m.at.segment)
	if !ok || h.meta != m.at.meta || h.seq != m.seq || checksum(b[headSize:]) != h.metaCRC {
		return queue.ErrDamaged
	}
	var err error
	b = b[headSize:]
	if h.kind == moveRecord {
		r := reader{b: b}
		b = r.bytes()
	}
	if m.meta, err = decodeMeta(b); err != nil || len(m.meta.items) != len(m.items) {
		m.meta = nil
		return queue.ErrDamaged
	}
	return nil
}
