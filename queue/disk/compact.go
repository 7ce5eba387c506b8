package disk

import (
	"errors"
	"io"
	"math"
	"time"

	"github.com/postrider/postrider/queue"
)

// compact moves what lives in the oldest segment to the end of the log, if less than half of the log lives, and it is not small or
// the disk is full. What waits for weeks would else keep all that came after it.
func (s *Store) compact() error {
	number, ok := s.wasteful()
	if !ok {
		return nil
	}
	in := s.log.acquire(number)
	if in == nil {
		return nil
	}
	defer s.log.release(in)
	off := int64(pageSize)
	var b [headSize]byte
	for {
		n, _ := readPart(in.f, b[:], off) // an error is taken for damage: what cannot be read is passed over, too
		h, ok := readHead(b[:n], number)
		if !ok {
			if off = in.passOver(off + 8); off == 0 {
				return s.leftIn(number)
			}
			continue
		}
		if h.kind == putRecord || h.kind == moveRecord {
			if err := s.move(h, place{number, off, h.meta, h.body}); err != nil {
				return err
			}
		}
		off += h.size()
	}
}

// passOver finds the next head of a record behind a place that is damaged or cannot be read; 0: there is none.
func (s *segment) passOver(off int64) int64 {
	if next, err := nextHead(s.f, s.size, s.number, off); err == nil {
		return next
	}
	for off < s.size {
		end := (off/pageSize + 1) * pageSize
		next, err := nextHead(s.f, min(end+headSize, s.size), s.number, off)
		for at := align(off); err != nil && at < end && next == 0; at += 8 { // some of the page may be readable
			var b [headSize]byte
			n, _ := readPart(s.f, b[:], at)
			if _, ok := readHead(b[:n], s.number); ok {
				next = at
			}
		}
		if next > 0 {
			return next
		}
		off = end
	}
	return 0
}

// patience is how long what cannot be read keeps its segment, and with it all later ones, and events those behind them.
const patience = 10 * time.Minute

// leftover is what compaction has left in the oldest segment.
type leftover struct {
	segment uint64
	looked  time.Time
	failing map[uint64]time.Time // messages that cannot be read, since when
}

// leftIn looks, when all that can be moved was, what still lives in a segment: messages with events, whose time will come, and such as
// cannot be read. Those are lost when they were tried for long enough. As it looks at every message there is, it
// does not do so more often than ten times in that while.
func (s *Store) leftIn(number uint64) error {
	s.mu.Lock()
	lives := s.live[number] > 0
	s.mu.Unlock()
	switch {
	case !lives:
		s.left = leftover{}
		return nil
	case s.left.segment != number:
		s.left = leftover{segment: number, looked: time.Now()}
		return nil
	case time.Since(s.left.looked) < s.patience/10:
		return nil
	}
	before := s.left.failing
	s.left.looked, s.left.failing = time.Now(), map[uint64]time.Time{}
	for from, more := uint64(0), true; more; {
		var err error
		if from, more, err = s.loseSome(number, from, before); err != nil {
			s.left.failing = before // none begins to be waited for anew
			return err
		}
	}
	if len(before) == 0 && len(s.left.failing) > 0 {
		s.report("the oldest segment cannot be emptied", "segment", number, "messages", len(s.left.failing))
	}
	return nil
}

func (s *Store) loseSome(number, from uint64, before map[uint64]time.Time) (next uint64, more bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seqs, next, err := s.numbers(&queue.Query{}, from)
	for _, seq := range seqs {
		m := s.loadNamed(seq)
		if s.broken != nil || s.closed {
			return 0, false, s.broken
		}
		if m == nil || m.at.segment != number || m.unacked > 0 {
			continue
		}
		if s.whole(m) {
			continue // it will be moved
		}
		since, ok := before[seq]
		if !ok {
			since = time.Now()
		}
		if s.left.failing[seq] = since; ok && time.Since(since) >= s.patience {
			if err := s.lose(m); err != nil {
				return 0, false, err
			}
		}
	}
	return next, next != math.MaxUint64 && err == nil, err
}

// whole says whether compaction will find a message, and can read it.
func (s *Store) whole(m *message) bool {
	in := s.log.acquire(m.at.segment)
	if in == nil {
		return false
	}
	defer s.log.release(in)
	if h, err := in.head(m.at); err != nil || h.seq != m.seq {
		return false
	}
	_, err := io.Copy(io.Discard, io.NewSectionReader(in.f, m.at.off, m.at.size()))
	return err == nil
}

// lose ends what has not ended of a message that cannot be read; then, when that is told, it moves what is known of it.
func (s *Store) lose(m *message) error {
	s.touch(m)
	if m.open == 0 {
		return s.rewrite(m, nil)
	}
	if err := s.log.ensure(m.room(), true); err != nil {
		return err
	}
	c := changes{now: m.latest(), event: s.eventSeq}
	s.setAside(m, &c)
	return s.write(setRecord, c.event, c.encode(0))
}

// wasteful is the segment to empty, if any.
func (s *Store) wasteful() (uint64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	number, ok := s.log.first()
	if !ok || s.broken != nil || s.closed || s.live[number] == 0 || number >= s.passedTo {
		return 0, false
	}
	var live int64
	for _, n := range s.live {
		live += max(n, 0)
	}
	count, size := s.log.inUse()
	return number, (count > 4 || s.log.isFull()) && live < (size-s.log.length)/2
}

// move moves a message that stands at that place. One with events stays: they are in the log where it is, and would be lost
// with the index.
func (s *Store) move(h head, from place) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return queue.ErrClosed
	}
	m := s.load(h.seq)
	if s.broken != nil || m == nil || m.at != from || m.unacked > 0 {
		return s.broken
	}
	s.touch(m)
	err := s.meta(m)
	var body []byte
	if err == nil && !m.gone {
		body = make([]byte, h.body)
		err = s.log.read(from.segment, body, from.off+headSize+int64(h.meta))
		if err == nil && checksum(body) != h.bodyCRC {
			err = queue.ErrDamaged
		}
	}
	switch {
	case errors.Is(err, queue.ErrDamaged):
		return s.lose(m)
	case errors.Is(err, errRead):
		return nil // see leftIn
	case err != nil:
		return err
	}
	return s.rewrite(m, body)
}

// latest is the latest time that the message knows.
func (m *message) latest() int64 {
	t := m.ended
	for n := range m.items {
		t = max(t, m.items[n].until)
	}
	if t == never && len(m.items) > 0 {
		t = m.items[0].due
	}
	return t
}

// rewrite appends the message as it stands.
func (s *Store) rewrite(m *message, body []byte) error {
	var state, never writer
	if m.meta != nil {
		m.meta.encode(&never)
	}
	m.encode(&state, 0)
	c := newContent(int64(len(never) + len(state) + len(body) + 20))
	w := (*writer)(&c.b)
	w.bytes(never)
	w.bytes(state)
	c.metaEnds()
	c.b = append(c.b, body...)
	c.bodyEnds()
	c.head.kind, c.head.seq, c.head.event = moveRecord, m.seq, s.eventSeq
	room, full := c.head.size(), s.log.isFull()
	if full {
		room += s.log.toSettle()
	}
	err := s.log.ensure(room, full)
	if full && errors.Is(err, queue.ErrFull) {
		// All that lives there has room: then a whole segment becomes free.
		err = s.log.ensure(c.head.size()+s.live[m.at.segment], true)
	}
	if err != nil {
		return err
	}
	at, err := s.log.append(c, s.counters())
	if err != nil {
		s.fail(err)
		return err
	}
	s.moved(m, at)
	return nil
}

func (s *Store) moved(m *message, at place) {
	s.touch(m)
	s.live[m.at.segment] -= m.live()
	m.at = at
	s.live[m.at.segment] += m.live()
}
