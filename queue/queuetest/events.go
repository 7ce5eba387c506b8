package queuetest

import (
	"fmt"
	"time"

	"github.com/postrider/postrider/queue"
)

// story writes events as words: who, state, attempts.
func story(events []queue.Event) string {
	var s []string
	for _, e := range events {
		s = append(s, fmt.Sprint(e.Item.To, " ", e.Item.State, " ", e.Item.Attempts))
	}
	return fmt.Sprint(s)
}

var eventRules = []rule{
	{21, "the events of an item", "Every change of fate is one event, with the item as it was then.", func(w *world) {
		b := w.batch("bob")
		b.Tenant, b.Keep = "tenant", time.Hour
		id := w.put(b)
		w.after(time.Second)
		w.settle(w.claim(1), queue.Outcome{State: queue.Waiting, Due: w.now.Add(time.Second), Note: []byte("busy")})
		w.after(time.Second)
		l := w.claim(1)
		w.settle(l, queue.Outcome{State: queue.Leased, Due: w.now.Add(leased)})
		w.settle(l, queue.Outcome{State: queue.Delivered, Note: []byte("thanks")})
		w.trySettle(l, queue.Outcome{State: queue.Delivered})
		w.update(queue.Cancel, queue.Query{})
		events := w.drain()
		equal(w, "the story", story(events), "[bob waiting 0 bob waiting 1 bob delivered 2]")
		for n, note := range []string{"", "busy", "thanks"} {
			i := events[n].Item
			equal(w, "ID", i.ID, queue.ID{Message: id})
			equal(w, "Note", string(i.Note), note)
			equal(w, "Meta", string(i.Meta), "meta of bob")
			equal(w, "Common", string(i.Common), "common")
			equal(w, "Tenant", i.Tenant, "tenant")
			w.at("At", events[n].At, start.Add(time.Duration(n)*time.Second))
			if n > 0 && events[n].Seq <= events[n-1].Seq {
				w.Errorf("Seq falls from %d to %d", events[n-1].Seq, events[n].Seq)
			}
		}
	}},
	{21, "cancelled", "Who is cancelled gets an end like everybody, once.", func(w *world) {
		id := w.put(w.batch("bob", "eve"))
		w.drain()
		c, err := w.store.Update(w.ctx(), queue.Change{Now: w.now, Op: queue.Cancel, Where: queue.Query{Message: id}, Note: []byte("not wanted")})
		w.ok(err, "Update")
		equal(w, "the answer of Update", c, queue.Changed{Items: 2})
		w.update(queue.Cancel, queue.Query{Message: id})
		events := w.drain()
		equal(w, "the story", story(events), "[bob cancelled 0 eve cancelled 0]")
		equal(w, "Note", string(events[1].Item.Note), "not wanted")
	}},
	{22, "at least once", "Events come again until they are acknowledged.", func(w *world) {
		w.put(w.batch("bob", "eve"))
		first := w.events()
		equal(w, "the number of events", len(first), 2)
		equal(w, "the number of events for another", len(w.events()), 0)
		w.after(leased)
		again := w.events()
		equal(w, "the story", story(again), story(first))
		equal(w, "Seq", again[0].Seq, first[0].Seq)
		w.ack(again)
		w.after(leased)
		equal(w, "the number of events left", len(w.events()), 0)
	}},
	{22, "in order", "Events come in the order in which they were stored, in pages.", func(w *world) {
		for n := range 10 {
			w.put(w.batch(fmt.Sprint(n)))
		}
		var all []queue.Event
		for _, want := range []int{4, 4, 2, 0} {
			e, err := w.store.Events(w.ctx(), queue.EventsRequest{Now: w.now, Lease: leased, Max: 4})
			w.ok(err, "Events")
			equal(w, "the number of events", len(e), want)
			w.ack(e)
			all = append(all, e...)
		}
		for n, e := range all {
			equal(w, "the event's item", e.Item.To, fmt.Sprint(n))
		}
	}},
	{22, "a lease must last", "Events without a lease would go to everybody.", func(w *world) {
		_, err := w.store.Events(w.ctx(), queue.EventsRequest{Now: w.now})
		w.is(err, queue.ErrInvalid, "Events")
	}},
	{23, "the first few", "Who could record only the first few acknowledges those, and the rest comes at once.", func(w *world) {
		w.put(w.batch("1", "2", "3"))
		e := w.events()
		w.ack(e[:1])
		rest := w.events()
		equal(w, "the story", story(rest), story(e[1:]))
		w.ack(rest)
		equal(w, "the number of events left", len(w.events()), 0)
	}},
	{23, "acknowledged twice", "To acknowledge again, late, harms nobody.", func(w *world) {
		w.put(w.batch("1", "2"))
		old := w.events()
		w.after(leased)
		w.ack(w.events()[:1])
		w.put(w.batch("3"))
		w.ack(old[:1])
		w.ack(nil)
		equal(w, "the story", story(w.drain()), "[2 waiting 0 3 waiting 0]")
		w.ack(old)
	}},
	{24, "forgotten", "What has ended, told, and need not be kept, is gone, with its key.", func(w *world) {
		b := w.batch("bob")
		b.Key = "key"
		id := w.put(b)
		w.settle(w.claim(1), queue.Outcome{State: queue.Delivered})
		equal(w, "State before the event is told", w.get(id).State, queue.Delivered)
		w.drain()
		equal(w, "the number of items", len(w.list(queue.Query{})), 0)
		w.put(b)
	}},
	{24, "kept", "What is to be kept stays after its end.", func(w *world) {
		b := w.batch("bob")
		b.Keep = time.Hour
		id := w.put(b)
		w.settle(w.claim(1), queue.Outcome{State: queue.Delivered})
		w.drain()
		equal(w, "State", w.get(id).State, queue.Delivered)
	}},
}
