package mx

import (
	"context"
	"sync"
	"time"
)

// memo keeps answers for their time to live within a bound of memory, and asks once where many ask for
// the same. The zero value is ready once limit is set.
type memo[K comparable, V any] struct {
	limit int            // octets that the entries may cost together
	cost  func(K, V) int // octets of an entry, about
	mu    sync.Mutex
	epoch time.Time
	size  int
	kept  map[K]*entry[V]
	open  map[K]*flight[V]
}

type entry[V any] struct {
	value   V
	stored  time.Duration // since epoch
	expires time.Duration
	cost    int
}

// flight is a question that is being asked.
type flight[V any] struct {
	done    chan struct{}
	cancel  context.CancelFunc
	waiters int // guarded by the memo's lock
	value   V
	err     error
}

// overhead is what an entry costs besides its value: its slot in the map and its bookkeeping.
const overhead = 96

// get finds a value that has not expired, and its age.
func (m *memo[K, V]) get(key K) (value V, age time.Duration, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.fresh(key)
}

func (m *memo[K, V]) fresh(key K) (value V, age time.Duration, ok bool) {
	e := m.kept[key]
	if e == nil {
		return value, 0, false
	}
	now := time.Since(m.epoch)
	if now >= e.expires {
		m.drop(key, e)
		return value, 0, false
	}
	return e.value, now - e.stored, true
}

// do returns the kept value, or that of fill, which says how long it may be kept. Of callers with the same
// key one fills and all get what it got. An error is for those who wait for it and is not kept: the
// resolver behind us remembers failures (RFC 9520), and the queue waits before it asks again.
// fill's context ends when nobody waits any more.
func (m *memo[K, V]) do(ctx context.Context, key K, fill func(context.Context) (V, time.Duration, error)) (V, time.Duration, error) {
	m.mu.Lock()
	if value, age, ok := m.fresh(key); ok {
		m.mu.Unlock()
		return value, age, nil
	}
	f := m.open[key]
	if f == nil {
		f = m.start(ctx, key, fill)
	}
	f.waiters++
	m.mu.Unlock()
	select {
	case <-f.done:
		return f.value, 0, f.err
	case <-ctx.Done():
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if f.waiters--; f.waiters == 0 {
		f.cancel()
		if m.open[key] == f {
			delete(m.open, key) // the next caller must not wait for a cancelled one
		}
	}
	var none V
	return none, 0, ctx.Err()
}

// start fills in a goroutine of its own, so that a caller who gives up takes nothing from the others.
// The caller holds the lock.
func (m *memo[K, V]) start(ctx context.Context, key K, fill func(context.Context) (V, time.Duration, error)) *flight[V] {
	f := &flight[V]{done: make(chan struct{})}
	ctx, f.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if m.open == nil {
		m.open = make(map[K]*flight[V])
	}
	m.open[key] = f
	go func() {
		defer f.cancel()
		var life time.Duration
		f.value, life, f.err = fill(ctx)
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.open[key] == f {
			delete(m.open, key)
		}
		if f.err == nil && life > 0 {
			m.store(key, f.value, life)
		}
		close(f.done)
	}()
	return f
}

// store keeps a value and makes room for it. The caller holds the lock.
func (m *memo[K, V]) store(key K, value V, life time.Duration) {
	if m.kept == nil {
		m.kept = make(map[K]*entry[V])
		m.epoch = time.Now()
	}
	if old := m.kept[key]; old != nil {
		m.drop(key, old)
	}
	now := time.Since(m.epoch)
	e := &entry[V]{value: value, stored: now, expires: now + life, cost: overhead + m.cost(key, value)}
	m.kept[key] = e
	m.size += e.cost
	for m.size > m.limit && len(m.kept) > 0 {
		m.evict()
	}
}

// evict drops the entry that expires first of a few that are drawn at random.
func (m *memo[K, V]) evict() {
	var victim K
	var worst *entry[V]
	n := 0
	for key, e := range m.kept {
		if worst == nil || e.expires < worst.expires {
			victim, worst = key, e
		}
		if n++; n == 8 {
			break
		}
	}
	m.drop(victim, worst)
}

func (m *memo[K, V]) drop(key K, e *entry[V]) {
	delete(m.kept, key)
	m.size -= e.cost
}
