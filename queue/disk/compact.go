package disk

import (
	"errors"

	"github.com/postrider/postrider/queue"
)

// compact moves what lives in the oldest segment to the end of the log, if less than half of the log lives. What waits for
// weeks would else keep all that came after it.
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
		if n, err := readPart(in.f, b[:], off); err != nil || n < headSize {
			return err
		}
		h, ok := readHead(b[:], number)
		if !ok {
			next, err := nextHead(in.f, in.size, number, off+8)
			if next == 0 {
				return err
			}
			off = next
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
		live += n
	}
	count, size := s.log.inUse()
	return number, count > 4 && live < (size-s.log.length)/2
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
	if errors.Is(err, queue.ErrDamaged) && m.open > 0 {
		if err := s.log.ensure(m.room(), true); err != nil {
			return err
		}
		c := changes{now: m.latest(), event: s.eventSeq}
		s.setAside(m, &c)
		return s.write(setRecord, c.event, c.encode(0))
	}
	if err != nil && !errors.Is(err, queue.ErrDamaged) {
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
	if err := s.log.ensure(c.head.size(), false); err != nil {
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
