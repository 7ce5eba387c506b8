package disk

import (
	"container/list"
	"context"
	"sync"

	"github.com/postrider/postrider/queue"
)

// largeAtOnce is how many bytes of large records may be in memory at a time, on their way to the log. A larger one goes alone. Small
// ones are not counted, so that none waits for a large one whose body is slow to read: their callers have as much of them anyway.
const largeAtOnce = 256 << 20

// allowance is what is left of it. Who comes first is served first.
type allowance struct {
	all     int64
	mu      sync.Mutex
	free    int64
	waiting list.List // of *turn
}

type turn struct {
	n     int64
	given chan struct{}
}

func newAllowance(all int64) *allowance { return &allowance{all: all, free: all} }

// take waits for n bytes, or for all if they are more; n, as it was taken, must be given back. It fails if ctx ends or quit is closed.
func (a *allowance) take(ctx context.Context, quit <-chan struct{}, n int64) (taken int64, err error) {
	t := &turn{min(n, a.all), make(chan struct{})}
	a.mu.Lock()
	at := a.waiting.PushBack(t)
	a.serve()
	a.mu.Unlock()
	select {
	case <-t.given:
		return t.n, nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-quit:
		err = queue.ErrClosed
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	select {
	case <-t.given:
		a.free += t.n
	default:
		a.waiting.Remove(at)
	}
	a.serve()
	return 0, err
}

func (a *allowance) give(n int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.free += n
	a.serve()
}

// serve gives turns. The caller holds mu.
func (a *allowance) serve() {
	for e := a.waiting.Front(); e != nil && e.Value.(*turn).n <= a.free; e = a.waiting.Front() {
		t := a.waiting.Remove(e).(*turn)
		a.free -= t.n
		close(t.given)
	}
}
