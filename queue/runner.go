package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"
)

// Runner works a Store: it claims what is due, gives it to a Handler, and stores what became of it. Several
// Runners, in several processes if the Store allows, share the work of one Store.
//
//	        ┌─ free places, limits of lanes ─► Claim ─► groups ─► deliver (one goroutine each)
//	loop ◄──┤                                                        │ Open, Deliver, Settle
//	        └─◄───────────────── done: the lane's health ◄───────────┘
//	outbox: Events ─► Record ─► Ack
//
// At most Window deliveries run, so memory is bounded whatever waits. Lanes that are not known to answer get three
// quarters of them at most: a crowd of dead destinations cannot take all places for the length of their time
// limits. Of these, bulk mail gets no more than half of the window, and normal and bulk mail together no more than five eighths: what
// hangs cannot keep mail of a higher priority waiting. Of eight claims one asks for normal and bulk before urgent mail, of 32 one for bulk first, so that none starves.
type Runner struct {
	// Store and Handler are required.
	Store   Store
	Handler Handler
	// Recorder gets the events. Nil: they are acknowledged unseen.
	Recorder Recorder

	// Schedule says when to try again.
	Schedule Schedule
	// Unsure is what becomes of items whose delivery may have succeeded: Delivered risks a loss, Failed
	// a false report, Waiting a duplicate. Empty: Waiting.
	Unsure State

	// Window is the greatest number of deliveries at a time. Zero: 512.
	Window int
	// Group is the greatest number of items in a delivery. Zero: 100.
	Group int
	// LaneInitial and LaneMax are the numbers of deliveries at a time in a lane: at first, and at most. Zero: 5 and 20.
	LaneInitial, LaneMax int
	// Lease is how long claimed items stay out of other workers' hands if this one dies; it is
	// extended as long as a delivery takes. Zero: 2 minutes.
	Lease time.Duration
	// Grace is how long running deliveries may go on after the end of Run's context. Zero: 30 seconds;
	// negative: not at all.
	Grace time.Duration
	// Poll is how often the Store is asked at least, for items put by others and for jumps of the clock. Zero: every second if the
	// Store does not tell of new items, else every 30 seconds.
	Poll time.Duration
	// Log is told of trouble with the Store and the Recorder. Nil: nobody is.
	Log *slog.Logger
}

// run is one call of Run. Its fields belong to the goroutine of loop.
type run struct {
	*Runner
	stop    context.Context // the caller's
	store   context.Context // for calls of the Store: outlives stop until all is settled
	deliver context.Context // for calls of the Handler: outlives stop by Grace
	cancel  context.CancelFunc

	lanes    *lanes
	active   int    // deliveries that run
	claims   [4]int // by kind
	inHand   map[ID]*delivery
	done     chan finished
	outbox   chan struct{} // something may be in it
	claiming chan struct{} // full while a claim is under way whose items are not in hand yet
	hungry   bool          // a claim may give something
	full     bool          // the last claim had Max groups
	spare    bool          // a claim gave groups that are in hand: it has left places free
	next     time.Time     // when the Store has something else to give; zero: it does not know
	earlier  <-chan struct{}
	polled   time.Time
	seen     time.Time // the last look at the clock
	expired  time.Time // the last Expire
	forgot   time.Time // the last Forget
	woken    bool      // something may have expired
	more     bool      // the last sweep left something to be swept
	trouble  pause
	unswept  pause // trouble with Update alone: claims go on

	unsettled atomic.Int64 // items whose fates could not be stored
}

// finished is the end of a delivery.
type finished struct {
	d      *delivery
	signal signal
	tried  bool
}

// Run works until ctx ends. Then it starts no more deliveries, lets the running ones finish
// within Grace, gives back what was not tried, also what a claim under way still gets, and returns nil. It returns an error if the Store is closed, or
// if fates could not be stored: their leases lapse, and the items will be tried again.
func (r *Runner) Run(ctx context.Context) error {
	if r.Store == nil || r.Handler == nil {
		return errors.New("queue: Runner needs a Store and a Handler")
	}
	x := &run{Runner: r, stop: ctx, lanes: newLanes(r.LaneInitial, r.LaneMax), hungry: true,
		inHand: map[ID]*delivery{}, done: make(chan finished, 64), outbox: make(chan struct{}, 1), claiming: make(chan struct{}, 1)}
	var end context.CancelFunc
	x.store, end = context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	x.deliver, x.cancel = context.WithCancel(x.store)
	defer x.cancel()

	stopTelling := x.tell()
	err := x.loop()
	x.drain(end)
	if n := x.unsettled.Load(); n > 0 {
		err = errors.Join(err, fmt.Errorf("queue: the fates of %d items could not be stored", n))
	}
	return errors.Join(err, stopTelling())
}

// loop claims and waits until the context ends or the Store is closed.
func (x *run) loop() error {
	for x.stop.Err() == nil {
		now := wall()
		x.look(now)
		x.hungry = x.lanes.wake(now) || x.hungry
		if !x.next.IsZero() && !now.Before(x.next) {
			x.hungry, x.woken, x.next, x.earlier = true, true, time.Time{}, nil
		}
		if err := x.sweep(now); errors.Is(err, ErrClosed) {
			return err
		}
		for x.stop.Err() == nil && x.hungry && x.active < x.window() && !x.trouble.runs(now) {
			if err := x.claim(now); errors.Is(err, ErrClosed) {
				return err
			}
		}
		x.wait(now)
	}
	return nil
}

// look notes the time. If the clock was set back, what was known of the time to come is wrong: the next poll and the ends of
// rests would be as far away as the clock was set.
func (x *run) look(now time.Time) {
	if now.Before(x.seen) {
		x.hungry, x.woken, x.next, x.earlier, x.polled = true, true, time.Time{}, nil, now
		x.lanes.setBack(now)
	}
	x.seen = now
}

// wall is the time of the wall clock: the Store knows no other, and a monotonic one stops when the machine sleeps.
func wall() time.Time { return time.Now().Round(0) }

func (x *run) window() int {
	if x.Window <= 0 {
		return 512
	}
	return x.Window
}

func (x *run) lease() time.Duration {
	if x.Lease <= 0 {
		return 2 * time.Minute
	}
	return x.Lease
}

// failed notes trouble with the Store.
func (x *run) failed(what string, err error, now time.Time) error {
	x.trouble.begin(now)
	x.report(what, err)
	return err
}

func (r *Runner) report(what string, err error) {
	if r.Log != nil {
		r.Log.Error("queue: "+what, "error", err)
	}
}

// wait waits until something may have changed.
func (x *run) wait(now time.Time) {
	wake := x.polled.Add(x.poll())
	for _, t := range []time.Time{x.next, x.lanes.rests, x.trouble.until, x.unswept.until} {
		if !t.IsZero() && t.After(now) && t.Before(wake) {
			wake = t
		}
	}
	length := max(wake.Sub(now), time.Millisecond)
	if x.more {
		length = 0
	}
	timer := time.NewTimer(length)
	defer timer.Stop()
	select {
	case <-x.stop.Done():
	case f := <-x.done:
		x.finish(f, now)
		for more := true; more; {
			select {
			case f := <-x.done:
				x.finish(f, now)
			default:
				more = false
			}
		}
	case <-x.earlier:
		x.earlier, x.next, x.hungry, x.woken = nil, time.Time{}, true, true
		x.nudge()
	case <-timer.C:
		x.hungry, x.woken, x.polled = true, true, wall()
		x.nudge()
	}
}

func (x *run) poll() time.Duration {
	switch {
	case x.Poll > 0:
		return x.Poll
	case x.earlier == nil:
		return time.Second
	}
	return 30 * time.Second
}

// finish takes in the end of a delivery.
func (x *run) finish(f finished, now time.Time) {
	x.active--
	for _, i := range f.d.items {
		delete(x.inHand, i.ID)
	}
	for token, items := range f.d.left() {
		x.begin(items, token, now)
	}
	if x.lanes.finish(&f.d.items[0], f.signal, f.tried, now) || x.full {
		x.hungry = true
	}
	x.nudge()
}

// drain waits for the deliveries that run.
func (x *run) drain(end func()) {
	grace := x.Grace
	if grace == 0 {
		grace = 30 * time.Second
	}
	cut := time.AfterFunc(max(grace, 0), x.cancel)
	defer cut.Stop()
	// A Store that stays out of order must not keep the program.
	give := time.AfterFunc(max(grace, 0)+10*time.Second, end)
	defer give.Stop()
	for x.active > 0 {
		x.finish(<-x.done, wall())
	}
}
