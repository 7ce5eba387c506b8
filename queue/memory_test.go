package queue_test

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/postrider/postrider/queue"
	"github.com/postrider/postrider/queue/queuetest"
)

func TestMemory(t *testing.T) {
	queuetest.Run(t, func(t *testing.T) queue.Store { return new(queue.Memory) })
}

func TestMemoryAndModel(t *testing.T) {
	memory := queuetest.Contender{Name: "Memory", Open: func(t *testing.T) queue.Store { return new(queue.Memory) }}
	for range 20 {
		t.Run("", func(t *testing.T) { queuetest.Compare(t, 500, memory) })
	}
}

// pouring is a body that never ends. It counts what is held of all such; nobody has more than a part before all have one.
type pouring struct {
	held, most *atomic.Int64
	all        *sync.WaitGroup
	read       int64
}

func (p *pouring) Size() int64                  { return -1 }
func (p *pouring) Open() (io.ReadCloser, error) { return p, nil }
func (p *pouring) Close() error                 { p.held.Add(-p.read); return nil }

func (p *pouring) Read(b []byte) (int, error) {
	if p.read == 0 {
		p.all.Done()
		p.all.Wait()
	}
	n := int64(len(b))
	p.read += n
	for held, most := p.held.Add(n), p.most.Load(); held > most && !p.most.CompareAndSwap(most, held); most = p.most.Load() {
	}
	return len(b), nil
}

// Bodies that are read at the same time share the room that is left, and those that are refused give theirs back.
func TestMemoryLimitWhileReading(t *testing.T) {
	const callers, limit = 16, 1 << 20
	m := &queue.Memory{Limit: limit}
	var held, most atomic.Int64
	var all, puts sync.WaitGroup
	all.Add(callers)
	for range callers {
		puts.Go(func() {
			if _, err := m.Put(t.Context(), &queue.Batch{Body: &pouring{held: &held, most: &most, all: &all}, Items: []queue.Item{{}}}); !errors.Is(err, queue.ErrFull) {
				t.Errorf("Put of a body without end: %v", err)
			}
		})
	}
	puts.Wait()
	if n := most.Load(); n > 2*limit {
		t.Errorf("%d bytes were held at a time for a store of %d", n, limit)
	}
	for _, body := range []queue.Body{queue.Bytes(make([]byte, limit)), queue.Bytes(make([]byte, limit-1024))} {
		_, err := m.Put(t.Context(), &queue.Batch{Body: body, Items: []queue.Item{{}}})
		if fits := body.Size() < limit; fits != (err == nil) || err != nil && !errors.Is(err, queue.ErrFull) {
			t.Errorf("Put of %d bytes into an empty store of %d: %v", body.Size(), limit, err)
		}
	}
}
