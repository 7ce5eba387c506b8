package disk

import (
	"errors"
	"fmt"
	"sort"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/postrider/postrider/queue"
)

// segment is a file of the log, or a free one.
type segment struct {
	name    string
	f       file
	size    int64
	number  uint64
	found   title        // as Open found it
	end     int64        // of what was appended
	synced  atomic.Int64 // of what is durable
	readers int          // guarded by log.mu
	sealed  bool         // nothing may be appended
}

// log is the append-only log. Records get their place when they are appended, in that order; one goroutine
// writes what has come together and makes it durable with one sync for all.
type log struct {
	dir    folder
	spool  uint64
	length int64 // of a segment

	waking   atomic.Int64 // callers who were woken and do not run yet
	mu       sync.Mutex
	wake     sync.Cond // there is something to do, or the end
	calls    []*call
	current  *segment
	newest   uint64 // the greatest number that was given
	used     map[uint64]*segment
	spare    []*segment
	untitled []*segment // whose titles are lost; those without a number are left alone
	files    int        // for names
	open     *batch     // gathering
	hurried  bool       // it must not wait for more
	writing  *batch     // the one before
	err      error      // the log is dead: see fail
	closed   bool
	ended    bool // no call is made any more
	full     bool // there is no room for another segment
	starved  bool // a Put found no room
	over     chan struct{}

	// Of the committer alone, to be used again:
	unused  []pending
	between []byte
	parts   [][]byte
}

// batch are the records that become durable together.
type batch struct {
	done    chan struct{}
	err     error
	records []pending
}

type pending struct {
	in    *segment
	off   int64
	title []byte // the beginning of a segment, instead of a record
	*content
}

func newLog(dir folder, spool uint64, length int64) *log {
	l := &log{dir: dir, spool: spool, length: length, used: map[uint64]*segment{}, over: make(chan struct{}), open: newBatch(nil)}
	l.wake.L = &l.mu
	return l
}

func newBatch(records []pending) *batch { return &batch{done: make(chan struct{}), records: records} }

// place is where a record is.
type place struct {
	segment    uint64
	off        int64
	meta, body uint32
}

func (p place) size() int64 { return align(headSize + int64(p.meta) + int64(p.body)) }

// ensure makes sure that an append of that size will find its room. A reserve, a spare segment or most of the current one, is kept
// for what must go on when the disk is full: with urgent, it may be used.
func (l *log) ensure(size int64, urgent bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return l.err
	}
	for !l.roomy(size, urgent) {
		room := l.length
		if !l.current.fits(size) && l.fitting(size) < 0 {
			room = max(room, pageSize+align(size))
		}
		s, err := l.allocate(room)
		if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
			l.full, l.starved = true, l.starved || !urgent
			return fmt.Errorf("%w: %w", queue.ErrFull, err)
		}
		if err != nil {
			return fmt.Errorf("disk: no new segment: %w", err)
		}
		l.spare, l.full = append(l.spare, s), false
	}
	return nil
}

// toSettle is what claims and what makes room leave to settlements, the claims if so much is in hand. Puts leave more.
func (l *log) toSettle() int64 { return l.length * 3 / 8 }

func (l *log) roomy(size int64, urgent bool) bool {
	fits := l.current.fits(size)
	switch {
	case urgent:
		return fits || l.fitting(size) >= 0
	case fits:
		return len(l.spare) > 0 || l.current.fits(size+l.length/2)
	}
	return len(l.spare) > 1 && l.fitting(size) >= 0
}

func (s *segment) fits(size int64) bool { return s != nil && !s.sealed && s.end+size <= s.size }

// fitting is the index of a spare segment with room for a record, the smallest first; -1: there is none.
func (l *log) fitting(size int64) int {
	best := -1
	for n, s := range l.spare {
		if pageSize+size <= s.size && (best < 0 || s.size < l.spare[best].size) {
			best = n
		}
	}
	return best
}

func logName(n int) string { return fmt.Sprintf("log-%06d", n) }

func (l *log) allocate(size int64) (*segment, error) {
	l.files++
	name := logName(l.files)
	f, err := l.dir.create(name, size)
	if err != nil {
		return nil, err
	}
	return &segment{name: name, f: f, size: size}, nil
}

// append gives a record its place. The caller holds Store.mu, and has called ensure.
// The content is the log's from now on.
func (l *log) append(c *content, counters title) (place, error) {
	size := c.head.size()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return place{}, l.err
	}
	if l.ended {
		return place{}, queue.ErrClosed
	}
	if !l.current.fits(size) {
		if err := l.rotate(size, counters); err != nil {
			return place{}, err
		}
	}
	s := l.current
	p := place{s.number, s.end, c.head.meta, c.head.body}
	l.open.records = append(l.open.records, pending{in: s, off: s.end, content: c})
	s.end += size
	if l.gathered() {
		l.wake.Signal()
	}
	return p, nil
}

// rotate begins a new segment.
func (l *log) rotate(size int64, t title) error {
	n := l.fitting(size)
	if n < 0 {
		return queue.ErrFull
	}
	s := l.spare[n]
	l.spare = append(l.spare[:n], l.spare[n+1:]...)
	t.spool, t.number = l.spool, l.newest+1
	if t.oldest = l.oldest(); t.oldest == 0 {
		t.oldest = t.number
	}
	if l.current != nil {
		t.previous = uint64(l.current.end)
	}
	l.newest = t.number
	s.number, s.end = t.number, pageSize
	s.sealed = false
	s.synced.Store(0)
	l.used[s.number] = s
	l.current = s
	l.open.records = append(l.open.records, pending{in: s, title: t.write()})
	return nil
}

func (l *log) oldest() uint64 {
	numbers := l.numbers()
	if len(numbers) == 0 {
		return 0
	}
	return numbers[0]
}

// end is where the next record goes.
func (l *log) end() *place {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.current == nil {
		return &place{segment: l.newest}
	}
	return &place{segment: l.current.number, off: l.current.end}
}

// continuable says whether the next record may stand right behind the last.
func (l *log) continuable() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.current != nil && !l.current.sealed
}

func (l *log) isFull() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.full
}

// leave seals the current segment if a Put found no room and there is a spare one to go to.
func (l *log) leave(number uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.starved || l.current == nil || l.current.number != number || len(l.spare) == 0 {
		return false
	}
	l.starved, l.current.sealed = false, true
	return true
}

// first is the oldest segment, if it is not the current one.
func (l *log) first() (uint64, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.oldest()
	return n, n > 0 && l.current != nil && n != l.current.number
}

func (l *log) numbers() []uint64 {
	var all []uint64
	for n := range l.used {
		all = append(all, n)
	}
	sort.Slice(all, func(a, b int) bool { return all[a] < all[b] })
	return all
}

// last is the batch that makes durable what was appended.
func (l *log) last() *batch {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.err != nil:
		return &batch{done: closedChannel, err: l.err}
	case len(l.open.records) > 0:
		return l.open
	case l.writing != nil:
		return l.writing
	}
	return &batch{done: closedChannel}
}

var closedChannel = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// durable says whether a record is.
func (l *log) durable(p place) bool {
	l.mu.Lock()
	s := l.used[p.segment]
	l.mu.Unlock()
	return s == nil || s.synced.Load() >= p.off+p.size()
}

// read reads len(b) bytes of a segment.
func (l *log) read(number uint64, b []byte, off int64) error {
	s := l.acquire(number)
	if s == nil {
		return queue.ErrNotFound
	}
	defer l.release(s)
	n, err := readPart(s.f, b, off)
	if err == nil && n < len(b) {
		err = fmt.Errorf("%w: the segment ends before", queue.ErrDamaged)
	}
	return err
}

// acquire keeps a segment from being used again until release.
func (l *log) acquire(number uint64) *segment {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.used[number]
	if s != nil {
		s.readers++
	}
	return s
}

func (l *log) release(s *segment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s.readers--
}

// free makes the oldest segment a spare one, unless somebody reads it. It is marked before any later one can be used
// again: if the index is lost, no message may be found whose end was stored in a later segment that is gone.
func (l *log) free(number uint64) (bool, error) {
	l.mu.Lock()
	s := l.used[number]
	if s == nil || s == l.current || s.readers > 0 || l.err != nil {
		l.mu.Unlock()
		return false, nil
	}
	delete(l.used, number) // no new reader
	spare := len(l.spare)
	l.mu.Unlock()
	t := title{spool: l.spool}
	err := s.f.writeAll([][]byte{t.write()}, 0)
	if err == nil {
		err = s.f.sync()
	}
	if err != nil {
		return false, l.fail(err)
	}
	if spare >= 3 || s.size != l.length {
		s.f.Close()
		return true, l.dir.remove(s.name)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s.number, s.end = 0, 0
	l.spare = append(l.spare, s)
	return true, nil
}

// close ends the committer after what was appended.
func (l *log) close() error {
	l.mu.Lock()
	l.closed = true
	l.wake.Signal()
	l.mu.Unlock()
	<-l.over
	return l.err
}

func (l *log) closeFiles() {
	for _, s := range l.used {
		s.f.Close()
	}
	for _, s := range l.spare {
		s.f.Close()
	}
	for _, s := range l.untitled {
		if s.number == 0 {
			s.f.Close()
		}
	}
}

// inUse are the number of segments in use, and their size.
func (l *log) inUse() (n int, size int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.used {
		size += s.size
	}
	return len(l.used), size
}
