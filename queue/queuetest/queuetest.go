// Package queuetest tests that a queue.Store keeps its contract.
//
//  1. Run takes the rules in the comment of queue.Store one by one. Every case names its rules and says
//     what is expected and why; it opens a store of its own.
//  2. Compare feeds one random history to several stores and to a simple model, and demands
//     equal answers.
//
// What a store survives (a crash, a full disk) is for the tests of that store.
//
// The package follows testing/slogtest in its form. It implements no RFC.
package queuetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/postrider/postrider/queue"
)

// Run tests the stores that open gives, each empty, against the rules of queue.Store. The stores are closed by Run.
func Run(t *testing.T, open func(t *testing.T) queue.Store) {
	for _, part := range [][]rule{putRules, claimRules, fairRules, settleRules, eventRules, peopleRules} {
		for _, r := range part {
			t.Run(fmt.Sprintf("rule%02d/%s", r.number, r.name), func(t *testing.T) {
				w := &world{T: t, store: open(t), now: start}
				t.Cleanup(func() {
					w.store.Close()
					if t.Failed() {
						t.Logf("rule %d of queue.Store: %s", r.number, r.why)
					}
				})
				r.test(w)
			})
		}
	}
}

// rule is a case: a rule of queue.Store, what is expected, and the test.
type rule struct {
	number int
	name   string
	why    string
	test   func(w *world)
}

// start is a whole second, so that a store that keeps microseconds keeps it.
var start = time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)

const leased = time.Minute // how long a claim of a test lasts

// world is a store and the time that the test tells it.
type world struct {
	*testing.T
	store queue.Store
	now   time.Time
}

func (w *world) ctx() context.Context { return w.Context() }

func (w *world) after(d time.Duration) { w.now = w.now.Add(d) }

func (w *world) ok(err error, what string) {
	w.Helper()
	if err != nil {
		w.Fatalf("%s: %v", what, err)
	}
}

func (w *world) is(err, want error, what string) {
	w.Helper()
	if !errors.Is(err, want) {
		w.Fatalf("%s: error is %v, want %v", what, err, want)
	}
}

func equal[T comparable](w *world, what string, got, want T) {
	w.Helper()
	if got != want {
		w.Fatalf("%s is %v, want %v", what, got, want)
	}
}

func (w *world) at(what string, got, want time.Time) {
	w.Helper()
	if !got.Equal(want) {
		w.Fatalf("%s is %v, want %v (%v off)", what, got, want, got.Sub(want))
	}
}

// batch is a message for the recipients, all in lane "a".
func (w *world) batch(to ...string) *queue.Batch {
	b := &queue.Batch{Now: w.now, Common: []byte("common"), Body: queue.Bytes("the body")}
	for _, to := range to {
		b.Items = append(b.Items, queue.Item{Lane: "a", To: to, Meta: []byte("meta of " + to)})
	}
	return b
}

func (w *world) put(b *queue.Batch) string {
	w.Helper()
	s, err := w.store.Put(w.ctx(), b)
	w.ok(err, "Put")
	if s.Known || s.Message == "" {
		w.Fatalf("Put answers %+v, want a new message", s)
	}
	return s.Message
}

// send puts a message for one recipient in that lane and tenant.
func (w *world) send(lane, tenant string, p queue.Priority) string {
	w.Helper()
	b := w.batch("bob")
	b.Items[0].Lane, b.Tenant, b.Priority = lane, tenant, p
	return w.put(b)
}

func (w *world) request(max int) queue.ClaimRequest {
	return queue.ClaimRequest{Now: w.now, Lease: leased, Max: max}
}

func (w *world) claimWith(r queue.ClaimRequest) queue.Lease {
	w.Helper()
	l, err := w.store.Claim(w.ctx(), r)
	w.ok(err, "Claim")
	return l
}

// claim claims and demands that number of items.
func (w *world) claim(items int) queue.Lease {
	w.Helper()
	l := w.claimWith(w.request(1000))
	if len(l.Items) != items {
		w.Fatalf("Claim gives %d items, want %d: %v", len(l.Items), items, ids(l.Items))
	}
	return l
}

// settle settles all items of a lease, and demands that none is lost.
func (w *world) settle(l queue.Lease, o queue.Outcome) {
	w.Helper()
	if lost := w.trySettle(l, o); len(lost) > 0 {
		w.Fatalf("Settle lost %v of its own lease", lost)
	}
}

func (w *world) trySettle(l queue.Lease, o queue.Outcome) []queue.ID {
	w.Helper()
	s := queue.Settlement{Now: w.now, Token: l.Token}
	for _, i := range l.Items {
		o.ID = i.ID
		s.Outcomes = append(s.Outcomes, o)
	}
	lost, err := w.store.Settle(w.ctx(), s)
	w.ok(err, "Settle")
	return lost
}

func (w *world) list(q queue.Query) []queue.Item {
	w.Helper()
	items, err := w.store.List(w.ctx(), q)
	w.ok(err, "List")
	return items
}

// get shows the first item of a message.
func (w *world) get(message string) queue.Item {
	w.Helper()
	items := w.list(queue.Query{Message: message})
	if len(items) == 0 {
		w.Fatalf("List shows nothing of message %s", message)
	}
	return items[0]
}

func (w *world) update(op queue.Op, where queue.Query) queue.Changed {
	w.Helper()
	c, err := w.store.Update(w.ctx(), queue.Change{Now: w.now, Op: op, Where: where})
	w.ok(err, "Update")
	return c
}

func (w *world) body(message string) []byte {
	w.Helper()
	b, err := w.store.Open(w.ctx(), message)
	w.ok(err, "Open")
	r, err := b.Open()
	w.ok(err, "the body's Open")
	defer r.Close()
	all, err := io.ReadAll(r)
	w.ok(err, "reading the body")
	equal(w, "the body's Size", b.Size(), int64(len(all)))
	return all
}

func (w *world) events() []queue.Event {
	w.Helper()
	e, err := w.store.Events(w.ctx(), queue.EventsRequest{Now: w.now, Lease: leased})
	w.ok(err, "Events")
	return e
}

func (w *world) ack(e []queue.Event) {
	w.Helper()
	w.ok(w.store.Ack(w.ctx(), e), "Ack")
}

// drain acknowledges all events and gives them.
func (w *world) drain() (all []queue.Event) {
	w.Helper()
	for {
		e := w.events()
		if len(e) == 0 {
			return all
		}
		w.ack(e)
		all = append(all, e...)
	}
}

// next asks Next from now on.
func (w *world) next() (time.Time, <-chan struct{}) {
	w.Helper()
	at, earlier, err := w.store.Next(w.ctx(), w.now)
	w.ok(err, "Next")
	return at, earlier
}

func ids(items []queue.Item) []string {
	var s []string
	for _, i := range items {
		s = append(s, i.ID.String())
	}
	return s
}

func messages(items []queue.Item) []string {
	var s []string
	for _, i := range items {
		s = append(s, i.ID.Message)
	}
	return slices.Compact(s)
}

// badBody yields its bytes, and then its error.
type badBody struct {
	bytes []byte
	size  int64
	err   error
}

func (b badBody) Size() int64 { return b.size }

func (b badBody) Open() (io.ReadCloser, error) {
	return io.NopCloser(io.MultiReader(bytes.NewReader(b.bytes), errReader{b.err})), nil
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) {
	if r.err == nil {
		return 0, io.EOF
	}
	return 0, r.err
}
