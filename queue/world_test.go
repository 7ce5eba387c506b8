package queue_test

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/queue"
)

// handle is a Handler that decides item by item.
type handle func(ctx context.Context, i queue.Item) queue.Result

func (h handle) Deliver(ctx context.Context, b queue.Body, items []queue.Item) []queue.Result {
	results := make([]queue.Result, len(items))
	for n, i := range items {
		results[n] = h(ctx, i)
	}
	return results
}

var ok = handle(func(context.Context, queue.Item) queue.Result { return queue.Result{State: queue.Delivered} })

// ledger is a Recorder that keeps what it was told, and fails as often as told.
type ledger struct {
	mu     sync.Mutex
	events []queue.Event
	fail   int
}

func (l *ledger) Record(ctx context.Context, events []queue.Event) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail > 0 {
		l.fail--
		return fmt.Errorf("not now")
	}
	l.events = append(l.events, events...)
	return nil
}

// of gives the events of a recipient.
func (l *ledger) of(to string) (all []queue.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.events {
		if e.Item.To == to {
			all = append(all, e)
		}
	}
	return all
}

// ends gives how each recipient ended, and fails if one did twice.
func (l *ledger) ends(t *testing.T) map[string]queue.State {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	ends, seen := map[string]queue.State{}, map[uint64]bool{}
	for _, e := range l.events {
		if !e.Item.State.Ended() || seen[e.Seq] {
			continue
		}
		seen[e.Seq] = true
		if was, twice := ends[e.Item.To]; twice {
			t.Errorf("%s ended twice: %s and %s", e.Item.To, was, e.Item.State)
		}
		ends[e.Item.To] = e.Item.State
	}
	return ends
}

// office is a Runner over a Memory in a synctest bubble.
type office struct {
	*testing.T
	queue.Runner
	ledger
	stop func() error
}

// opened runs a test in a bubble. The Runner is started by start.
func opened(t *testing.T, h queue.Handler, test func(o *office)) {
	synctest.Test(t, func(t *testing.T) {
		o := &office{T: t}
		o.Store, o.Handler, o.Recorder = new(queue.Memory), h, &o.ledger
		test(o)
		if o.stop != nil {
			o.end()
		}
	})
}

func (o *office) start() {
	ctx, cancel := context.WithCancel(o.Context())
	over := make(chan error)
	go func() { over <- o.Runner.Run(ctx) }()
	o.stop = func() error { cancel(); return <-over }
}

func (o *office) end() {
	o.Helper()
	if err := o.stop(); err != nil {
		o.Errorf("Run: %v", err)
	}
	o.stop = nil
}

// put puts a message; recipients are written as to@lane.
func (o *office) put(b queue.Batch, to ...string) string {
	o.Helper()
	b.Now = time.Now()
	if b.Body == nil {
		b.Body = queue.Bytes("the body")
	}
	for n, to := range to {
		_, lane, _ := strings.Cut(to, "@")
		if n >= len(b.Items) {
			b.Items = append(b.Items, queue.Item{})
		}
		b.Items[n].To, b.Items[n].Lane = to, lane
	}
	s, err := o.Store.Put(o.Context(), &b)
	if err != nil {
		o.Fatalf("Put: %v", err)
	}
	return s.Message
}

// wait lets time pass.
func wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// nap lets a handler take its time.
func nap(d time.Duration) { time.Sleep(d) }

func (o *office) equal(what string, got, want any) {
	o.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		o.Errorf("%s: %v, want %v", what, got, want)
	}
}

func (o *office) left() int {
	items, err := o.Store.List(o.Context(), queue.Query{})
	if err != nil {
		o.Fatal(err)
	}
	return len(items)
}

func readAll(b queue.Body) (string, error) {
	r, err := b.Open()
	if err != nil {
		return "", err
	}
	defer r.Close()
	all, err := io.ReadAll(r)
	return string(all), err
}

func recipients(items []queue.Item) string {
	var to []string
	for _, i := range items {
		to = append(to, i.To)
	}
	slices.Sort(to)
	return strings.Join(to, " ")
}

// rottenBody is whole to its last byte, and then damaged.
type rottenBody struct{ queue.Body }

func (b rottenBody) Open() (io.ReadCloser, error) {
	r, err := b.Body.Open()
	return rottenReader{r}, err
}

type rottenReader struct{ io.ReadCloser }

func (r rottenReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err == io.EOF {
		err = fmt.Errorf("reading: %w", queue.ErrDamaged)
	}
	return n, err
}

// locked reads something that handlers write.
func locked[T any](mu *sync.Mutex, read func() T) T {
	mu.Lock()
	defer mu.Unlock()
	return read()
}
