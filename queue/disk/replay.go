package disk

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"

	bolt "go.etcd.io/bbolt"
)

// errPosition: the index does not belong to the log that is there.
var errPosition = errors.New("disk: the index is not that of this log")

// replay reads the log from where the index ends.
func (s *Store) replay() error {
	p, err := s.readPosition()
	if err != nil {
		return err
	}
	oldest, err := s.log.identify(p.segment)
	if err != nil {
		return err
	}
	for _, u := range s.log.untitled {
		s.report("a file of the log has lost its title; without a number it is left alone", "file", u.name, "number", u.number)
	}
	numbers := s.log.numbers()
	if p.spool != 0 {
		s.seq, s.eventSeq, s.acked, s.token, s.live = p.seq, p.eventSeq, p.acked, p.token, p.live
		s.indexed, s.eventsIndexed = p.seq, p.eventSeq-1
		s.passedTo, s.savedLive = p.segment, p.live
		if p.segment != 0 && s.log.used[p.segment] == nil && (p.segment < oldest || !s.log.puzzled()) {
			return fmt.Errorf("%w: segment %d is not there", errPosition, p.segment)
		}
		if err := s.loadLanes(); err != nil {
			return err
		}
	} else if len(numbers) > 0 {
		t := s.log.used[numbers[0]].found
		s.seq, s.eventSeq, s.acked, s.token = t.seq, max(t.event, 1), t.acked, t.token
	}
	if n := len(numbers); n > 0 && !p.clean { // the process may have died before the sync, and what it wrote is not durable yet
		if err := s.log.used[numbers[n-1]].f.sync(); err != nil {
			return err
		}
	}
	s.log.newest = p.segment
	end, before := place{segment: p.segment, off: p.off}, p.segment
	for k, n := range numbers {
		s.log.newest = max(s.log.newest, n)
		if n < p.segment {
			continue
		}
		seg, limit := s.log.used[n], int64(0)
		if k+1 < len(numbers) && numbers[k+1] == n+1 {
			limit = int64(s.log.used[n+1].found.previous)
		} else if k+1 < len(numbers) {
			s.report("segments of the log are missing", "after", n, "before", numbers[k+1])
		}
		from := int64(pageSize)
		if n == p.segment {
			from = p.off
		}
		if p.clean && n == p.segment && k == len(numbers)-1 {
			end = place{segment: n, off: from}
			break
		}
		off, err := s.replaySegment(seg, from, limit, before > 0 && n > before+1)
		if err != nil {
			return err
		}
		end, before = place{segment: n, off: off}, n
	}
	if len(s.log.untitled) > 0 { // what was in such a file may have had greater numbers than any that is known
		s.seq, s.eventSeq, s.token = s.seq+manyMore, s.eventSeq+manyMore, s.token+manyMore
	}
	s.firstToken, s.leased = s.token, 0
	return s.resume(p, end)
}

// manyMore is more than the messages, events or leases of a segment.
const manyMore = 1 << 24

// resume makes the log ready to go on behind its end. After a crash that is a new segment: what a
// torn write left behind the end must never be found again.
func (s *Store) resume(p *position, end place) error {
	for n := range s.live {
		if s.log.used[n] == nil {
			delete(s.live, n)
		}
	}
	if last := s.log.used[end.segment]; last != nil {
		last.end = end.off
		last.synced.Store(end.off)
		s.log.current = last
		last.sealed = !p.clean || end.segment != p.segment || last.found.number == 0
		if last.sealed && last.found.number != 0 && len(s.log.spare) == 0 { // the disk may be full: nothing but this has room
			if err := last.clear(); err != nil {
				return err
			}
			last.sealed = false
		}
	}
	return s.passReplayed(end)
}

// clear writes zeros over what a torn write may have left behind the end.
func (s *segment) clear() error {
	z := make([]byte, 1<<20)
	for off := s.end; off < s.size; off += int64(len(z)) {
		if err := s.f.writeAll([][]byte{z[:min(int64(len(z)), s.size-off)]}, off); err != nil {
			return err
		}
	}
	return s.f.sync()
}

// passReplayed makes a checkpoint of what was replayed, so that the index is never behind what is written next.
func (s *Store) passReplayed(end place) error {
	return s.pass(s.snapshot(false, &end))
}

func (s *Store) readPosition() (*position, error) {
	p := &position{}
	err := s.index.view(func(tx *bolt.Tx) (err error) {
		if v := tx.Bucket(positionBucket).Get(positionBucket); v != nil {
			p, err = decodePosition(v)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errIndex, err)
	}
	if p.spool != 0 && p.spool != s.log.spool {
		return nil, errPosition
	}
	return p, nil
}

// replaySegment replays a segment from an offset on and says where it ends. limit is where it surely ends, 0 if that
// is not known: then what is no record may be where a crash tore a write. gap: something before it is missing.
func (s *Store) replaySegment(seg *segment, off, limit int64, gap bool) (int64, error) {
	for limit == 0 || off < limit {
		h, meta, ok, err := readRecord(seg, off, limit == 0)
		if err != nil {
			return 0, err
		}
		if ok {
			if err := s.replayRecord(h, place{seg.number, off, h.meta, h.body}, meta, gap); err != nil {
				s.report("a record makes no sense and is passed over", "segment", seg.number, "offset", off)
			}
			if s.broken != nil {
				return 0, s.broken
			}
			gap = gap && h.kind != putRecord
			off += h.size()
			if len(s.messages) > s.tooFar {
				if err := s.passReplayed(place{segment: seg.number, off: off}); err != nil {
					return 0, err
				}
			}
			continue
		}
		next, rotten, err := s.afterDamage(seg, off, limit)
		if err != nil {
			return 0, err
		}
		if !rotten {
			return off, nil
		}
		s.report("the log is damaged", "segment", seg.number, "from", off, "to", next)
		gap = true
		if h.kind == putRecord && next == off+h.size() { // its head is whole
			s.lost(h.seq, place{seg.number, off, h.meta, h.body})
		}
		off = next
	}
	return off, nil
}

// readRecord reads a record; ok: it is whole. With all its body is looked at too; else damage of it is found when it is read.
func readRecord(seg *segment, off int64, all bool) (h head, meta []byte, ok bool, err error) {
	var b [headSize]byte
	n, err := readPart(seg.f, b[:], off)
	if err != nil {
		return h, nil, false, err
	}
	h, ok = readHead(b[:n], seg.number)
	if !ok || off+h.size() > seg.size {
		return head{}, nil, false, nil
	}
	meta = make([]byte, h.meta)
	n, err = readPart(seg.f, meta, off+headSize)
	if err != nil || n < len(meta) || checksum(meta) != h.metaCRC {
		return h, nil, false, err
	}
	if all && h.body > 0 {
		sum := crc32.New(castagnoli)
		_, err := io.Copy(sum, io.NewSectionReader(seg.f, off+headSize+int64(h.meta), int64(h.body)))
		if err != nil {
			return h, nil, false, fmt.Errorf("%w: a body at %d: %w", errRead, off, err)
		}
		if sum.Sum32() != h.bodyCRC {
			return h, nil, false, nil
		}
	}
	return h, meta, true, nil
}

// afterDamage looks behind something that is no record. If the log says that it had been durable there, it is rot, and
// the next record is where to go on. Else the log ends: nobody was told that what follows was stored.
func (s *Store) afterDamage(seg *segment, off, limit int64) (next int64, rotten bool, err error) {
	if limit > off {
		if next, err = nextHead(seg.f, limit, seg.number, off+8); next == 0 {
			next = limit
		}
		return next, true, err
	}
	first := int64(0)
	for at := off; ; {
		found, err := nextHead(seg.f, seg.size, seg.number, at+8)
		if found == 0 {
			return 0, false, err
		}
		if first == 0 {
			first = found
		}
		var b [headSize]byte
		if _, err := readPart(seg.f, b[:], found); err != nil {
			return 0, false, err
		}
		if h, _ := readHead(b[:], seg.number); int64(h.synced) > off {
			return first, true, nil
		}
		at = found
	}
}

// nextHead finds the next head of a record, from an offset on; 0: there is none.
func nextHead(f file, size int64, number uint64, from int64) (int64, error) {
	const step = 1 << 20
	b := make([]byte, max(0, min(step, size-from))+headSize)
	for at := align(from); at+headSize <= size; at += step {
		n, err := readPart(f, b[:min(int64(len(b)), size-at)], at)
		if err != nil {
			return 0, err
		}
		for k := 0; k+headSize <= n; {
			i := bytes.Index(b[k:n], magic[:])
			if i < 0 {
				break
			}
			start := k + i - 5
			if start >= 0 && start < step && start%8 == 0 && start+headSize <= n {
				if _, ok := readHead(b[start:n], number); ok {
					return at + int64(start), nil
				}
			}
			k += i + 1
		}
	}
	return 0, nil
}

// replayRecord changes memory as the record says.
func (s *Store) replayRecord(h head, at place, meta []byte, gap bool) error {
	s.eventSeq = max(s.eventSeq, h.event)
	switch h.kind {
	case putRecord:
		m, err := decodeMeta(meta)
		if err != nil {
			return err
		}
		if h.seq <= s.seq {
			return errCode // numbers are never given twice
		}
		if gap {
			s.loseBefore(h.seq, place{segment: at.segment, off: at.off})
		}
		s.put(newMessage(h.seq, at, m))
	case moveRecord:
		return s.replayMove(h, at, meta)
	case setRecord:
		return s.applySet(meta)
	case ackRecord:
		r := reader{b: meta}
		if upTo := r.uint(); r.err == nil && upTo < math.MaxUint64 {
			s.eventSeq = max(s.eventSeq, upTo+1)
			return s.acknowledge(upTo)
		}
		return errCode
	case forgetRecord:
		r := reader{b: meta}
		for range r.count() {
			if m := s.load(r.uint()); m != nil {
				s.forget(m)
			}
		}
		return r.err
	}
	return nil
}

func (s *Store) replayMove(h head, at place, b []byte) error {
	r := reader{b: b}
	encoded, state := r.bytes(), r.bytes()
	fresh, err := decodeMessage(h.seq, state, 0)
	if err = errors.Join(r.err, err); err != nil {
		return err
	}
	if m := s.load(h.seq); m != nil {
		s.moved(m, at)
		return nil
	}
	fresh.at = at
	fresh.meta, _ = decodeMeta(encoded)
	s.add(fresh)
	return nil
}

// mostLost is how many missing messages are taken in one by one; more are reported only.
const mostLost = 10_000

// loseBefore takes in the messages that are missing before one.
func (s *Store) loseBefore(seq uint64, at place) {
	if missing := seq - s.seq - 1; missing > mostLost {
		s.report("messages may be missing", "after", s.id(s.seq), "before", s.id(seq))
		return
	}
	for n := s.seq + 1; n < seq; n++ {
		s.lost(n, at)
	}
}

// lost takes in a message of which nothing can be read.
func (s *Store) lost(seq uint64, at place) {
	if s.load(seq) != nil || seq <= s.indexed {
		return
	}
	m := &message{seq: seq, at: at, lanes: []string{""}, ended: never, damaged: true, items: []item{{state: damaged, until: never, expires: never}}}
	s.add(m)
	s.event(m, 0, 0)
}
