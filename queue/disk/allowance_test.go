package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/postrider/postrider/queue"
)

// source is a Body whose readers wait and fail as told.
type source struct {
	size    int
	unknown bool
	fail    func() error // at its end
	opened  chan<- struct{}
	gate    <-chan struct{}
}

func (s *source) Size() int64 {
	if s.unknown {
		return -1
	}
	return int64(s.size)
}

func (s *source) Open() (io.ReadCloser, error) {
	if s.opened != nil {
		s.opened <- struct{}{}
	}
	if s.gate != nil {
		<-s.gate
	}
	r := io.LimitReader(readFunc(blank), int64(s.size))
	if s.fail != nil {
		r = io.MultiReader(r, readFunc(func([]byte) (int, error) { return 0, s.fail() }))
	}
	return io.NopCloser(r), nil
}

func blank(p []byte) (int, error) { clear(p); return len(p), nil }

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

// openLarge opens a store with an allowance of so many MiB. At the end all of it must be free again.
func openLarge(t *testing.T, mib int64) *Store {
	t.Helper()
	s, err := Config{Dir: t.TempDir(), Segment: 16 << 20, large: mib << 20}.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if a := s.large; a.free != a.all || a.waiting.Len() > 0 {
			t.Errorf("%d bytes of %d are free, and %d wait", a.free, a.all, a.waiting.Len())
		}
	})
	return s
}

func (s *Store) putSource(ctx context.Context, b queue.Body, key string) error {
	_, err := s.Put(ctx, &queue.Batch{Now: time.Unix(2e9, 0), Key: key, Body: b, Items: []queue.Item{{To: "bob", Lane: "a"}}})
	return err
}

// However many callers put large bodies at once, no more are read than fit into the allowance; all are stored.
func TestManyLargeBodies(t *testing.T) {
	s := openLarge(t, 8)
	opened, gate := make(chan struct{}, 1000), make(chan struct{})
	var all sync.WaitGroup
	const callers, fit = 30, 4
	for range callers {
		all.Go(func() {
			b := &source{size: 2<<20 - 1000, opened: opened, gate: gate}
			if err := s.putSource(t.Context(), b, ""); err != nil {
				t.Error(err)
			}
		})
	}
	s.await(t, callers-fit)
	for range fit {
		<-opened
	}
	if n := len(opened); n > 0 {
		t.Errorf("%d bodies more than fit are read", n)
	}
	close(gate)
	all.Wait()
	items, err := s.List(t.Context(), queue.Query{})
	if err != nil || len(items) != callers {
		t.Errorf("%d items, %v", len(items), err)
	}
}

// A large body that is slow to read holds up large ones, if at all, and no small one; who waits hears of the end of its context, and
// of Close.
func TestSlowLargeBody(t *testing.T) {
	for _, unknown := range []bool{false, true} {
		t.Run(fmt.Sprint("unknown size ", unknown), func(t *testing.T) {
			s := openLarge(t, 8)
			opened, gate := make(chan struct{}), make(chan struct{})
			slow := make(chan error)
			go func() {
				slow <- s.putSource(t.Context(), &source{size: 20 << 20, opened: opened, gate: gate}, "")
			}()
			<-opened
			large := &source{size: 3 << 20, unknown: unknown}
			ctx, cancel := context.WithCancel(t.Context())
			waits := make(chan error)
			go func() { waits <- s.putSource(ctx, large, "") }()
			for range 10 {
				if err := s.putSource(t.Context(), &source{size: 1000, unknown: unknown}, ""); err != nil {
					t.Fatal(err)
				}
			}
			s.await(t, 1)
			cancel()
			if err := <-waits; !errors.Is(err, context.Canceled) {
				t.Errorf("the end of the context: %v", err)
			}
			go func() { waits <- s.putSource(t.Context(), large, "") }()
			s.await(t, 1)
			if unknown {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
				if err := <-waits; !errors.Is(err, queue.ErrClosed) {
					t.Errorf("Put when the store is closed: %v", err)
				}
				close(gate)
				if err := <-slow; !errors.Is(err, queue.ErrClosed) {
					t.Errorf("Put when the store is closed: %v", err)
				}
				return
			}
			close(gate)
			if err := errors.Join(<-slow, <-waits); err != nil {
				t.Error(err)
			}
		})
	}
}

// await waits until so many wait for their share.
func (s *Store) await(t *testing.T, n int) {
	t.Helper()
	for {
		s.large.mu.Lock()
		waiting := s.large.waiting.Len()
		s.large.mu.Unlock()
		if waiting == n {
			return
		}
		if t.Context().Err() != nil {
			t.Fatal("nobody waits")
		}
		runtime.Gosched()
	}
}

// What is not stored gives its share back: a reader that fails or panics, another size, a known key, and another body under it.
func TestLargeBodyNotStored(t *testing.T) {
	s := openLarge(t, 3)
	whole := make(queue.Bytes, 2<<20)
	if err := s.putSource(t.Context(), whole, "key"); err != nil {
		t.Fatal(err)
	}
	panics := func() error { panic("by the reader") }
	for n := range 5 {
		for _, unknown := range []bool{false, true} {
			for what, b := range map[string]queue.Body{
				"timeout": &source{size: 2 << 20, unknown: unknown, fail: func() error { return iotest.ErrTimeout }},
				"panic":   &source{size: 2 << 20, unknown: unknown, fail: panics},
				"size":    liar{&source{size: 1 << 20}, 2 << 20},
			} {
				func() {
					defer func() { recover() }()
					if err := s.putSource(t.Context(), b, fmt.Sprint(n)); err == nil {
						t.Errorf("%s: no error", what)
					}
				}()
			}
		}
		// Both at once get past the first look for the key.
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() {
				if err := s.putSource(t.Context(), whole, fmt.Sprint("twice", n)); err != nil {
					t.Error(err)
				}
			})
		}
		both.Wait()
	}
	if err := s.putSource(t.Context(), whole, ""); err != nil {
		t.Fatal(err)
	}
}

// liar is a body that announces another size.
type liar struct {
	queue.Body
	size int64
}

func (l liar) Size() int64 { return l.size }
