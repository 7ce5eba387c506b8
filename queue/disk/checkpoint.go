package disk

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"syscall"
	"time"

	"github.com/postrider/postrider/queue"
	bolt "go.etcd.io/bbolt"
)

// position is what the index holds of the log: all before it.
type position struct {
	spool                       uint64
	segment                     uint64
	off                         int64
	seq, eventSeq, acked, token uint64
	clean                       bool // the store was closed there
	live                        map[uint64]int64
}

func (p *position) encode() []byte {
	w := make(writer, 4, 128)
	for _, v := range []uint64{p.spool, p.segment, uint64(p.off), p.seq, p.eventSeq, p.acked, p.token} {
		w.uint(v)
	}
	w.flags(p.clean, true)
	w.uint(uint64(len(p.live)))
	for n, live := range p.live {
		w.uint(n)
		w.int(live)
	}
	binary.LittleEndian.PutUint32(w, checksum(w[4:]))
	return w
}

func decodePosition(b []byte) (*position, error) {
	if len(b) < 4 || binary.LittleEndian.Uint32(b) != checksum(b[4:]) {
		return nil, errCode
	}
	r := reader{b: b[4:]}
	p := &position{spool: r.uint(), segment: r.uint(), off: int64(r.uint()), seq: r.uint(), eventSeq: r.uint(),
		acked: r.uint(), token: r.uint(), live: map[uint64]int64{}}
	flags := r.byte()
	if p.clean = flags&1 != 0; flags&2 == 0 {
		return nil, errors.New("its entries have no checksums yet")
	}
	for range r.count() {
		n := r.uint()
		p.live[n] = r.int()
	}
	return p, r.err
}

// snapshot is what a checkpoint writes.
type snapshot struct {
	position position
	changed  []changed
	states   writer // of the changed messages, one behind the other
	events   []event
}

// changed is a message of a snapshot, as it was then.
type changed struct {
	m           *message
	seq         uint64
	version     uint64
	from, to    int // its state in snapshot.states; none: it is forgotten
	stands, was standing
}

// nudge asks for a checkpoint before its time.
func (s *Store) nudge() {
	select {
	case s.nudged <- struct{}{}:
	default:
	}
}

// checkpointEvery is long enough that most mail of a busy store has come and gone before the index hears of it, and short enough
// that the log is soon read again.
const checkpointEvery = time.Second

// keepUp makes checkpoints until the store is closed.
func (s *Store) keepUp() {
	defer close(s.over)
	tick := time.NewTicker(s.every)
	defer tick.Stop()
	for {
		select {
		case <-s.quit:
			return
		case <-tick.C:
		case <-s.nudged:
		}
		if s.checkpoint(false) == nil {
			s.tidy()
		}
	}
}

// checkpoint brings the index up to date.
func (s *Store) checkpoint(clean bool) error {
	s.mu.Lock()
	if s.broken != nil {
		defer s.mu.Unlock()
		return s.broken
	}
	if len(s.messages) == 0 && !clean && s.saved == s.version+s.acked {
		s.mu.Unlock()
		return nil
	}
	snap := s.snapshot(clean, nil)
	s.mu.Unlock()
	return s.pass(snap)
}

// snapshot takes what has changed. at: where the log is; nil: at its end. The caller holds mu.
func (s *Store) snapshot(clean bool, at *place) *snapshot {
	p := position{spool: s.log.spool, seq: s.seq, eventSeq: s.eventSeq, acked: s.acked, token: s.token, live: map[uint64]int64{}}
	if at == nil {
		at = s.log.end()
	}
	p.segment, p.off = at.segment, at.off
	p.clean = clean && s.log.continuable()
	for n, live := range s.live {
		if live > 0 {
			p.live[n] = live
		}
	}
	s.saving = s.version + s.acked
	snap := &snapshot{position: p, events: slices.Clone(s.events)}
	snap.changed = make([]changed, 0, len(s.messages))
	snap.states = make(writer, 0, 128*len(s.messages))
	for _, m := range s.messages {
		c := changed{m: m, seq: m.seq, version: m.version, from: len(snap.states), stands: m.stands, was: m.indexed}
		if !m.forgotten {
			m.encode(&snap.states, seed(m.seq))
		}
		c.to = len(snap.states)
		m.stored = true
		snap.changed = append(snap.changed, c)
	}
	s.indexed = s.seq
	return snap
}

// pass writes a snapshot into the index, once what it says is durable in the log.
func (s *Store) pass(snap *snapshot) error {
	if err := s.log.hurry(context.Background(), s.log.last()); err != nil {
		s.goOn()
		return err
	}
	slices.SortFunc(snap.changed, func(a, b changed) int { return cmp.Compare(a.seq, b.seq) })
	err := s.index.update(func(tx *bolt.Tx) error { return s.index.pass(tx, snap) })
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.passed.Broadcast()
	if err != nil {
		if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
			s.stuck = err // the log has it; the index comes when there is room
		} else {
			s.fail(err)
		}
		return err
	}
	s.stuck, s.saved = nil, s.saving
	defer func() { s.behind.Store(len(s.messages) > s.tooFar) }()
	s.passedTo, s.savedLive = snap.position.segment, snap.position.live
	s.clean(snap)
	return nil
}

func (x *index) pass(tx *bolt.Tx, snap *snapshot) error {
	if err := x.change(tx, snap); err != nil {
		return err
	}
	b := tx.Bucket(eventsBucket)
	b.FillPercent = 0.9
	for run := range slices.Chunk(snap.events, longestRun) {
		w := make(writer, 0, 32*len(run))
		encodeRun(&w, run)
		if err := b.Put(number(run[len(run)-1].seq), w); err != nil {
			return err
		}
	}
	c := b.Cursor()
	for k, _ := c.First(); k != nil && binary.BigEndian.Uint64(k) <= snap.position.acked; k, _ = c.First() {
		if err := c.Delete(); err != nil {
			return err
		}
	}
	return tx.Bucket(positionBucket).Put(positionBucket, snap.position.encode())
}

// clean lets go of what the index knows now.
func (s *Store) clean(snap *snapshot) {
	lanes := map[*lane]bool{}
	for _, c := range snap.changed {
		m := c.m
		if s.messages[m.seq] != m {
			continue
		}
		if m.indexed = c.stands; m.version != c.version {
			continue
		}
		delete(s.messages, m.seq)
		if m.key != nil && s.keys[string(m.key)] == m.seq {
			delete(s.keys, string(m.key))
		}
		for _, at := range m.stands.times {
			s.times.remove(at)
		}
		if m.forgotten {
			continue
		}
		for n, t := range m.stands.entries {
			if t == never {
				continue
			}
			l := s.laneOf(m, n)
			lanes[l] = true
			if at := (spot{0, t, m.seq}); l.more && at.after(l.bound) {
				l.window.remove(at)
			}
		}
	}
	for l := range lanes {
		s.shrink(l)
		s.rehead(l)
	}
	if n := len(snap.events); n > 0 {
		s.eventsIndexed = max(s.eventsIndexed, snap.events[n-1].seq)
		k := 0
		for k < len(s.events) && s.events[k].seq <= s.eventsIndexed {
			k++
		}
		s.events = slices.Delete(s.events, 0, k)
	}
}

// tidy frees the oldest segments when nothing needs them.
func (s *Store) tidy() {
	for s.freeOldest() {
	}
	s.relieve()
	err := s.compact()
	switch {
	case err == nil, errors.Is(err, queue.ErrFull), errors.Is(err, queue.ErrClosed):
	default:
		s.mu.Lock()
		s.fail(err)
		s.mu.Unlock()
	}
}

// freeOldest frees the oldest segment if it can. Only the oldest: a later one may say what became of a message in it.
func (s *Store) freeOldest() bool {
	s.mu.Lock()
	number, ok := s.log.first()
	if !ok || s.broken != nil || s.live[number] > 0 || number >= s.passedTo || s.savedLive[number] > 0 {
		s.mu.Unlock()
		return false
	}
	delete(s.live, number)
	s.mu.Unlock()
	freed, err := s.log.free(number)
	if err != nil {
		s.mu.Lock()
		s.fail(err)
		s.mu.Unlock()
	}
	return freed && err == nil
}

// relieve goes on to the reserve if the disk is full and nothing lives in the current segment, so that this one becomes free.
// The record that begins the new one says nothing new.
func (s *Store) relieve() {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.log.end()
	if s.closed || s.broken != nil || s.live[at.segment] > 0 || !s.log.leave(at.segment) {
		return
	}
	var w writer
	w.uint(s.acked)
	s.version++ // a checkpoint must pass it
	s.write(ackRecord, s.eventSeq, w)
}
