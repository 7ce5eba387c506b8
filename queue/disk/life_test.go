package disk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/postrider/postrider/queue"
)

// life is the history of a spool through its faults, and what the callers were told.
type life struct {
	t     *testing.T
	dir   string
	files *faulty
	s     *Store
	now   time.Time

	bodies   map[string][]byte            // of messages that were accepted
	items    map[queue.ID]bool            // of those
	settled  map[queue.ID]bool            // ended, as Settle or Update said
	maybe    map[queue.ID]bool            // a call about it failed: nobody knows
	told     map[queue.ID]map[uint64]bool // ends that Events told
	oldIndex []byte
	keys     map[string]queue.Batch // that were accepted
	ids      map[string]string      // of their messages
}

func newLife(t *testing.T, files *faulty) *life {
	return &life{t: t, dir: t.TempDir(), files: files, now: time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC), bodies: map[string][]byte{},
		items: map[queue.ID]bool{}, settled: map[queue.ID]bool{}, maybe: map[queue.ID]bool{}, told: map[queue.ID]map[uint64]bool{},
		keys: map[string]queue.Batch{}, ids: map[string]string{}}
}

func (l *life) open() (err error) {
	l.s, err = Config{Dir: l.dir, Segment: 16 << 10, files: l.files, every: time.Hour, noSync: true}.Open()
	return err
}

// script is what happens to the spool, until the first error.
func (l *life) script() error {
	if err := l.open(); err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(1, 2))
	if err := l.day(rng); err != nil {
		return err
	}
	if err := l.crowds(rng); err != nil {
		return err
	}
	return l.emptied(rng)
}

// day is a mix of all calls.
func (l *life) day(rng *rand.Rand) error {
	for step := range 60 {
		l.now = l.now.Add(time.Second)
		var err error
		switch step % 6 {
		case 0, 1, 3:
			err = l.put(rng, step)
		case 2:
			err = l.work(rng)
		case 4:
			err = l.drain(3)
		case 5:
			if step%12 == 5 {
				err = l.cancel()
			}
			if step%18 == 5 {
				l.now = l.now.Add(2 * time.Minute) // leases lapse
			}
			for _, op := range map[int][]queue.Op{11: {queue.Hold}, 17: {queue.Expire, queue.Hold}, 29: {queue.Requeue}, 35: {queue.Expire}}[step] {
				if err == nil {
					err = l.update(op, 2)
				}
			}
			if err == nil {
				if err = l.s.checkpoint(false); err == nil {
					l.s.tidy()
				}
				if step == 23 {
					l.oldIndex, _ = os.ReadFile(filepath.Join(l.dir, indexName))
				}
			}
		}
		if err != nil && !errors.Is(err, queue.ErrFull) {
			return err
		}
	}
	return nil
}

// emptied delivers nearly all, puts a message that waits, and fills segments behind it, so that it is moved.
func (l *life) emptied(rng *rand.Rand) error {
	if err := l.deliverAll(1000); err != nil {
		return err
	}
	due := l.now.Add(8 * time.Minute)
	if err := l.putBody(rng, 500, &queue.Batch{Items: []queue.Item{{To: "late", Lane: "late", Due: due}, {To: "tried", Lane: "late"}}}); err != nil {
		return err
	}
	lease, err := l.claim(1)
	if err != nil {
		return err
	}
	s := queue.Settlement{Now: l.now, Token: lease.Token}
	for _, i := range lease.Items {
		s.Outcomes = append(s.Outcomes, queue.Outcome{ID: i.ID, State: queue.Waiting, Due: due, Note: []byte("tried")})
	}
	if err := l.settle(s); err != nil {
		return err
	}
	for range 6 {
		if err := l.putBody(rng, 10_000, &queue.Batch{Items: []queue.Item{{To: "large", Lane: "a"}}}); err != nil && !errors.Is(err, queue.ErrFull) {
			return err
		}
		if err := l.deliverAll(1000); err != nil {
			return err
		}
		if err := l.s.checkpoint(false); err == nil {
			l.s.tidy()
		} else if !errors.Is(err, queue.ErrFull) {
			return err
		}
	}
	return nil
}

func (l *life) deliverAll(most int) error {
	l.now = l.now.Add(time.Second)
	lease, err := l.claim(most)
	if err != nil {
		return err
	}
	s := queue.Settlement{Now: l.now, Token: lease.Token}
	for _, i := range lease.Items {
		s.Outcomes = append(s.Outcomes, queue.Outcome{ID: i.ID, State: queue.Delivered})
	}
	if len(s.Outcomes) > 0 {
		if err := l.settle(s); err != nil {
			return err
		}
	}
	return l.drain(1000)
}

func (l *life) put(rng *rand.Rand, step int) error {
	b := &queue.Batch{Common: []byte("common"), Tenant: fmt.Sprint(step % 2)}
	for n := range 1 + step%3 {
		b.Items = append(b.Items, queue.Item{To: fmt.Sprint(step, "-", n), Lane: fmt.Sprint(n % 2)})
	}
	if step%4 == 1 {
		b.Key, b.Fingerprint, b.Keep = fmt.Sprint("key", step), "print", time.Minute
	}
	if step%9 == 0 {
		b.Items[0].Expires = l.now.Add(5 * time.Second)
	}
	return l.putBody(rng, rng.IntN(3000), b)
}

func (l *life) putBody(rng *rand.Rand, size int, b *queue.Batch) error {
	return l.putting(rng, size, b)()()
}

// putting makes a call, which makes a note of what the caller was told.
func (l *life) putting(rng *rand.Rand, size int, b *queue.Batch) func() func() error {
	body := make([]byte, size)
	for i := range body {
		body[i] = byte(rng.Uint32())
	}
	b.Now, b.Body = l.now, queue.Bytes(body)
	return func() func() error {
		st, err := l.s.Put(context.Background(), b)
		return func() error {
			if err == nil {
				l.bodies[st.Message] = body
				if b.Key != "" {
					l.keys[b.Key] = *b
					l.ids[b.Key] = st.Message
				}
				for n := range b.Items {
					l.items[queue.ID{Message: st.Message, N: n}] = true
				}
			}
			return err
		}
	}
}

// work claims a few groups, and settles some of them: delivered, deferred, or not at all.
func (l *life) work(rng *rand.Rand) error {
	lease, err := l.claim(4)
	if err != nil {
		return err
	}
	s := queue.Settlement{Now: l.now, Token: lease.Token}
	for k, i := range lease.Items {
		o := queue.Outcome{ID: i.ID, State: queue.Delivered, Note: []byte("note")}
		switch k % 4 {
		case 2:
			o.State, o.Due = queue.Waiting, l.now.Add(time.Minute)
		case 3:
			continue
		}
		s.Outcomes = append(s.Outcomes, o)
	}
	return l.settle(s)
}

func (l *life) claim(most int) (queue.Lease, error) {
	lease, err := l.s.Claim(context.Background(), queue.ClaimRequest{Now: l.now, Lease: time.Minute, Max: most, Backoff: []time.Duration{time.Minute}})
	for _, i := range lease.Items {
		if l.settled[i.ID] {
			l.t.Fatalf("%v has ended and is given out again", i.ID)
		}
		want, known := l.bodies[i.ID.Message]
		if !known {
			continue
		}
		if got, err := l.body(i.ID.Message); err == nil && !bytes.Equal(got, want) {
			l.t.Fatalf("%v has another body", i.ID)
		} else if err != nil && !errors.Is(err, errRead) && !l.files.off {
			l.t.Fatalf("the body of %v: %v", i.ID, err)
		}
	}
	return lease, err
}

func (l *life) body(id string) ([]byte, error) {
	b, err := l.s.Open(context.Background(), id)
	if err != nil {
		return nil, err
	}
	r, err := b.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

func (l *life) settle(s queue.Settlement) error { return l.settling(s)()() }

func (l *life) settling(s queue.Settlement) func() func() error {
	return func() func() error {
		lost, err := l.s.Settle(context.Background(), s)
		return func() error {
			if err == nil && len(lost) > 0 {
				l.t.Fatalf("Settle lost %v", lost)
			}
			for _, o := range s.Outcomes {
				if err != nil {
					l.maybe[o.ID] = true
				} else if o.State == queue.Delivered {
					l.settled[o.ID] = true
				}
			}
			return err
		}
	}
}

func (l *life) update(op queue.Op, most int) error {
	_, err := l.s.Update(context.Background(), queue.Change{Now: l.now, Op: op, Max: most})
	return err
}

// knowKeys puts what was accepted under a key once more.
func (l *life) knowKeys() {
	l.t.Helper()
	for key, b := range l.keys {
		b.Now, b.Body = l.now, queue.Bytes("once more")
		if st, err := l.s.Put(context.Background(), &b); err != nil || !st.Known || st.Message != l.ids[key] {
			l.t.Errorf("%s was accepted as %s; put again: %+v, %v", key, l.ids[key], st, err)
		}
	}
}

func (l *life) cancel() error {
	items, err := l.s.List(context.Background(), queue.Query{State: queue.Waiting, Limit: 1})
	if err != nil || len(items) == 0 {
		return err
	}
	id := items[0].ID
	c, err := l.s.Update(context.Background(), queue.Change{Now: l.now, Op: queue.Cancel, Where: queue.Query{Message: id.Message, To: items[0].To}})
	if err != nil {
		l.maybe[id] = true
	} else if c.Items == 1 {
		l.settled[id] = true
	}
	return err
}

// drain tells some events, and acknowledges the first few of them.
func (l *life) drain(most int) error {
	events, err := l.s.Events(context.Background(), queue.EventsRequest{Now: l.now, Lease: time.Millisecond, Max: most * 2})
	if err != nil {
		return err
	}
	for _, e := range events {
		if e.Item.To == "" && e.Item.State != queue.Damaged {
			l.t.Errorf("an event has no recipient: %+v", e)
		}
		if e.Item.State.Ended() {
			if l.told[e.Item.ID] == nil {
				l.told[e.Item.ID] = map[uint64]bool{}
			}
			l.told[e.Item.ID][e.Seq] = true
		}
	}
	return l.s.Ack(context.Background(), events[:min(len(events), most)])
}

// finish delivers what is left in the spool, and looks at what became of all.
func (l *life) finish() {
	l.t.Helper()
	l.knowKeys()
	if err := l.update(queue.Requeue, 1000); err != nil && !errors.Is(err, queue.ErrFull) {
		l.t.Fatalf("Requeue: %v", err)
	}
	for range 200 {
		l.now = l.now.Add(10 * time.Minute)
		lease, err := l.claim(1000)
		if err != nil {
			l.t.Fatalf("Claim: %v", err)
		}
		if len(lease.Items) == 0 {
			break
		}
		s := queue.Settlement{Now: l.now, Token: lease.Token}
		for _, i := range lease.Items {
			s.Outcomes = append(s.Outcomes, queue.Outcome{ID: i.ID, State: queue.Delivered})
		}
		if err := l.settle(s); err != nil {
			l.t.Fatalf("Settle: %v", err)
		}
	}
	for range 200 {
		l.now = l.now.Add(time.Minute)
		if err := l.drain(100); err != nil {
			l.t.Fatalf("Events: %v", err)
		}
	}
	for id := range l.items {
		if n := len(l.told[id]); n != 1 {
			l.t.Errorf("%v was accepted and has %d ends %v (settled %v, in doubt %v)", id, n, l.told[id], l.settled[id], l.maybe[id])
		}
	}
	if err := l.update(queue.Forget, 10_000); err != nil {
		l.t.Fatalf("Forget: %v", err)
	}
	if items, err := l.s.List(context.Background(), queue.Query{}); err != nil || len(items) > 0 {
		l.t.Errorf("left in the spool: %v, %v", items, err)
	}
}

// moves counts the records of moved messages in the log.
func (l *life) moves() (n int) {
	for _, f := range l.files.files {
		t, err := readTitle(f)
		if err != nil || t.number == 0 {
			continue
		}
		for at, _ := nextHead(f, int64(len(f.now)), t.number, pageSize); at > 0; at, _ = nextHead(f, int64(len(f.now)), t.number, at+8) {
			if f.now[at+4] == byte(moveRecord) {
				n++
			}
		}
	}
	return n
}
