package queuetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/postrider/postrider/queue"
)

var peopleRules = []rule{
	{25, "pages", "A list comes in pages that neither miss nor repeat an item.", func(w *world) {
		var want []string
		for n := range 7 {
			id := w.put(w.batch("1", "2", "3"))
			for k := range 3 {
				want = append(want, queue.ID{Message: id, N: k}.String())
			}
			_ = n
		}
		for _, limit := range []int{1, 2, 5, 0} {
			var got []string
			var after queue.ID
			for {
				page := w.list(queue.Query{After: after, Limit: limit})
				if len(page) == 0 {
					break
				}
				if limit > 0 && len(page) > limit {
					w.Fatalf("a page of %d has %d items", limit, len(page))
				}
				got = append(got, ids(page)...)
				after = page[len(page)-1].ID
			}
			if !slices.Equal(got, want) {
				w.Fatalf("pages of %d give %v, want %v", limit, got, want)
			}
		}
	}},
	{25, "after an item that is gone", "A page begins after an item even if that was forgotten meanwhile.", func(w *world) {
		w.send("a", "", 0)
		gone := w.send("b", "", 0)
		last := w.send("a", "", 0)
		r := w.request(10)
		r.Lanes = map[string]int{"a": 0}
		w.settle(w.claimWith(r), queue.Outcome{State: queue.Delivered})
		w.drain()
		page := w.list(queue.Query{After: queue.ID{Message: gone}})
		equal(w, "the page", fmt.Sprint(messages(page)), fmt.Sprint([]string{last}))
	}},
	{25, "no page is endless", "A list is bounded, whatever is asked.", func(w *world) {
		var many []string
		for n := range 1001 {
			many = append(many, fmt.Sprint(n))
		}
		w.put(w.batch(many...))
		equal(w, "the length of a page", len(w.list(queue.Query{})), 1000)
		equal(w, "the length of a page", len(w.list(queue.Query{Limit: 5000})), 1000)
	}},
	{25, "queries", "A query gives what has all that it names.", func(w *world) {
		b := w.batch("bob", "eve")
		b.Items[1].Lane = "b"
		b.Tenant, b.Key = "t", "k"
		one := w.put(b)
		two := w.put(w.batch("bob"))
		w.update(queue.Hold, queue.Query{Message: two})
		for _, c := range []struct {
			q    queue.Query
			want []queue.ID
		}{
			{queue.Query{Message: one}, []queue.ID{{Message: one}, {Message: one, N: 1}}},
			{queue.Query{To: "bob"}, []queue.ID{{Message: one}, {Message: two}}},
			{queue.Query{Tenant: "t", To: "eve"}, []queue.ID{{Message: one, N: 1}}},
			{queue.Query{Key: "k"}, []queue.ID{{Message: one}, {Message: one, N: 1}}},
			{queue.Query{Key: "k", Tenant: "t", Lane: "b"}, []queue.ID{{Message: one, N: 1}}},
			{queue.Query{State: queue.Held}, []queue.ID{{Message: two}}},
			{queue.Query{State: queue.Held, Lane: "b"}, nil},
			{queue.Query{Message: "nonsense"}, nil},
		} {
			var got []queue.ID
			for _, i := range w.list(c.q) {
				got = append(got, i.ID)
			}
			if !slices.Equal(got, c.want) {
				w.Errorf("%+v gives %v, want %v", c.q, got, c.want)
			}
		}
	}},
	{26, "busy", "What a worker has in hand is passed over, and counted.", func(w *world) {
		w.put(w.batch("1", "2"))
		w.claim(2)
		id := w.put(w.batch("3"))
		for _, op := range []queue.Op{queue.Hold, queue.Requeue, queue.Cancel} {
			equal(w, "the answer to "+string(op), w.update(op, queue.Query{}), queue.Changed{Items: 1, Busy: 2})
		}
		equal(w, "State", w.get(id).State, queue.Cancelled)
		w.after(leased)
		equal(w, "the answer after the lease", w.update(queue.Cancel, queue.Query{}), queue.Changed{Items: 2})
	}},
	{26, "bounded", "A change of many items goes in steps.", func(w *world) {
		w.put(w.batch("1", "2", "3", "4", "5"))
		for _, want := range []queue.Changed{{Items: 2, More: true}, {Items: 2, More: true}, {Items: 1}} {
			c, err := w.store.Update(w.ctx(), queue.Change{Now: w.now, Op: queue.Hold, Max: 2})
			w.ok(err, "Update")
			equal(w, "the answer", c, want)
		}
	}},
	{26, "no such operation", "An unknown operation is refused.", func(w *world) {
		_, err := w.store.Update(w.ctx(), queue.Change{Now: w.now, Op: "nonsense"})
		w.is(err, queue.ErrInvalid, "Update")
	}},
	{27, "cancel", "Waiting and held items can be cancelled, and are never given out.", func(w *world) {
		id := w.put(w.batch("bob", "eve"))
		w.update(queue.Hold, queue.Query{To: "eve"})
		w.after(time.Second)
		equal(w, "the answer", w.update(queue.Cancel, queue.Query{Message: id}), queue.Changed{Items: 2})
		equal(w, "State", w.get(id).State, queue.Cancelled)
		w.at("Due", w.get(id).Due, w.now)
		w.after(48 * time.Hour)
		w.claim(0)
	}},
	{28, "expire", "What is useless is ended, wherever it waits, and tells its last note.", func(w *world) {
		b := w.batch("waiting", "retried", "in hand", "for ever", "held")
		for n := range b.Items {
			b.Items[n].Lane = b.Items[n].To
			b.Items[n].Expires = w.now.Add(time.Hour)
		}
		b.Items[0].Due, b.Items[3].Expires = w.now.Add(24*time.Hour), time.Time{}
		w.put(b)
		w.update(queue.Hold, queue.Query{To: "held"})
		w.after(time.Hour - time.Second)
		l := w.claim(3)
		w.settle(queue.Lease{Token: l.Token, Items: l.Items[:1]}, queue.Outcome{State: queue.Waiting, Due: w.now.Add(time.Hour), Note: []byte("busy")})
		w.drain()
		equal(w, "expired items before their time", w.update(queue.Expire, queue.Query{}).Items, 0)
		w.after(time.Second)
		equal(w, "the answer", w.update(queue.Expire, queue.Query{}), queue.Changed{Items: 2, Busy: 1})
		equal(w, "the answer again", w.update(queue.Expire, queue.Query{}), queue.Changed{Busy: 1})
		var ended []string
		for _, e := range w.drain() {
			equal(w, "State", e.Item.State, queue.Expired)
			w.at("Due", e.Item.Due, w.now)
			ended = append(ended, e.Item.To+": "+string(e.Item.Note))
		}
		slices.Sort(ended)
		equal(w, "the ended items", fmt.Sprint(ended), "["+l.Items[0].To+": busy waiting: ]")
		w.after(leased)
		equal(w, "the answer after the lease", w.update(queue.Expire, queue.Query{}), queue.Changed{Items: 1})
		w.update(queue.Requeue, queue.Query{To: "held"})
		equal(w, "the answer once requeued", w.update(queue.Expire, queue.Query{}), queue.Changed{Items: 1})
	}},
	{28, "expire in steps", "Expiring is bounded, and can be asked for some.", func(w *world) {
		b := w.batch("1", "2", "3")
		for n := range b.Items {
			b.Items[n].Expires = w.now.Add(time.Second)
		}
		b.Items[2].Lane = "b"
		w.put(b)
		w.after(time.Second)
		equal(w, "the answer for lane b", w.update(queue.Expire, queue.Query{Lane: "b"}), queue.Changed{Items: 1})
		for _, want := range []queue.Changed{{Items: 1, More: true}, {Items: 1}, {}} {
			c, err := w.store.Update(w.ctx(), queue.Change{Now: w.now, Op: queue.Expire, Max: 1})
			w.ok(err, "Update")
			equal(w, "the answer", c, want)
		}
	}},
	{29, "hold and requeue", "A held item waits for people, whatever its times.", func(w *world) {
		b := w.batch("bob")
		b.Items[0].Expires = w.now.Add(time.Hour)
		id := w.put(b)
		w.drain()
		equal(w, "the answer to hold", w.update(queue.Hold, queue.Query{Message: id}), queue.Changed{Items: 1})
		equal(w, "the answer to hold again", w.update(queue.Hold, queue.Query{Message: id}), queue.Changed{})
		w.after(48 * time.Hour)
		w.claim(0)
		if at, _ := w.next(); !at.IsZero() {
			w.Fatalf("Next is %v, but the item is held", at)
		}
		equal(w, "the answer to requeue", w.update(queue.Requeue, queue.Query{Message: id}), queue.Changed{Items: 1})
		w.at("Due", w.get(id).Due, w.now)
		w.claim(1)
		equal(w, "the number of events", len(w.drain()), 0)
	}},
	{29, "requeue for a time", "Requeue sets the time of the next attempt, nearer or farther.", func(w *world) {
		id := w.put(w.batch("bob"))
		_, err := w.store.Update(w.ctx(), queue.Change{Now: w.now, Op: queue.Requeue, Due: w.now.Add(time.Hour)})
		w.ok(err, "Update")
		w.claim(0)
		w.at("Due", w.get(id).Due, w.now.Add(time.Hour))
		w.update(queue.Requeue, queue.Query{Message: id})
		w.claim(1)
	}},
	{30, "forget", "Only what has ended, was told, and has been kept long enough is forgotten.", func(w *world) {
		b := w.batch("bob", "eve")
		b.Keep = time.Hour
		id := w.put(b)
		forget := func(why string, want int) {
			w.Helper()
			equal(w, "forgotten items "+why, w.update(queue.Forget, queue.Query{To: "bob"}).Items, want)
		}
		l := w.claim(2)
		w.settle(queue.Lease{Token: l.Token, Items: l.Items[:1]}, queue.Outcome{State: queue.Delivered})
		w.drain()
		w.after(2 * time.Hour)
		forget("while one is open", 0)
		w.settle(queue.Lease{Token: l.Token, Items: l.Items[1:]}, queue.Outcome{State: queue.Failed})
		w.after(time.Hour)
		forget("before the end is told", 0)
		w.drain()
		w.after(-time.Second)
		forget("too early", 0)
		w.after(time.Second)
		equal(w, "forgotten items of another", w.update(queue.Forget, queue.Query{To: "carl"}).Items, 0)
		forget("in time", 2)
		equal(w, "the number of items", len(w.list(queue.Query{})), 0)
		_, err := w.store.Open(w.ctx(), id)
		w.is(err, queue.ErrNotFound, "Open")
	}},
	{30, "forget in steps", "Forgetting is bounded too, and does not split a message.", func(w *world) {
		for range 3 {
			b := w.batch("1", "2")
			b.Keep = time.Second
			w.put(b)
		}
		w.settle(w.claim(6), queue.Outcome{State: queue.Delivered})
		w.drain()
		w.after(time.Second)
		for _, want := range []queue.Changed{{Items: 4, More: true}, {Items: 2}} {
			c, err := w.store.Update(w.ctx(), queue.Change{Now: w.now, Op: queue.Forget, Max: 3})
			w.ok(err, "Update")
			equal(w, "the answer", c, want)
		}
	}},
	{30, "damaged stays", "What was damaged stays in sight until people forget it by name.", func(w *world) {
		id := w.put(w.batch("bob"))
		w.settle(w.claim(1), queue.Outcome{State: queue.Damaged})
		w.drain()
		w.after(time.Hour)
		equal(w, "forgotten items", w.update(queue.Forget, queue.Query{}).Items, 0)
		equal(w, "the listed message", fmt.Sprint(messages(w.list(queue.Query{State: queue.Damaged}))), fmt.Sprint([]string{id}))
		equal(w, "forgotten items", w.update(queue.Forget, queue.Query{State: queue.Damaged}).Items, 1)
		equal(w, "the number of items", len(w.list(queue.Query{})), 0)
	}},
	{30, "negative keep", "A negative Keep is zero: it makes no end older than it is.", func(w *world) {
		b := w.batch("bob")
		b.Keep = -time.Hour
		w.put(b)
		w.settle(w.claim(1), queue.Outcome{State: queue.Damaged})
		w.drain()
		damaged := queue.Query{State: queue.Damaged}
		w.after(-time.Minute)
		equal(w, "forgotten items, the clock set back", w.update(queue.Forget, damaged).Items, 0)
		w.after(time.Minute)
		equal(w, "forgotten items", w.update(queue.Forget, damaged).Items, 1)
	}},
}
