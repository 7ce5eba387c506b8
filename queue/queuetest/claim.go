package queuetest

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/postrider/postrider/queue"
)

var claimRules = []rule{
	{7, "not before its time", "An item is not given out before Due.", func(w *world) {
		b := w.batch("now", "later")
		b.Items[1].Due = w.now.Add(time.Hour)
		w.put(b)
		equal(w, "the claimed item", w.claim(1).Items[0].To, "now")
		w.after(time.Hour - time.Second)
		w.settle(w.claim(1), queue.Outcome{State: queue.Delivered}) // "now" again: its lease lapsed
		w.after(time.Second)
		equal(w, "the claimed item", w.claim(1).Items[0].To, "later")
	}},
	{7, "a running lease", "What is leased is nobody else's until the lease lapses.", func(w *world) {
		w.put(w.batch("bob"))
		w.claim(1)
		w.after(leased - time.Second)
		w.claim(0)
		w.after(time.Second)
		w.claim(1)
	}},
	{7, "time runs backwards", "A clock that was wrong and is set back neither loses an item nor gives it out early.", func(w *world) {
		w.put(w.batch("bob"))
		w.after(-24 * time.Hour)
		w.claim(0)
		w.after(48 * time.Hour)
		l := w.claim(1)
		w.after(-24 * time.Hour)
		w.settle(l, queue.Outcome{State: queue.Waiting, Due: w.now.Add(time.Minute)})
		w.claim(0)
		w.after(time.Minute)
		w.claim(1)
	}},
	{8, "what a claim stores", "A claim stores the attempt and the time of the next before it returns, so that a crash retries later.", func(w *world) {
		id := w.put(w.batch("bob"))
		backoff := []time.Duration{time.Hour, 2 * time.Hour}
		for attempt, wait := range []time.Duration{time.Hour, 2 * time.Hour, 2 * time.Hour} {
			r := w.request(1)
			r.Backoff = backoff
			l := w.claimWith(r)
			equal(w, "the number of items", len(l.Items), 1)
			for _, i := range []queue.Item{l.Items[0], w.get(id)} {
				equal(w, "State", i.State, queue.Leased)
				equal(w, "Attempts", i.Attempts, attempt+1)
				w.at("Until", i.Until, w.now.Add(leased))
				w.at("Due", i.Due, w.now.Add(wait))
			}
			w.after(wait - time.Second)
			w.claim(0) // the worker died; its lease lapsed long ago
			w.after(time.Second)
		}
		l := w.claimWith(w.request(1))
		w.at("Due without Backoff", l.Items[0].Due, w.now.Add(leased))
	}},
	{8, "a lease must last", "A claim without a lease would give the items to everybody.", func(w *world) {
		_, err := w.store.Claim(w.ctx(), queue.ClaimRequest{Now: w.now, Max: 1})
		w.is(err, queue.ErrInvalid, "Claim")
	}},
	{8, "tokens differ", "Every claim has its own token.", func(w *world) {
		w.send("a", "", 0)
		w.send("b", "", 0)
		one, two := w.claimWith(w.request(1)), w.claimWith(w.request(1))
		if one.Token == two.Token || one.Token == "" {
			w.Fatalf("two claims have the tokens %q and %q", one.Token, two.Token)
		}
	}},
	{8, "one worker each", "Workers that claim at the same time never get the same item.", func(w *world) {
		const items, workers = 200, 8
		for n := range items {
			w.send(fmt.Sprint(n%10), "", 0)
		}
		var all sync.WaitGroup
		var mu sync.Mutex
		seen := map[queue.ID]int{}
		for range workers {
			all.Go(func() {
				for {
					l, err := w.store.Claim(w.ctx(), w.request(3))
					if err != nil {
						w.Errorf("Claim: %v", err)
						return
					}
					if len(l.Items) == 0 {
						return
					}
					mu.Lock()
					for _, i := range l.Items {
						seen[i.ID]++
					}
					mu.Unlock()
				}
			})
		}
		all.Wait()
		for id, n := range seen {
			equal(w, "the number of claims of "+id.String(), n, 1)
		}
		equal(w, "the number of claimed items", len(seen)+len(w.claimWith(w.request(items)).Items), items)
	}},
	{9, "groups", "The items of one message and lane come together, in their order.", func(w *world) {
		b := w.batch("a1", "b1", "a2", "b2", "a3")
		b.Items[1].Lane, b.Items[3].Lane = "b", "b"
		w.put(b)
		r := w.request(1)
		r.Lanes = map[string]int{"b": 0}
		equal(w, "lane a", fmt.Sprint(to(w.claimWith(r).Items)), "[a1 a2 a3]")
		equal(w, "lane b", fmt.Sprint(to(w.claim(2).Items)), "[b1 b2]")
	}},
	{9, "the size of groups", "More than Group items of a message and lane make more groups.", func(w *world) {
		w.put(w.batch("1", "2", "3", "4", "5"))
		r := w.request(2)
		r.Group = 2
		equal(w, "two groups", fmt.Sprint(to(w.claimWith(r).Items)), "[1 2 3 4]")
		equal(w, "the rest", fmt.Sprint(to(w.claimWith(r).Items)), "[5]")
		var many []string
		for n := range 250 {
			many = append(many, fmt.Sprint(n))
		}
		w.put(w.batch(many...))
		equal(w, "the size of a group by default", len(w.claimWith(w.request(1)).Items), 100)
	}},
	{9, "limits", "No more than Max groups, and of a lane no more than its limit, whoever the tenants are.", func(w *world) {
		for n := range 30 {
			w.send(string(rune('a'+n%3)), fmt.Sprint(n%5), queue.Priority(n%2))
		}
		w.claimWith(w.request(0))
		equal(w, "the number of groups for Max 7", len(w.claimWith(w.request(7)).Items), 7)
		r := w.request(100)
		r.PerLane, r.Lanes = 2, map[string]int{"b": 1, "c": 0}
		got := lanes(w.claimWith(r).Items)
		equal(w, "the groups of lanes a, b, c", fmt.Sprint(got["a"], got["b"], got["c"]), "2 1 0")
	}},
	{9, "limits by name alone", "Where PerLane is zero, only the lanes that are named are limited.", func(w *world) {
		for n := range 12 {
			w.send(string(rune('a'+n%3)), "", 0)
		}
		r := w.request(100)
		r.Lanes = map[string]int{"a": 1, "b": -1}
		got := lanes(w.claimWith(r).Items)
		equal(w, "the groups of lanes a, b, c", fmt.Sprint(got["a"], got["b"], got["c"]), "1 0 4")
		r.PerLane, r.Lanes = -1, map[string]int{"b": 2}
		got = lanes(w.claimWith(r).Items)
		equal(w, "the groups of lanes a, b, c", fmt.Sprint(got["a"], got["b"], got["c"]), "0 2 0")
	}},
	{20, "when something is due", "Next looks past what can be claimed already.", func(w *world) {
		at, _ := w.next()
		if !at.IsZero() {
			w.Fatalf("Next of an empty store is %v", at)
		}
		w.send("a", "", 0)
		b := w.batch("later", "sooner", "expires")
		b.Items[0].Due = w.now.Add(time.Hour)
		b.Items[1].Due = w.now.Add(time.Minute)
		b.Items[2].Due, b.Items[2].Expires = w.now.Add(time.Hour), w.now.Add(2*time.Minute)
		w.put(b)
		for _, want := range []time.Duration{time.Minute, time.Minute, time.Hour - 2*time.Minute} { // the second is the expiry
			at, _ = w.next()
			w.at("Next", at, w.now.Add(want))
			w.now = at
		}
		if at, _ = w.next(); !at.IsZero() {
			w.Fatalf("Next is %v, but everything is due", at)
		}
	}},
	{20, "the end of a lease", "Next counts leased items: when they can be claimed again.", func(w *world) {
		w.put(w.batch("bob"))
		w.claim(1)
		at, _ := w.next()
		w.at("Next", at, w.now.Add(leased))
	}},
	{20, "woken by an earlier item", "Who waits for a later time is woken by an item that is due earlier.", func(w *world) {
		wake := func(what string, cause func()) {
			w.Helper()
			_, earlier := w.next()
			cause()
			if earlier == nil {
				return // such a store is asked now and then
			}
			select {
			case <-earlier:
			default:
				w.Errorf("%s wakes nobody", what)
			}
		}
		var id string
		wake("a Put", func() { id = w.put(w.batch("bob")) })
		l := w.claim(1)
		wake("a retry", func() { w.settle(l, queue.Outcome{State: queue.Waiting, Due: w.now}) })
		w.update(queue.Hold, queue.Query{Message: id})
		wake("a Requeue", func() { w.update(queue.Requeue, queue.Query{Message: id}) })
		// One item comes up where another of its message stands already, and leaves a time that a third still has.
		b := w.batch("first", "second", "third")
		b.Items[1].Due, b.Items[2].Due = w.now.Add(time.Hour), w.now.Add(time.Hour)
		id = w.put(b)
		wake("a Requeue beside others", func() { w.update(queue.Requeue, queue.Query{Message: id, To: "second"}) })
		w.update(queue.Hold, queue.Query{Message: id})
		wake("the end of a hold", func() { w.update(queue.Requeue, queue.Query{Message: id}) })
	}},
}

func to(items []queue.Item) (all []string) {
	for _, i := range items {
		all = append(all, i.To)
	}
	return all
}

func lanes(items []queue.Item) map[string]int {
	n := map[string]int{}
	for _, i := range items {
		n[i.Lane]++
	}
	return n
}

func tenants(items []queue.Item) map[string]int {
	n := map[string]int{}
	for _, i := range items {
		n[i.Tenant]++
	}
	return n
}

var fairRules = []rule{
	{10, "all it may", "Claim gives what the limits allow, however the rest stands in the way.", func(w *world) {
		for n := range 60 {
			w.send(string(rune('a'+n%6)), fmt.Sprint(n%4), queue.Priority(n%3-1))
		}
		r := w.request(1000)
		r.PerLane, r.Lanes = 3, map[string]int{"a": 0, "b": 1}
		equal(w, "the number of groups", len(w.claimWith(r).Items), 4*3+1)
		r.Lanes = nil
		equal(w, "the number of groups", len(w.claimWith(r).Items), 6*3)
		equal(w, "the rest", len(w.claimWith(w.request(1000)).Items), 60-13-18)
	}},
	{11, "priorities", "The first priority of Order goes first, and what it does not name waits.", func(w *world) {
		for range 3 {
			for p := queue.Bulk; p <= queue.Urgent; p++ {
				w.send("a", "", p)
			}
		}
		classes := func(r queue.ClaimRequest) (all []queue.Priority) {
			for _, i := range w.claimWith(r).Items {
				all = append(all, i.Priority)
			}
			return all
		}
		equal(w, "by default", fmt.Sprint(classes(w.request(4))), "[1 1 1 0]")
		r := w.request(2)
		r.Order = []queue.Priority{queue.Urgent}
		equal(w, "urgent alone", fmt.Sprint(classes(r)), "[]")
		r.Order = []queue.Priority{queue.Bulk, queue.Normal}
		equal(w, "bulk first", fmt.Sprint(classes(r)), "[-1 -1]")
		equal(w, "the rest", fmt.Sprint(classes(w.request(9))), "[0 0 -1]")
	}},
	{12, "tenants share equally", "In one claim every tenant gets its equal share, whatever it has waiting, in however many lanes.", func(w *world) {
		for n := range 300 {
			w.send(fmt.Sprint("x", n%50), "big", 0)
		}
		for range 20 {
			w.send("y", "middle", 0)
		}
		for range 2 {
			w.send("z", "small", 0)
		}
		got := tenants(w.claimWith(w.request(14)).Items)
		equal(w, "the groups of big, middle, small", fmt.Sprint(got["big"], got["middle"], got["small"]), "6 6 2")
	}},
	{12, "lanes share equally", "In one claim every lane of a tenant gets its equal share.", func(w *world) {
		for range 300 {
			w.send("big", "", 0)
		}
		for range 20 {
			w.send("middle", "", 0)
		}
		for range 2 {
			w.send("small", "", 0)
		}
		got := lanes(w.claimWith(w.request(14)).Items)
		equal(w, "the groups of big, middle, small", fmt.Sprint(got["big"], got["middle"], got["small"]), "6 6 2")
	}},
	{12, "over many claims", "Claims of one group at a time share as well, at least half of what is due to each.", func(w *world) {
		for n := range 200 {
			w.send("one", "x", 0)
			w.send("two", "x", 0)
			w.send(fmt.Sprint(n%20), "y", 0)
		}
		count := map[string]int{}
		for range 120 {
			l := w.claimWith(w.request(1))
			equal(w, "the number of items", len(l.Items), 1)
			count[l.Items[0].Tenant]++
			if l.Items[0].Tenant == "x" {
				count[l.Items[0].Lane]++
			}
		}
		for name, least := range map[string]int{"x": 30, "y": 30, "one": 15, "two": 15} {
			if count[name] < least {
				w.Errorf("%s got %d of 120 claims, want %d or more", name, count[name], least)
			}
		}
	}},
	{12, "the longest due first", "In a lane the group that has been due longest goes first, and of equals the one that was put first.", func(w *world) {
		due := func(d time.Duration) string {
			b := w.batch("bob")
			b.Items[0].Due = w.now.Add(d)
			return w.put(b)
		}
		third, first, fourth, second := due(2*time.Second), due(time.Second), due(2*time.Second), due(time.Second)
		w.after(time.Minute)
		got := messages(w.claim(4).Items)
		if want := []string{first, second, third, fourth}; !slices.Equal(got, want) {
			w.Fatalf("claimed in the order %v, want %v", got, want)
		}
	}},
	{13, "a full lane", "What waits in one lane does not keep the others out of a claim.", func(w *world) {
		for range 500 {
			w.send("full", "", 0)
		}
		id := w.send("other", "", 0)
		r := w.request(1)
		r.Lanes = map[string]int{"full": 0}
		equal(w, "the claimed message", fmt.Sprint(messages(w.claimWith(r).Items)), fmt.Sprint([]string{id}))
	}},
}
