package queue

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"time"
)

// Handler attempts deliveries. It is called by many goroutines at once.
type Handler interface {
	// Deliver attempts to deliver the body to the items, which are of one message and one lane, and
	// answers for each of them, in their order; an item without an answer is tried again. When ctx
	// ends it returns soon: the Runner is stopping, or another worker has all the items.
	Deliver(ctx context.Context, b Body, items []Item) []Result
}

// Recorder is told of events. An error means: again later. It sees every event at least
// once, in their order; the same one again after a crash.
type Recorder interface {
	Record(ctx context.Context, events []Event) error
}

// Result is what became of an item in one attempt.
type Result struct {
	// State is Delivered or Failed; Waiting, or empty, to try again.
	State State
	// Unsure says that the far side may have taken the item, or not: the Runner's Unsure decides. State is not
	// read.
	Unsure bool
	// Untried, with Waiting, says that nothing was attempted: it does not count.
	Untried bool
	// After is the least time until the next attempt, if the far side named one. Zero: as the
	// schedule says.
	After time.Duration
	// LaneDown says that the lane could not be reached or refused to talk, LaneBusy that it asked
	// for less; neither, that it answered, whatever became of the item. One item of a group says it for all.
	LaneDown, LaneBusy bool
	// Note is kept with the item.
	Note []byte
}

// signal says how a lane fared in an attempt.
type signal int

const (
	laneOpen signal = iota
	laneBusy
	laneDown
)

func (r *Result) signal() signal {
	switch {
	case r.LaneDown:
		return laneDown
	case r.LaneBusy:
		return laneBusy
	}
	return laneOpen
}

// watchedBody notices damage that a Handler may take for any other error.
type watchedBody struct {
	Body
	damaged atomic.Bool
}

func (b *watchedBody) Open() (io.ReadCloser, error) {
	r, err := b.Body.Open()
	if b.note(err) != nil {
		return nil, err
	}
	if _, safe := b.Body.(Bytes); safe {
		return r, nil
	}
	return &watchedReader{r, b}, nil
}

func (b *watchedBody) note(err error) error {
	if errors.Is(err, ErrDamaged) {
		b.damaged.Store(true)
	}
	return err
}

type watchedReader struct {
	io.ReadCloser
	body *watchedBody
}

func (r *watchedReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	return n, r.body.note(err)
}

// WriteTo keeps io.Copy from a store's reader as direct as it was.
func (r *watchedReader) WriteTo(w io.Writer) (int64, error) {
	n, err := io.Copy(w, r.ReadCloser)
	return n, r.body.note(err)
}
