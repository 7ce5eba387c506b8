package disk

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postrider/postrider/queue"
)

// Config says how a Store is opened.
type Config struct {
	// Dir is the folder. It is made if it is not there; one Store at a time may have it open.
	Dir string
	// Segment is the size of a file of the log in bytes; a larger message gets a larger file. Zero: 64 MiB. At least
	// two are there at any time, one of them as reserve for a full disk.
	Segment int64
	// Log is told what was found damaged. Nil: nobody is.
	Log *slog.Logger

	files  folder        // nil: the real one
	large  int64         // bytes of large records in memory. Zero: largeAtOnce
	every  time.Duration // between checkpoints. Zero: checkpointEvery
	window int           // entries of the schedule in memory. Zero: 65536
	noSync bool          // of the index

	patience time.Duration // zero: patience
}

// Store is a queue.Store in a folder. It is safe for concurrent use, by one process.
type Store struct {
	logger *slog.Logger
	every  time.Duration
	log    *log
	index  *index
	prefix string
	unlock func() error
	large  *allowance

	left     leftover // of keepUp alone
	patience time.Duration

	behind   atomic.Bool // the index is too far
	unusable atomic.Bool // closed or broken
	calls    sync.Pool   // of *call

	mu      sync.Mutex
	closed  bool
	broken  error
	version uint64

	// The counters: the last message, the next event, the last acknowledged event, the last token.
	seq, eventSeq, acked, token uint64

	messages   map[uint64]*message // that the index does not know as they are
	keys       map[string]uint64   // of those
	times      ordered[*message]   // of those
	events     []event             // that the index does not know
	live       map[uint64]int64    // by segment
	sched      schedule
	scratch    standing
	window     int
	outbox     int64              // until then the oldest events are in somebody's hands
	leased     int                // items in hand
	firstToken uint64             // the last token of the time before Open
	untold     map[uint64]failing // segments from which messages of events cannot be read
	next       waiters
	tooFar     int // tooFarBehind, but in tests

	indexed, eventsIndexed uint64           // what the index may know is not after these
	saving, saved          uint64           // what changes with every change: of the last checkpoint begun, and made
	passedTo               uint64           // the segment of the last checkpoint
	savedLive              map[uint64]int64 // and its live
	stuck                  error            // why the last checkpoint failed, for lack of room
	passed                 *sync.Cond
	nudged                 chan struct{}
	quit, over             chan struct{}
}

// checkpointAfter is the number of changed messages after which the index is brought up to date before its time.
const checkpointAfter = 8000

// tooFarBehind is the number of changed messages at which Put waits for the index.
const tooFarBehind = 20_000

// usable says why a call cannot be served. The caller holds mu.
func (s *Store) usable(ctx context.Context) error {
	switch {
	case s.closed:
		return queue.ErrClosed
	case s.broken != nil:
		return s.broken
	}
	return ctx.Err()
}

func (s *Store) counters() title {
	return title{seq: s.seq, event: s.eventSeq, acked: s.acked, token: s.token}
}

// write appends a record. The caller has ensured its room and holds mu; what it has changed in memory stands, so
// that an error ends the store.
func (s *Store) write(k kind, event uint64, meta []byte) error {
	c := newContent(int64(len(meta)))
	c.b = append(c.b, meta...)
	c.metaEnds()
	c.head.kind, c.head.event = k, event
	t := s.counters()
	t.event = event // a segment that begins with the record has the counters from before it
	_, err := s.log.append(c, t)
	if err != nil {
		s.fail(err)
	}
	return err
}

// Close stores the index and ends the store.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.unusable.Store(true)
	s.next.wakeUp()
	s.passed.Broadcast()
	s.mu.Unlock()
	close(s.quit)
	<-s.over
	err := s.log.close()
	if err == nil && s.broken == nil {
		err = s.checkpoint(true)
	}
	if e := s.index.close(); err == nil {
		err = e
	}
	if errors.Is(s.broken, errIndex) {
		s.dropIndex() // not every system renames a file that is open
	}
	s.log.closeFiles()
	if e := s.unlock(); err == nil {
		err = e
	}
	return err
}
