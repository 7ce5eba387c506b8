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
	expires time.Duration // since the memo's epoch
	cost    int32
}

// flight is a question that is being asked.
type flight[V any] struct {
	done      chan struct{}
	value     V
	life      time.Duration
	err       error
	abandoned bool // who asks gave up; the question is still open
}

// get finds a value that has not expired, and how long it has left.
func (m *memo[K, V]) get(key K) (value V, left time.Duration, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.fresh(key)
}

func (m *memo[K, V]) fresh(key K) (value V, left time.Duration, ok bool) {
	e := m.kept[key]
	if e == nil {
		return value, 0, false
	}
	now := time.Since(m.epoch)
	if now >= e.expires {
		m.drop(key, e)
		return value, 0, false
	}
	return e.value, e.expires - now, true
}

// do returns the kept value, or that of fill, which says how long it may be kept. Of callers with the same
// key one fills and all get what it got; where that one gives up, another takes over. An error is for
// those who wait for it and is not kept: the resolver behind us remembers failures (RFC 9520), and the
// queue waits before it asks again.
func (m *memo[K, V]) do(ctx context.Context, key K, fill func(context.Context) (V, time.Duration, error)) (value V, left time.Duration, err error) {
	for {
		m.mu.Lock()
		if value, left, ok := m.fresh(key); ok {
			m.mu.Unlock()
			return value, left, nil
		}
		f := m.open[key]
		if f == nil {
			f = &flight[V]{done: make(chan struct{}), abandoned: true}
			if m.open == nil {
				m.open = make(map[K]*flight[V])
			}
			m.open[key] = f
			m.mu.Unlock()
			m.lead(ctx, key, f, fill)
			return f.value, f.life, f.err
		}
		m.mu.Unlock()
		select {
		case <-f.done:
			if !f.abandoned {
				return f.value, f.life, f.err
			}
		case <-ctx.Done():
			return value, 0, ctx.Err()
		}
	}
}

// lead fills for all who wait; they are let go also when fill panics.
func (m *memo[K, V]) lead(ctx context.Context, key K, f *flight[V], fill func(context.Context) (V, time.Duration, error)) {
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.open, key)
		if f.err == nil && f.life > 0 && !f.abandoned {
			m.store(key, f.value, f.life)
		}
		close(f.done)
	}()
	f.value, f.life, f.err = fill(ctx)
	f.abandoned = f.err != nil && ctx.Err() != nil
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
	e := &entry[V]{value: value, expires: time.Since(m.epoch) + life, cost: int32(m.cost(key, value))}
	m.kept[key] = e
	m.size += int(e.cost)
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
	m.size -= int(e.cost)
}
