package queue

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// nudge says that there may be events.
func (x *run) nudge() {
	select {
	case x.outbox <- struct{}{}:
	default:
	}
}

// tell tells the Recorder of events until it is stopped; what is there then is told too, if that takes no longer than
// lastWords. It looks every second besides: not all that makes events wakes the runner, such as mail for later, and what a person cancels.
func (x *run) tell() (stop func() error) {
	ctx, cancel := context.WithCancel(x.store)
	quit, over := make(chan struct{}), make(chan error)
	go func() {
		look := time.NewTicker(time.Second)
		defer look.Stop()
		for {
			select {
			case <-quit:
				over <- x.tellOnce(ctx)
				return
			case <-x.outbox:
			case <-look.C:
			}
			x.tellOnce(ctx)
		}
	}()
	return func() error {
		defer cancel()
		defer time.AfterFunc(lastWords, cancel).Stop()
		close(quit)
		if err := <-over; err != nil {
			return fmt.Errorf("queue: events are left for the next time: %w", err)
		}
		return nil
	}
}

const lastWords = 5 * time.Second

const outboxLease = time.Minute

// tellOnce tells all events there are.
func (x *run) tellOnce(ctx context.Context) error {
	var trouble pause
	for {
		events, err := x.Store.Events(ctx, EventsRequest{Now: wall(), Lease: outboxLease})
		if err == nil && len(events) == 0 {
			return nil
		}
		if err == nil {
			if err = x.record(ctx, events); err == nil {
				trouble.reset()
				continue
			}
		}
		if ctx.Err() != nil || errors.Is(err, ErrClosed) {
			return err
		}
		x.report("Events", err)
		if !trouble.sleep(ctx) {
			return err
		}
	}
}

// record tells one answer of Events, again and again as long as they are this worker's to tell.
func (x *run) record(ctx context.Context, events []Event) error {
	var trouble pause
	begun := wall()
	told := x.Recorder == nil
	for {
		var err error
		if !told {
			err = x.Recorder.Record(ctx, events)
			told = err == nil
		}
		if told {
			err = x.Store.Ack(ctx, events)
		}
		if err == nil {
			return nil
		}
		if errors.Is(err, ErrClosed) || wall().Sub(begun)+trouble.length() >= outboxLease {
			return err
		}
		x.report("Record", err)
		if !trouble.sleep(ctx) {
			return err
		}
	}
}
