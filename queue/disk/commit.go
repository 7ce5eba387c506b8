package disk

import (
	"context"
	"fmt"
	"slices"

	"github.com/postrider/postrider/queue"
)

// call is a change of the store on its way. The committer makes the calls that have come together, one after the other, writes
// what they have appended with one sync, and wakes the callers. So a hundred callers at once cost one lock and one sync.
type call struct {
	do   func() (durable bool, err error)
	err  error
	done chan struct{}
	gone bool // the caller is; guarded by log.mu
	over bool // guarded by log.mu
}

// newCall is a call, perhaps one that was used before. Those that were forsaken are not used again. A store shares none with
// another, or their channels would tie programs together that run in different bubbles of synctest.
func (s *Store) newCall() *call {
	if c, ok := s.calls.Get().(*call); ok {
		return c
	}
	return &call{done: make(chan struct{}, 1)}
}

// do makes a change under mu, in its turn. The change says whether its caller must not hear of it before all that was appended
// until then is durable. If ctx ends first the change is made, or will never be.
func (s *Store) do(ctx context.Context, change func() (durable bool, err error)) error {
	c := s.newCall()
	c.do = change
	if err := s.log.submit(c); err != nil {
		return err
	}
	select {
	case <-c.done:
		s.log.arrive()
		err := c.err
		*c = call{done: c.done}
		s.calls.Put(c)
		return err
	case <-ctx.Done():
	}
	s.mu.Lock()
	c.do = nil
	s.mu.Unlock()
	s.log.forsake(c)
	return ctx.Err()
}

func (l *log) submit(c *call) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return queue.ErrClosed
	}
	l.calls = append(l.calls, c)
	if l.gathered() {
		l.wake.Signal()
	}
	return nil
}

// make makes calls, and returns those whose callers wait for the log.
func (s *Store) make(calls []*call) []*call {
	waiting := calls[:0]
	var over []*call
	s.mu.Lock()
	for _, c := range calls {
		if c.do == nil {
			continue
		}
		durable, err := c.do()
		if c.err = err; durable && err == nil {
			waiting = append(waiting, c)
		} else {
			over = append(over, c)
		}
	}
	s.behind.Store(len(s.messages) > s.tooFar)
	s.mu.Unlock()
	s.log.finish(over)
	return waiting
}

// finish wakes callers.
func (l *log) finish(calls []*call) {
	if len(calls) == 0 {
		return
	}
	l.mu.Lock()
	for _, c := range calls {
		c.over = true
		if !c.gone {
			l.waking.Add(1)
		}
	}
	l.mu.Unlock()
	for _, c := range calls {
		c.done <- struct{}{}
	}
}

// arrive says that a caller who was woken runs.
func (l *log) arrive() {
	if l.waking.Add(-1) > 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gathered() {
		l.wake.Signal()
	}
}

// forsake says that the caller does not wait any more.
func (l *log) forsake(c *call) {
	l.mu.Lock()
	c.gone = true
	over := c.over
	l.mu.Unlock()
	if over {
		l.arrive()
	}
}

// gathered says that it is time to work: the callers whom the last sync has woken may call again, and are let run first. Who comes too
// late waits for two syncs, not one. Nobody is waited for by the clock: a lone caller, or one who thinks before the
// next call, delays nobody.
func (l *log) gathered() bool {
	n := len(l.calls) + len(l.open.records)
	return n > 0 && (l.hurried || n >= mostGathered || l.waking.Load() <= 0)
}

const mostGathered = 512

// hurry waits until a batch is durable, for a caller who has no call in it.
func (l *log) hurry(ctx context.Context, b *batch) error {
	l.mu.Lock()
	l.hurried = true
	l.wake.Signal()
	l.mu.Unlock()
	select {
	case <-b.done:
		return b.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// commit works until the log is closed and nothing is left.
func (l *log) commit(make func([]*call) []*call) {
	defer close(l.over)
	var calls []*call // the slices are used in turns
	for {
		l.mu.Lock()
		for !l.gathered() && !l.closed {
			l.wake.Wait()
		}
		calls, l.calls = l.calls, calls[:0]
		l.ended = l.closed && len(calls) == 0
		l.mu.Unlock()
		waiting := make(calls)

		l.mu.Lock()
		b, records := l.open, l.open.records
		l.open, l.writing, l.hurried = newBatch(l.unused), b, false
		err, done := l.err, l.ended
		l.mu.Unlock()
		if err == nil {
			err = l.write(records)
		}
		if err != nil {
			err = l.fail(err)
		}
		b.err, b.records = err, nil
		close(b.done)
		for _, c := range waiting {
			c.err = err
		}
		l.finish(waiting)
		clear(calls)
		l.unused = l.discard(records)
		if done {
			return
		}
	}
}

// discard lets go of records that are written, and returns their slice for others.
func (l *log) discard(records []pending) []pending {
	for n := range records {
		if c := records[n].content; c != nil {
			c.release()
		}
	}
	clear(records)
	clear(l.parts)
	return records[:0]
}

// fail ends the log: after a failed write or sync nobody knows what is on the disk, and a second sync of the
// same file may say that all is well when it is not. Only to read the log again tells.
func (l *log) fail(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = fmt.Errorf("disk: the log failed, close the store and open it again: %w", err)
	}
	return l.err
}

// failed says why the log is dead; nil: it lives.
func (l *log) failed() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// write writes records and makes them durable.
func (l *log) write(records []pending) error {
	for len(records) > 0 {
		s, n := records[0].in, 0
		for n < len(records) && records[n].in == s {
			n++
		}
		if err := l.writeRun(s, records[:n]); err != nil {
			return err
		}
		records = records[n:]
	}
	return nil
}

// writeRun writes records of one segment. The segment before it is durable already, as the title says; and the title is before its
// records are, or a crash could leave records of a number that is given again.
func (l *log) writeRun(s *segment, records []pending) error {
	if records[0].title != nil {
		if err := s.f.writeAll([][]byte{records[0].title}, 0); err != nil {
			return err
		}
		if err := s.f.sync(); err != nil {
			return err
		}
		records = records[1:]
	}
	if len(records) == 0 {
		return nil
	}
	// The zeros behind a record and the head of the next stand together, in one buffer for all.
	between := slices.Grow(l.between[:0], (len(records)+1)*(headSize+8))
	l.between = between
	parts := l.parts[:0]
	off := records[0].off
	end, zeros := off, 0
	for _, r := range records {
		r.head.synced = uint32(s.synced.Load())
		b := between[:zeros+headSize]
		between = between[len(b):cap(between)]
		clear(b[:zeros])
		r.head.write(b[zeros:], s.number)
		parts = append(parts, b, r.b)
		end = r.off + r.head.size()
		zeros = int(end - r.off - headSize - int64(len(r.b)))
	}
	if zeros > 0 {
		clear(between[:zeros])
		parts = append(parts, between[:zeros])
	}
	l.parts = parts
	if err := s.f.writeAll(parts, off); err != nil {
		return err
	}
	if err := s.f.sync(); err != nil {
		return err
	}
	s.synced.Store(end)
	return nil
}
