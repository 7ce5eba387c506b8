package queue

import (
	"slices"
	"time"
)

// order is the order of priorities for the next claim of a kind. Each kind counts for itself: if two kinds took turns, the same one
// would get all the claims that do not ask for urgent mail first.
func (x *run) order(kind Priority) []Priority {
	x.claims[kind]++
	switch n := x.claims[kind]; {
	case n%32 == 0:
		return []Priority{Bulk, Normal, Urgent}
	case n%8 == 0:
		return []Priority{Normal, Bulk, Urgent}
	}
	return []Priority{Urgent, Normal, Bulk}
}

// known is the kind of the claims for lanes that are known to answer; the others are named by the lowest priority, from Bulk on.
const known = 3

// room is how many more deliveries of that priority and higher ones may begin in lanes that are not known to answer. Those of bulk
// mail get four eighths of the window, with normal mail they get five, and with urgent mail six. It is not enough to count them all:
// urgent mail that hangs would keep the lower priorities out as long as more of it comes.
func (x *run) room(p Priority) int {
	room, run := x.window(), 0
	for q := Bulk; q <= Urgent; q++ {
		run += x.lanes.unproven[q-Bulk]
		if q >= p {
			room = min(room, (x.window()*(5+int(q))+7)/8-run)
		}
	}
	return room
}

// claim claims for free places. It clears hungry when nothing more can be had. Each Claim costs the Store a
// transaction, so the further ones are made only when the places for the lowest priority are used up.
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
	x.spare = false
	r := ClaimRequest{Now: now, Lease: x.lease(), Backoff: x.Schedule.delays(), Group: x.Group,
		PerLane: x.lanes.initial, Lanes: x.lanes.limits}
	for p := Bulk; p <= Urgent; p++ {
		r.Max = min(x.window()-x.active, x.room(p))
		if r.Max <= 0 {
			continue
		}
		r.Order = slices.DeleteFunc(x.order(p-Bulk), func(other Priority) bool { return other < p })
		n, err := x.claimWith(r, now)
		switch {
		case err != nil || n == r.Max: // there may be more
			return err
		case p == Bulk: // there is no more of anything
			x.full, x.hungry = false, x.spare
			return nil
		}
		break
	}
	// What is left is for lanes that are known to answer.
	r.Max, r.PerLane, r.Lanes, r.Order = x.window()-x.active, -1, x.lanes.answering(), x.order(known)
	n, err := x.claimWith(r, now)
	if err == nil && n < r.Max {
		x.full, x.hungry = true, x.spare
	}
	return err
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
	x.lanes.start(&d.items[0], now)
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
