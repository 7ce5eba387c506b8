package queuetest

import (
	"fmt"
	"sync"
	"time"

	"github.com/postrider/postrider/queue"
)

var settleRules = []rule{
	{14, "fenced", "A worker that lost its lease settles nothing: the item is another's.", func(w *world) {
		id := w.put(w.batch("bob"))
		old := w.claim(1)
		w.after(leased)
		fresh := w.claim(1)
		for _, s := range []queue.State{queue.Delivered, queue.Waiting, queue.Leased} {
			equal(w, "the number of items lost", len(w.trySettle(old, queue.Outcome{State: s, Due: w.now})), 1)
		}
		equal(w, "State", w.get(id).State, queue.Leased)
		w.settle(fresh, queue.Outcome{State: queue.Delivered})
		equal(w, "the number of items lost", len(w.trySettle(fresh, queue.Outcome{State: queue.Failed})), 1)
		equal(w, "State", w.get(id).State, queue.Delivered)
	}},
	{14, "late but not lost", "A lease that lapsed still counts while nobody else has the item: a delivery that took long was a delivery.", func(w *world) {
		id := w.put(w.batch("bob"))
		l := w.claim(1)
		w.after(time.Hour)
		w.settle(l, queue.Outcome{State: queue.Delivered})
		equal(w, "State", w.get(id).State, queue.Delivered)
	}},
	{14, "the rest is applied", "One lost item does not keep the fates of the others from being stored.", func(w *world) {
		w.put(w.batch("bob", "eve"))
		l := w.claim(2)
		w.settle(queue.Lease{Token: l.Token, Items: l.Items[:1]}, queue.Outcome{State: queue.Delivered})
		lost := w.trySettle(l, queue.Outcome{State: queue.Failed})
		equal(w, "the items lost", fmt.Sprint(lost), fmt.Sprint([]queue.ID{l.Items[0].ID}))
		equal(w, "State of the other", w.list(queue.Query{To: "eve"})[0].State, queue.Failed)
	}},
	{14, "unknown items", "Items and tokens that the store never gave are lost, and no harm.", func(w *world) {
		id := w.put(w.batch("bob"))
		l := w.claim(1)
		for _, bad := range []queue.Lease{
			{Token: "", Items: l.Items},
			{Token: "nonsense", Items: l.Items},
			{Token: l.Token, Items: []queue.Item{{ID: queue.ID{Message: id, N: 1}}, {ID: queue.ID{Message: id, N: -1}}}},
			{Token: l.Token, Items: []queue.Item{{ID: queue.ID{Message: "nonsense"}}}},
		} {
			equal(w, "the number of items lost", len(w.trySettle(bad, queue.Outcome{State: queue.Delivered})), len(bad.Items))
		}
		w.update(queue.Hold, queue.Query{Message: id})
		w.settle(l, queue.Outcome{State: queue.Delivered})
	}},
	{14, "changed by people", "A change by people takes an item from under its token.", func(w *world) {
		id := w.put(w.batch("bob"))
		l := w.claim(1)
		w.after(leased)
		equal(w, "the answer of Update", w.update(queue.Requeue, queue.Query{Message: id}), queue.Changed{Items: 1})
		equal(w, "the number of items lost", len(w.trySettle(l, queue.Outcome{State: queue.Delivered})), 1)
	}},
	{14, "at once", "Of two that settle the same item one does it.", func(w *world) {
		w.put(w.batch("bob"))
		l := w.claim(1)
		w.drain()
		var all sync.WaitGroup
		lost := make([]int, 8)
		for n := range lost {
			all.Go(func() {
				l, err := w.store.Settle(w.ctx(), queue.Settlement{Now: w.now, Token: l.Token,
					Outcomes: []queue.Outcome{{ID: l.Items[0].ID, State: queue.Delivered}}})
				if err != nil {
					w.Errorf("Settle: %v", err)
				}
				lost[n] = len(l)
			})
		}
		all.Wait()
		sum := 0
		for _, n := range lost {
			sum += n
		}
		equal(w, "the number of calls that lost", sum, len(lost)-1)
		equal(w, "the number of events", len(w.drain()), 1)
	}},
	{15, "ends", "Each end is stored with its note and its time, and is final.", func(w *world) {
		for _, s := range []queue.State{queue.Delivered, queue.Failed, queue.Expired, queue.Damaged} {
			b := w.batch("bob")
			b.Keep = time.Hour
			id := w.put(b)
			l := w.claim(1)
			w.after(time.Second)
			w.settle(l, queue.Outcome{State: s, Note: []byte("because")})
			i := w.get(id)
			equal(w, "State", i.State, s)
			equal(w, "Note", string(i.Note), "because")
			equal(w, "Attempts", i.Attempts, 1)
			w.at("Due", i.Due, w.now)
			w.at("Until", i.Until, time.Time{})
			for _, op := range []queue.Op{queue.Cancel, queue.Hold, queue.Requeue} {
				equal(w, "the answer to "+string(op), w.update(op, queue.Query{Message: id}), queue.Changed{})
			}
			w.after(48 * time.Hour)
			w.claim(0)
		}
	}},
	{15, "too late for an attempt", "What expired untried does not count an attempt, and says what the last one met.", func(w *world) {
		b := w.batch("bob")
		b.Keep = time.Hour
		id := w.put(b)
		w.settle(w.claim(1), queue.Outcome{State: queue.Waiting, Due: w.now, Note: []byte("busy")})
		l := w.claim(1)
		w.drain()
		w.settle(l, queue.Outcome{State: queue.Expired, Untried: true, Note: []byte("not read")})
		all := []queue.Item{w.get(id)}
		for _, e := range w.drain() {
			all = append(all, e.Item)
		}
		equal(w, "the number of events, and the item", len(all), 2)
		for _, i := range all {
			equal(w, "State, Attempts and Note", fmt.Sprint(i.State, i.Attempts, string(i.Note)), "expired1busy")
		}
	}},
	{16, "a retry", "An item that could not be delivered waits for the time that the worker chose.", func(w *world) {
		id := w.put(w.batch("bob"))
		l := w.claim(1)
		w.settle(l, queue.Outcome{State: queue.Waiting, Due: w.now.Add(time.Hour), Note: []byte("busy")})
		i := w.get(id)
		equal(w, "State", i.State, queue.Waiting)
		equal(w, "Note", string(i.Note), "busy")
		equal(w, "Attempts", i.Attempts, 1)
		w.at("Due", i.Due, w.now.Add(time.Hour))
		w.at("Until", i.Until, time.Time{})
		w.after(time.Hour - time.Second)
		w.claim(0)
		w.after(time.Second)
		equal(w, "Attempts", w.claim(1).Items[0].Attempts, 2)
	}},
	{16, "given back untried", "What was not tried does not count as an attempt, and is no event.", func(w *world) {
		id := w.put(w.batch("bob"))
		w.settle(w.claim(1), queue.Outcome{State: queue.Waiting, Due: w.now, Note: []byte("busy")})
		w.drain()
		w.settle(w.claim(1), queue.Outcome{State: queue.Waiting, Due: w.now.Add(time.Second), Untried: true, Note: []byte("not read")})
		i := w.get(id)
		equal(w, "Attempts", i.Attempts, 1)
		equal(w, "Note", string(i.Note), "busy")
		w.at("Due", i.Due, w.now.Add(time.Second))
		equal(w, "the number of events", len(w.drain()), 0)
		w.after(time.Second)
		w.claim(1)
	}},
	{17, "a longer lease", "A worker that needs longer keeps what it has.", func(w *world) {
		id := w.put(w.batch("bob"))
		l := w.claim(1)
		w.drain()
		w.after(leased - time.Second)
		w.settle(l, queue.Outcome{State: queue.Leased, Due: w.now.Add(leased)})
		w.at("Until", w.get(id).Until, w.now.Add(leased))
		w.at("Due", w.get(id).Due, w.now.Add(leased))
		w.after(leased - time.Second)
		w.claim(0)
		equal(w, "the number of events", len(w.drain()), 0)
		w.settle(l, queue.Outcome{State: queue.Delivered})
	}},
	{17, "a longer lease keeps the backoff", "To go on does not bring the next attempt nearer.", func(w *world) {
		id := w.put(w.batch("bob"))
		r := w.request(1)
		r.Backoff = []time.Duration{time.Hour}
		l := w.claimWith(r)
		due := w.now.Add(time.Hour)
		w.settle(l, queue.Outcome{State: queue.Leased, Due: w.now.Add(2 * leased)})
		w.at("Due", w.get(id).Due, due)
	}},
	{18, "no such outcome", "An outcome that makes no sense is refused, with all that came along.", func(w *world) {
		id := w.put(w.batch("bob", "eve"))
		l := w.claim(2)
		for _, s := range []queue.State{"", queue.Held, queue.Cancelled, "nonsense"} {
			_, err := w.store.Settle(w.ctx(), queue.Settlement{Now: w.now, Token: l.Token, Outcomes: []queue.Outcome{
				{ID: l.Items[0].ID, State: queue.Delivered}, {ID: l.Items[1].ID, State: s}}})
			w.is(err, queue.ErrInvalid, "Settle with "+string(s))
			equal(w, "State", w.get(id).State, queue.Leased)
		}
	}},
}
