package disk

import (
	"fmt"
	"runtime"
)

// commit writes batches until the log is closed.
func (l *log) commit() {
	defer close(l.over)
	for {
		l.mu.Lock()
		for len(l.open.records) == 0 && !l.closed {
			l.wake.Wait()
		}
		l.gather()
		b := l.open
		l.open, l.writing = newBatch(), b
		err, done := l.err, l.closed && len(b.records) == 0
		l.mu.Unlock()
		if err == nil {
			err = l.write(b.records)
		}
		if err != nil {
			err = l.fail(err)
		}
		b.err, b.records = err, nil
		close(b.done)
		if done {
			return
		}
	}
}

// gather lets callers who are about to append do it, as long as more come: who was woken by the last sync would else wait
// for two more, not one. A lone caller costs it nothing.
func (l *log) gather() {
	for n := 0; n < len(l.open.records); {
		n = len(l.open.records)
		l.mu.Unlock()
		runtime.Gosched()
		l.mu.Lock()
	}
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

// write writes records and makes them durable.
func (l *log) write(records []pending) error {
	for len(records) > 0 {
		s, n := records[0].in, 0
		for n < len(records) && records[n].in == s {
			n++
		}
		if err := writeRun(s, records[:n]); err != nil {
			return err
		}
		records = records[n:]
	}
	return nil
}

// writeRun writes records of one segment. The segment before it is durable already, as the title says.
func writeRun(s *segment, records []pending) error {
	if records[0].title != nil {
		if err := s.f.writeAll([][]byte{records[0].title}, 0); err != nil {
			return err
		}
		records = records[1:]
	}
	if len(records) == 0 {
		return s.f.sync()
	}
	var zero [8]byte
	heads := make([]byte, headSize*len(records))
	parts := make([][]byte, 0, 4*len(records))
	end := records[0].off
	for n := range records {
		r := &records[n]
		h := heads[n*headSize:][:headSize]
		r.head.synced = uint32(s.synced.Load())
		r.head.write(h, s.number)
		parts = append(parts, h)
		for _, part := range [][]byte{r.meta, r.body, zero[:r.head.size()-headSize-int64(len(r.meta)+len(r.body))]} {
			if len(part) > 0 {
				parts = append(parts, part)
			}
		}
		end += r.head.size()
	}
	if err := s.f.writeAll(parts, records[0].off); err != nil {
		return err
	}
	if err := s.f.sync(); err != nil {
		return err
	}
	s.synced.Store(end)
	return nil
}
