package queuetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/postrider/postrider/queue"
)

var putRules = []rule{
	{1, "stored", "What Put took can be listed as it was given, with an id of its own.", func(w *world) {
		one, two := w.put(w.batch("bob", "eve")), w.put(w.batch("bob"))
		if one == two {
			w.Fatalf("two messages have the id %s", one)
		}
		items := w.list(queue.Query{Message: one})
		equal(w, "the number of items", len(items), 2)
		for n, i := range items {
			to := []string{"bob", "eve"}[n]
			equal(w, "ID", i.ID, queue.ID{Message: one, N: n})
			equal(w, "To", i.To, to)
			equal(w, "Lane", i.Lane, "a")
			equal(w, "Meta", string(i.Meta), "meta of "+to)
			equal(w, "Common", string(i.Common), "common")
			w.at("Created", i.Created, w.now)
		}
	}},
	{1, "ids are not used again", "An id names one message for ever, or people see the fate of another's mail.", func(w *world) {
		seen := map[string]bool{}
		for range 20 {
			id := w.put(w.batch("bob"))
			if seen[id] {
				w.Fatalf("id %s came twice", id)
			}
			seen[id] = true
			w.settle(w.claim(1), queue.Outcome{State: queue.Delivered})
			w.drain()
		}
	}},
	{1, "at once", "Callers at the same time each get their own message.", func(w *world) {
		const callers = 16
		var all sync.WaitGroup
		answers := make([]queue.Stored, callers)
		errs := make([]error, callers)
		for n := range callers {
			all.Go(func() {
				b := w.batch("bob")
				b.Body = queue.Bytes(fmt.Sprint("body ", n))
				answers[n], errs[n] = w.store.Put(w.ctx(), b)
			})
		}
		all.Wait()
		for n := range callers {
			w.ok(errs[n], "Put")
			equal(w, "the body", string(w.body(answers[n].Message)), fmt.Sprint("body ", n))
		}
	}},
	{1, "the caller's bytes", "The caller may use its byte slices again after Put.", func(w *world) {
		b := w.batch("bob")
		body := []byte("the body")
		b.Body = queue.Bytes(body)
		id := w.put(b)
		copy(body, "XXXXXXXX")
		copy(b.Common, "XXXXXX")
		copy(b.Items[0].Meta, "XXXX")
		equal(w, "the body", string(w.body(id)), "the body")
		equal(w, "Common", string(w.get(id).Common), "common")
		equal(w, "Meta", string(w.get(id).Meta), "meta of bob")
	}},
	{2, "refused batches", "A batch that cannot be stored whole leaves nothing behind.", func(w *world) {
		broken := errors.New("broken")
		for _, c := range []struct {
			name string
			body queue.Body
			want error
		}{
			{"no body", nil, queue.ErrInvalid},
			{"a body that breaks", badBody{[]byte("half"), 8, broken}, broken},
			{"a body of unknown size that breaks", badBody{[]byte("half"), -1, broken}, broken},
			{"a body that is too short", badBody{[]byte("half"), 8, nil}, queue.ErrInvalid},
			{"a body that is too long", badBody{[]byte("too long"), 4, nil}, queue.ErrInvalid},
		} {
			b := w.batch("bob")
			b.Key, b.Body = "key", c.body
			_, err := w.store.Put(w.ctx(), b)
			w.is(err, c.want, c.name)
		}
		b := w.batch()
		_, err := w.store.Put(w.ctx(), b)
		w.is(err, queue.ErrInvalid, "no items")
		equal(w, "the number of items left behind", len(w.list(queue.Query{})), 0)
		equal(w, "the number of events left behind", len(w.events()), 0)
		w.claim(0)
		b = w.batch("bob")
		b.Key = "key"
		w.put(b) // the key was not taken either
	}},
	{3, "the same key", "The same key is the same message: a caller that does not know whether its Put worked does it again.", func(w *world) {
		b := w.batch("bob")
		b.Key, b.Fingerprint = "key", "one"
		id := w.put(b)
		s, err := w.store.Put(w.ctx(), b)
		w.ok(err, "Put")
		equal(w, "the answer to the second Put", s, queue.Stored{Message: id, Known: true})
		b.Fingerprint = "two"
		_, err = w.store.Put(w.ctx(), b)
		w.is(err, queue.ErrKeyConflict, "Put with another fingerprint")
		b.Tenant = "other"
		w.put(b)
		equal(w, "the number of items", len(w.list(queue.Query{Key: "key"})), 2)
	}},
	{3, "no key", "Without a key equal messages are two.", func(w *world) {
		w.put(w.batch("bob"))
		w.put(w.batch("bob"))
		w.claim(2)
	}},
	{3, "the same key at once", "Of many Puts with one key at the same time one stores.", func(w *world) {
		const callers = 16
		var all sync.WaitGroup
		answers := make([]queue.Stored, callers)
		for n := range callers {
			all.Go(func() {
				b := w.batch("bob")
				b.Key = "key"
				var err error
				if answers[n], err = w.store.Put(w.ctx(), b); err != nil {
					w.Errorf("Put: %v", err)
				}
			})
		}
		all.Wait()
		stored := 0
		for _, a := range answers {
			equal(w, "the id", a.Message, answers[0].Message)
			if !a.Known {
				stored++
			}
		}
		equal(w, "the number of Puts that stored", stored, 1)
		w.claim(1)
	}},
	{3, "a key is kept as long as the message", "A key guards while the message is known, also after its end, and no longer.", func(w *world) {
		b := w.batch("bob")
		b.Key, b.Keep = "key", time.Hour
		id := w.put(b)
		w.settle(w.claim(1), queue.Outcome{State: queue.Delivered})
		w.drain()
		s, err := w.store.Put(w.ctx(), b)
		w.ok(err, "Put")
		equal(w, "the answer after the end", s, queue.Stored{Message: id, Known: true})
		w.after(time.Hour)
		w.update(queue.Forget, queue.Query{})
		if again := w.put(b); again == id {
			w.Fatalf("the id %s of a forgotten message was given again", id)
		}
	}},
	{4, "how an item starts", "A new item waits for its time, and has no attempts.", func(w *world) {
		b := w.batch("now", "past", "later")
		b.Items[1].Due = w.now.Add(-time.Hour)
		b.Items[2].Due = w.now.Add(time.Hour)
		b.Items[2].State, b.Items[2].Attempts = queue.Held, 7 // not read
		items := w.list(queue.Query{Message: w.put(b)})
		for n, want := range []time.Time{w.now, w.now, w.now.Add(time.Hour)} {
			w.at("Due", items[n].Due, want)
			equal(w, "State", items[n].State, queue.Waiting)
			equal(w, "Attempts", items[n].Attempts, 0)
		}
	}},
	{5, "the body", "The body comes back byte for byte, of any size, as often as wanted.", func(w *world) {
		random := rand.NewChaCha8([32]byte{1})
		for _, size := range []int{0, 1, 511, 4096, 4097, 70_000, 3 << 20} {
			body := make([]byte, size)
			random.Read(body)
			b := w.batch("bob")
			b.Body = queue.Bytes(body)
			if size%2 == 1 {
				b.Body = badBody{body, -1, nil} // of unknown size
			}
			id := w.put(b)
			for range 2 {
				if !bytes.Equal(w.body(id), body) {
					w.Fatalf("a body of %d bytes came back changed", size)
				}
			}
		}
	}},
	{5, "when the body goes", "A body is there until the last event of its message is acknowledged: who acts on that event may need it.", func(w *world) {
		b := w.batch("bob", "eve")
		b.Keep = time.Hour
		id := w.put(b)
		l := w.claim(2)
		w.settle(queue.Lease{Token: l.Token, Items: l.Items[:1]}, queue.Outcome{State: queue.Failed})
		w.drain()
		equal(w, "the body while an item is open", string(w.body(id)), "the body")
		w.settle(queue.Lease{Token: l.Token, Items: l.Items[1:]}, queue.Outcome{State: queue.Delivered})
		equal(w, "the body before the last event is acknowledged", string(w.body(id)), "the body")
		opened, err := w.store.Open(w.ctx(), id)
		w.ok(err, "Open")
		r, err := opened.Open()
		w.ok(err, "the body's Open")
		defer r.Close()
		w.drain()
		_, err = w.store.Open(w.ctx(), id)
		w.is(err, queue.ErrNotFound, "Open after the last event")
		if rest, err := io.ReadAll(r); err == nil && string(rest) != "the body" {
			w.Fatalf("the open reader yields %q", rest)
		}
	}},
	{5, "no such message", "An id that the store does not know is ErrNotFound.", func(w *world) {
		_, err := w.store.Open(w.ctx(), "nonsense")
		w.is(err, queue.ErrNotFound, "Open")
	}},
	{32, "closed", "A closed store refuses every call.", func(w *world) {
		id := w.put(w.batch("bob"))
		w.ok(w.store.Close(), "Close")
		w.ok(w.store.Close(), "Close again")
		for what, call := range map[string]func(ctx context.Context) error{
			"Put":    func(ctx context.Context) error { _, err := w.store.Put(ctx, w.batch("bob")); return err },
			"Open":   func(ctx context.Context) error { _, err := w.store.Open(ctx, id); return err },
			"Claim":  func(ctx context.Context) error { _, err := w.store.Claim(ctx, w.request(1)); return err },
			"Settle": func(ctx context.Context) error { _, err := w.store.Settle(ctx, queue.Settlement{}); return err },
			"Next":   func(ctx context.Context) error { _, _, err := w.store.Next(ctx, w.now); return err },
			"Events": func(ctx context.Context) error {
				_, err := w.store.Events(ctx, queue.EventsRequest{Now: w.now, Lease: leased})
				return err
			},
			"Ack":  func(ctx context.Context) error { return w.store.Ack(ctx, nil) },
			"List": func(ctx context.Context) error { _, err := w.store.List(ctx, queue.Query{}); return err },
			"Update": func(ctx context.Context) error {
				_, err := w.store.Update(ctx, queue.Change{Now: w.now, Op: queue.Hold})
				return err
			},
		} {
			w.is(call(w.ctx()), queue.ErrClosed, what)
		}
	}},
}
