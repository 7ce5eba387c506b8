package queue

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// delivery is one call of the Handler, from Open to Settle.
type delivery struct {
	*run
	items []Item

	mu    sync.Mutex
	holds map[ID]hold
}

// hold is how a delivery holds an item. The token changes if the lease lapses while the Store is out of order, and this
// worker claims the item again.
type hold struct {
	token   string
	again   *Item // as it was claimed again
	settled string
}

func (d *delivery) token(id ID) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.holds[id].token
}

// retoken notes that an item was claimed again.
func (d *delivery) retoken(i *Item, token string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	h := d.holds[i.ID]
	h.token, h.again = token, i
	d.holds[i.ID] = h
}

// settled notes that an item was settled under that token.
func (d *delivery) settled(id ID, token string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	h := d.holds[id]
	h.settled = token
	d.holds[id] = h
}

// left are the items that were claimed again after they were settled: they are due for another delivery.
func (d *delivery) left() map[string][]Item {
	d.mu.Lock()
	defer d.mu.Unlock()
	var left map[string][]Item
	for _, i := range d.items {
		if h := d.holds[i.ID]; h.again != nil && h.settled != "" && h.settled != h.token {
			if left == nil {
				left = map[string][]Item{}
			}
			left[h.token] = append(left[h.token], *h.again)
		}
	}
	return left
}

// work delivers the items, settles them, and says how the lane fared.
func (d *delivery) work() (s signal, tried bool) {
	body, err := d.Store.Open(d.store, d.items[0].ID.Message)
	switch {
	case errors.Is(err, ErrDamaged), errors.Is(err, ErrNotFound):
		d.settleAll(Outcome{State: Damaged, Note: []byte(err.Error())})
		return laneOpen, false
	case d.stop.Err() != nil:
		// No attempt begins after the end: another worker, or the next run, may have it now.
		d.settleAll(Outcome{State: Waiting, Untried: true, Due: wall()})
		return laneOpen, false
	case err != nil:
		d.report("Open", err)
		d.settleAll(Outcome{State: Waiting, Untried: true, Due: wall().Add(time.Minute)})
		return laneOpen, false
	}
	ctx, cancel := context.WithCancel(d.deliver)
	defer cancel()
	stop := d.keepLease(cancel)
	watched := &watchedBody{Body: body}
	begun := wall()
	tooLate := func(i Item) bool { return !i.Expires.IsZero() && !i.Expires.After(begun) } // Claim does not look
	items := d.items
	if slices.ContainsFunc(items, tooLate) {
		items = slices.DeleteFunc(slices.Clone(items), tooLate)
	}
	var results []Result
	if len(items) > 0 {
		results = d.Handler.Deliver(ctx, watched, items)
	}
	stop()

	stopped := d.deliver.Err() != nil
	outcomes := make([]Outcome, len(d.items))
	now := wall()
	for n, i := range d.items {
		if tooLate(i) {
			outcomes[n] = Outcome{ID: i.ID, State: Expired, Untried: true}
			continue
		}
		var r Result
		if len(results) > 0 {
			r, results = results[0], results[1:]
		}
		s = max(s, r.signal())
		tried = tried || !r.Untried
		outcomes[n] = d.outcome(&i, &r, now, stopped)
		if watched.damaged.Load() && outcomes[n].State != Delivered {
			outcomes[n] = Outcome{ID: i.ID, State: Damaged, Note: r.Note}
		}
	}
	d.settle(outcomes)
	return s, tried && !stopped
}

// outcome decides from a result. Stopped says that the Runner cut the attempt off.
func (d *delivery) outcome(i *Item, r *Result, now time.Time, stopped bool) Outcome {
	o := Outcome{ID: i.ID, State: r.State, Note: r.Note}
	if r.Unsure {
		o.State = d.Unsure
	}
	switch o.State {
	case Delivered, Failed, Expired, Damaged:
		return o
	}
	o.State = Waiting
	switch {
	case r.Untried:
		o.Untried, o.Due = true, now.Add(max(r.After, 0))
		return o
	case stopped && !r.Unsure:
		o.Untried, o.Due = true, now // the lease goes back
		return o
	}
	delay := d.Schedule.Delay(i.Attempts)
	if r.After > 0 {
		delay = r.After
	}
	o.Due = now.Add(delay + jitter(delay, r.After > 0))
	if !i.Expires.IsZero() && !o.Due.Before(i.Expires) {
		// There is no attempt left: say so now, not when nobody can act on it.
		o.State = Expired
	}
	return o
}

// jitter spreads a delay by a tenth, either way or only to more.
func jitter(delay time.Duration, more bool) time.Duration {
	tenth := int64(delay / 10)
	if tenth <= 0 {
		return 0
	}
	if more {
		return time.Duration(rand.Int64N(tenth))
	}
	return time.Duration(rand.Int64N(2*tenth) - tenth)
}

func (d *delivery) settleAll(o Outcome) {
	outcomes := make([]Outcome, len(d.items))
	for n, i := range d.items {
		o.ID = i.ID
		outcomes[n] = o
	}
	d.settle(outcomes)
}

// settle stores outcomes, and does not take no for an answer: what was delivered and is not stored is
// delivered again. Meanwhile its place in the window stays taken, so that a Store out of order stops the deliveries.
func (d *delivery) settle(outcomes []Outcome) {
	var trouble pause
	for {
		lost, err := d.trySettle(d.store, outcomes, true)
		if err == nil {
			if len(lost) > 0 && trouble.times == 0 && d.Log != nil {
				d.Log.Warn("queue: another worker has taken items of a lapsed lease", "items", lost)
			}
			return
		}
		d.report("Settle", err)
		if errors.Is(err, ErrClosed) || errors.Is(err, ErrInvalid) || !trouble.sleep(d.store) {
			d.unsettled.Add(int64(len(outcomes)))
			return
		}
	}
}

// trySettle settles outcomes, each under the token that its item has now. Final ones are the last of this delivery.
func (d *delivery) trySettle(ctx context.Context, outcomes []Outcome, final bool) (lost []ID, err error) {
	for len(outcomes) > 0 {
		token := d.token(outcomes[0].ID)
		var now, later []Outcome
		for _, o := range outcomes {
			if d.token(o.ID) == token {
				now = append(now, o)
			} else {
				later = append(later, o)
			}
		}
		gone, err := d.Store.Settle(ctx, Settlement{Now: wall(), Token: token, Outcomes: now})
		if err != nil {
			return lost, err
		}
		for _, o := range now {
			if final && !slices.Contains(gone, o.ID) {
				d.settled(o.ID, token)
			}
		}
		if len(gone) > 0 {
			d.awaitClaim(ctx) // it may have been this worker who claimed them
		}
		for _, id := range gone {
			if d.token(id) == token {
				lost = append(lost, id)
				continue
			}
			// Claimed again by this worker meanwhile.
			later = append(later, now[slices.IndexFunc(now, func(o Outcome) bool { return o.ID == id })])
		}
		outcomes = later
	}
	return lost, nil
}

// awaitClaim waits until the claim that is under way, if one is, has told its tokens.
func (d *delivery) awaitClaim(ctx context.Context) {
	select {
	case d.claiming <- struct{}{}:
		<-d.claiming
	case <-ctx.Done():
	}
}

// keepLease extends the lease as long as the delivery takes; it cancels a delivery whose items are another's. One that has lost only some goes
// on: it is one transaction for all of its items, and to cut it off would make those it still has unsure, and so deliver them twice
// in order to save others from that. The fates of the lost ones are dropped (rule 14).
func (d *delivery) keepLease(cancel func()) (stop func()) {
	ctx, end := context.WithCancel(d.store)
	over := make(chan struct{})
	timer := time.AfterFunc(d.lease()/2, func() {
		defer close(over)
		for ctx.Err() == nil {
			now := wall()
			outcomes := make([]Outcome, len(d.items))
			for n, i := range d.items {
				outcomes[n] = Outcome{ID: i.ID, State: Leased, Due: now.Add(d.lease())}
			}
			lost, err := d.trySettle(ctx, outcomes, false)
			switch {
			case ctx.Err() != nil:
			case err != nil:
				d.report("extending a lease", err)
			case len(lost) == len(d.items):
				cancel()
				return
			}
			sleep(ctx, d.lease()/2)
		}
	})
	return func() {
		end()
		if !timer.Stop() {
			<-over
		}
	}
}

// sleep waits, and returns false if the context ended before.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// pause grows with the times that something failed in a row: from 100 ms to 10 s.
type pause struct {
	times int
	until time.Time
}

func (p *pause) length() time.Duration {
	return min(100*time.Millisecond<<min(p.times, 10), 10*time.Second)
}

func (p *pause) begin(now time.Time) {
	p.until = now.Add(p.length())
	p.times++
}

func (p *pause) reset() { *p = pause{} }

func (p *pause) runs(now time.Time) bool {
	return now.Before(p.until) && p.until.Sub(now) <= 10*time.Second
}

func (p *pause) sleep(ctx context.Context) bool {
	d := p.length()
	p.times++
	return sleep(ctx, d)
}
