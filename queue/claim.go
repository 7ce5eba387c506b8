package queue

import "time"

var (
	urgentFirst = []Priority{Urgent, Normal, Bulk}
	normalFirst = []Priority{Normal, Bulk, Urgent}
	bulkFirst   = []Priority{Bulk, Normal, Urgent}
)

// claim claims for the free places. It clears hungry when nothing more can be had.
func (x *run) claim(now time.Time) error {
	x.polled = now
	if x.earlier == nil {
		// Before the claim, or what is put between the two would be seen by neither.
		at, earlier, err := x.Store.Next(x.store, now)
		if err != nil {
			return x.failed("Next", err, now)
		}
		x.next, x.earlier = at, earlier
	}
	x.claims++
	x.spare = false
	order := urgentFirst
	switch {
	case x.claims%32 == 0:
		order = bulkFirst
	case x.claims%8 == 0:
		order = normalFirst
	}
	free := x.window() - x.active
	r := ClaimRequest{Now: now, Lease: x.lease(), Backoff: x.Schedule.delays(), Group: x.Group, Order: order,
		PerLane: x.lanes.initial, Lanes: x.lanes.limits,
		Max: min(free, (x.window()+1)/2-x.lanes.unproven)}
	known := 0 // places that only lanes known to answer may take
	if r.Max > 0 {
		n, err := x.claimWith(r, now)
		if err != nil {
			return err
		}
		if x.full = n == r.Max; !x.full {
			x.hungry = x.spare
			return nil
		}
		known = free - n
	} else {
		known = free
	}
	if known > 0 {
		r.Max, r.PerLane, r.Lanes = known, -1, x.lanes.answering()
		n, err := x.claimWith(r, now)
		if err != nil {
			return err
		}
		if n < r.Max {
			x.hungry, x.full = x.spare, true
		}
	}
	return nil
}

// claimWith claims and starts the deliveries. If the end has come meanwhile, they give back what they got.
func (x *run) claimWith(r ClaimRequest, now time.Time) (groups int, err error) {
	if x.stop.Err() != nil {
		return 0, nil
	}
	x.claiming <- struct{}{}
	defer func() { <-x.claiming }()
	l, err := x.Store.Claim(x.store, r)
	if err != nil {
		x.next, x.earlier = time.Time{}, nil // it may have claimed all the same, and the leases will lapse
		return 0, x.failed("Claim", err, now)
	}
	x.trouble.reset()
	if lapse := now.Add(r.Lease); len(l.Items) > 0 && (x.next.IsZero() || lapse.Before(x.next)) {
		x.next = lapse // Claim wakes nobody, and what it gave may come back
	}
	for size := 0; len(l.Items) > 0; l.Items = l.Items[size:] {
		size = groupLen(l.Items, r.Group)
		groups++
		x.begin(l.Items[:size:size], l.Token, now)
	}
	return groups, nil
}

// begin starts the delivery of a group. Items that a delivery of ours still has in hand, since the Store was out of
// order and their lease lapsed, only change their token: they are not delivered twice.
func (x *run) begin(items []Item, token string, now time.Time) {
	d := &delivery{run: x, holds: make(map[ID]hold, len(items))}
	for n, i := range items {
		if other := x.inHand[i.ID]; other != nil {
			other.retoken(&items[n], token)
			continue
		}
		x.inHand[i.ID] = d
		d.holds[i.ID] = hold{token: token}
		d.items = append(d.items, i)
	}
	if len(d.items) == 0 {
		x.spare = true
		return
	}
	x.active++
	x.lanes.start(d.items[0].Lane, now)
	go func() {
		signal, tried := d.work()
		x.done <- finished{d, signal, tried}
	}()
}

// groupLen is the length of the first group.
func groupLen(items []Item, most int) int {
	if most <= 0 {
		most = 100
	}
	n := 1
	for n < min(len(items), most) && items[n].ID.Message == items[0].ID.Message && items[n].Lane == items[0].Lane {
		n++
	}
	return n
}
