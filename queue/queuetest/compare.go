package queuetest

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/queue"
)

var seedFlag = flag.Uint64("queuetest.seed", 0, "the seed of queuetest.Compare. Zero: a new one")

// Contender is a store in Compare.
type Contender struct {
	Name string
	// Open gives an empty store.
	Open func(t *testing.T) queue.Store
	// Reopen closes the store and opens it again, as a program does that stops and starts. Nil: it
	// cannot.
	Reopen func(t *testing.T, s queue.Store) queue.Store
}

// Compare feeds one random history of that many steps to the contenders and to a simple model, and demands that all
// answer the same, but for their ids, and for the choice among groups of equal right. It prints the seed; the flag -queuetest.seed repeats
// a history.
func Compare(t *testing.T, steps int, contenders ...Contender) {
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	h := &history{T: t, now: start, random: rand.New(rand.NewPCG(seed, 1))}
	defer func() {
		if t.Failed() {
			last := h.log[max(0, len(h.log)-30):]
			t.Logf("the last steps:\n%s\nrepeat with -queuetest.seed=%d", strings.Join(last, "\n"), seed)
		}
	}()
	all := append([]Contender{{Name: "the model", Open: func(*testing.T) queue.Store { return &model{} }}}, contenders...)
	for _, c := range all {
		s := &subject{Contender: c, store: c.Open(t), index: map[string]int{}}
		h.subjects = append(h.subjects, s)
		defer func() { s.store.Close() }()
	}
	for range steps {
		h.step()
		h.look()
	}
}

// subject is a store with the names that the history knows: messages and claims by number.
type subject struct {
	Contender
	store    queue.Store
	messages []string
	index    map[string]int
	tokens   []string
	events   []queue.Event // the last answer of Events
}

func (s *subject) id(message int) string {
	if message < 0 || message >= len(s.messages) {
		return "nonsense"
	}
	return s.messages[message]
}

// history makes steps. It knows of the stores what all of them answered.
type history struct {
	*testing.T
	random   *rand.Rand
	now      time.Time
	subjects []*subject
	log      []string

	messages int
	leases   []lease
	told     int // events in the last answer
}

type lease struct {
	token int
	items []place
}

// place is an item by numbers.
type place struct{ message, n int }

// same asks every store and demands equal answers.
func (h *history) same(what string, ask func(s *subject) any) string {
	h.Helper()
	first := ""
	for n, s := range h.subjects {
		b, err := json.Marshal(ask(s))
		if err != nil {
			h.Fatal(err)
		}
		if n == 0 {
			first = string(b)
			continue
		}
		if string(b) != first {
			h.log = append(h.log, what)
			h.Fatalf("%s:\n%s: %s\n%s: %s", what, h.subjects[0].Name, first, s.Name, b)
		}
	}
	return first
}

// step does one thing to all stores.
func (h *history) step() {
	steps := []struct {
		weight int
		do     func()
	}{
		{30, h.put}, {25, h.claim}, {25, h.settle}, {8, h.tell}, {8, h.ack}, {10, h.update}, {15, h.pass}, {4, h.open}, {1, h.reopen},
	}
	sum := 0
	for _, s := range steps {
		sum += s.weight
	}
	at := h.random.IntN(sum)
	for _, s := range steps {
		if at -= s.weight; at < 0 {
			s.do()
			return
		}
	}
}

func (h *history) note(format string, args ...any) string {
	s := fmt.Sprintf(format, args...)
	h.log = append(h.log, h.now.Format("15:04:05 ")+s)
	return s
}

func (h *history) pick(of ...string) string { return of[h.random.IntN(len(of))] }

func (h *history) duration(most time.Duration) time.Duration {
	return time.Duration(h.random.Int64N(int64(most/time.Second))) * time.Second
}

// pass lets time pass, seldom backwards. Once in a long while the clock jumps by up to a week.
func (h *history) pass() {
	d := h.duration(10 * time.Minute)
	if h.random.IntN(40) == 0 {
		d = h.duration(7 * 24 * time.Hour)
	}
	if h.random.IntN(15) == 0 {
		d = -d
	}
	h.now = h.now.Add(d)
	h.note("time passes: %v", d)
}

func (h *history) put() {
	b := &queue.Batch{Now: h.now, Tenant: h.pick("", "t", "u"), Priority: queue.Priority(h.random.IntN(3) - 1),
		Common: []byte(h.pick("", "common")), Keep: h.duration(time.Hour) - 20*time.Minute}
	body := make([]byte, h.random.IntN(1<<h.random.IntN(16)))
	for n := range body {
		body[n] = byte(h.random.IntN(256))
	}
	b.Body = queue.Bytes(body)
	for n := range 1 + h.random.IntN(1+h.random.IntN(6)) {
		// A lane belongs to one tenant and priority, so that its limit leaves no choice.
		i := queue.Item{To: fmt.Sprint(n), Lane: fmt.Sprint(b.Tenant, b.Priority, h.random.IntN(3)), Meta: []byte(h.pick("", "meta"))}
		if h.random.IntN(3) == 0 {
			i.Due = h.now.Add(h.duration(time.Hour) - 10*time.Minute)
		}
		if h.random.IntN(3) == 0 {
			i.Expires = h.now.Add(h.duration(2 * time.Hour))
		}
		b.Items = append(b.Items, i)
	}
	if h.random.IntN(3) == 0 {
		b.Key, b.Fingerprint = h.pick("k", "l", "m"), h.pick("f", "f", "f", "g")
	}
	what := h.note("put %d items, key %q, fingerprint %q, tenant %q", len(b.Items), b.Key, b.Fingerprint, b.Tenant)
	before := h.messages
	h.same(what, func(s *subject) any {
		stored, err := s.store.Put(context.Background(), b)
		if err == nil && !stored.Known {
			s.index[stored.Message] = before
			s.messages = append(s.messages, stored.Message)
			h.messages = before + 1
		}
		n, known := s.index[stored.Message]
		return []any{n, known, stored.Known, failure(err)}
	})
}

// failure names an error.
func failure(err error) string {
	for _, e := range []error{queue.ErrKeyConflict, queue.ErrNotFound, queue.ErrInvalid, queue.ErrFull, queue.ErrDamaged} {
		if err != nil && strings.Contains(err.Error(), e.Error()) {
			return e.Error()
		}
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// shown is an item as it can be compared.
type shown struct {
	Message, N                       int
	Lane, To, Key, Tenant            string
	Meta, Common, Note               string
	Priority                         queue.Priority
	State                            queue.State
	Attempts                         int
	Created, Due, Expires, Until, At string
}

func (s *subject) show(i *queue.Item, at time.Time) shown {
	return shown{Message: s.index[i.ID.Message], N: i.ID.N, Lane: i.Lane, To: i.To, Key: i.Key, Tenant: i.Tenant, Meta: string(i.Meta),
		Common: string(i.Common), Note: string(i.Note), Priority: i.Priority, State: i.State, Attempts: i.Attempts,
		Created: clock(i.Created), Due: clock(i.Due), Expires: clock(i.Expires), Until: clock(i.Until), At: clock(at)}
}

func clock(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func (s *subject) showAll(items []queue.Item) []shown {
	all := make([]shown, len(items))
	for n := range items {
		all[n] = s.show(&items[n], time.Time{})
	}
	return all
}

// claim claims so that there is no choice: all groups of every lane, or the first few of a lane.
func (h *history) claim() {
	r := queue.ClaimRequest{Now: h.now, Lease: time.Second + h.duration(5*time.Minute), Max: 1 << 20, Group: 1 << 20}
	if h.random.IntN(2) == 0 {
		r.PerLane = h.random.IntN(4) - 1
	}
	if h.random.IntN(2) == 0 {
		r.Lanes = map[string]int{}
		for range 1 + h.random.IntN(8) {
			r.Lanes[fmt.Sprint(h.pick("", "t", "u"), h.random.IntN(3)-1, h.random.IntN(3))] = h.random.IntN(4) - 1
		}
	}
	if h.random.IntN(2) == 0 {
		r.Backoff = []time.Duration{time.Minute, 10 * time.Minute}
	}
	what := h.note("claim, per lane %d, lanes %v", r.PerLane, r.Lanes)
	token := len(h.subjects[0].tokens)
	var items []shown
	h.same(what, func(s *subject) any {
		l, err := s.store.Claim(context.Background(), r)
		s.tokens = append(s.tokens, l.Token)
		items = s.showAll(l.Items)
		sort.Slice(items, func(a, b int) bool {
			return items[a].Message < items[b].Message || items[a].Message == items[b].Message && items[a].N < items[b].N
		})
		return []any{items, failure(err)}
	})
	if len(items) > 0 {
		l := lease{token: token}
		for _, i := range items {
			l.items = append(l.items, place{i.Message, i.N})
		}
		h.leases = append(h.leases, l)
	}
}

// settle settles a part of a lease, now and then an old one, or under a wrong token.
func (h *history) settle() {
	if len(h.leases) == 0 {
		return
	}
	l := h.leases[max(0, len(h.leases)-1-h.random.IntN(6))]
	if h.random.IntN(20) == 0 {
		l.token = h.random.IntN(l.token + 1)
	}
	type outcome struct {
		place
		queue.Outcome
	}
	var outcomes []outcome
	part := h.random.Float64() + 0.2
	for _, p := range l.items {
		if h.random.Float64() > part {
			continue
		}
		o := outcome{place: p}
		o.State = []queue.State{queue.Delivered, queue.Delivered, queue.Delivered, queue.Failed, queue.Expired, queue.Damaged,
			queue.Waiting, queue.Waiting, queue.Waiting, queue.Leased}[h.random.IntN(10)]
		o.Due = h.now.Add(h.duration(time.Hour) - time.Minute)
		o.Untried = h.random.IntN(4) == 0
		o.Note = []byte(h.pick("", "note", "another note"))
		outcomes = append(outcomes, o)
	}
	what := h.note("settle %d of %d items of claim %d", len(outcomes), len(l.items), l.token)
	h.same(what, func(s *subject) any {
		q := queue.Settlement{Now: h.now, Token: s.tokens[l.token]}
		for _, o := range outcomes {
			o.ID = queue.ID{Message: s.id(o.message), N: o.n}
			q.Outcomes = append(q.Outcomes, o.Outcome)
		}
		lost, err := s.store.Settle(context.Background(), q)
		var names []string
		for _, id := range lost {
			names = append(names, fmt.Sprint(s.index[id.Message], "/", id.N))
		}
		slices.Sort(names)
		return []any{names, failure(err)}
	})
}

func (h *history) open() {
	message := h.random.IntN(h.messages + 1)
	h.same(h.note("open message %d", message), func(s *subject) any {
		b, err := s.store.Open(context.Background(), s.id(message))
		if err != nil {
			return failure(err)
		}
		r, err := b.Open()
		if err != nil {
			return failure(err)
		}
		defer r.Close()
		all, err := io.ReadAll(r)
		return []any{all, b.Size(), failure(err)}
	})
}
