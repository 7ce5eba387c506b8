package disk

import (
	"bytes"
	"context"
	"fmt"

	"github.com/postrider/postrider/queue"
	bolt "go.etcd.io/bbolt"
)

// largest is the greatest body, and the greatest rest of a message.
const (
	largest     = 1 << 30
	largestMeta = 1 << 28
	longestName = 8 << 10 // of a tenant and a lane: they are keys of the index
)

// Put stores a message. Bodies of more than 1 GiB, and tenants and lanes of more than 8 KiB, are ErrInvalid. Messages of more than
// 1 MiB take turns: not more than 256 MiB of them are in memory at a time, so that one which is slow to read can delay others.
func (s *Store) Put(ctx context.Context, b *queue.Batch) (queue.Stored, error) {
	if err := s.begin(ctx); err != nil {
		return queue.Stored{}, err
	}
	if b == nil || len(b.Items) == 0 || b.Body == nil || b.Priority < queue.Bulk || b.Priority > queue.Urgent {
		return queue.Stored{}, fmt.Errorf("%w: a batch needs items, a body and a known priority", queue.ErrInvalid)
	}
	if b.Key != "" {
		s.mu.Lock()
		stored, known, err := s.known(b)
		s.mu.Unlock()
		if err == nil && known {
			err = s.log.hurry(ctx, s.log.last()) // the first Put may not have returned yet
		}
		if err != nil {
			return queue.Stored{}, err
		}
		if known {
			return stored, nil
		}
	}
	m, err := metaOf(b)
	if err != nil {
		return queue.Stored{}, err
	}
	if err := s.keepPace(ctx); err != nil {
		return queue.Stored{}, err
	}
	c, err := s.contentOf(ctx, m, b.Body)
	if err != nil {
		return queue.Stored{}, err
	}
	var done struct {
		queue.Stored
		taken bool // the content is the log's
	}
	err = s.do(ctx, func() (durable bool, err error) {
		done.Stored, done.taken, err = s.store(ctx, b, m, c)
		return true, err
	})
	if !done.taken {
		c.release()
	}
	if err != nil {
		return queue.Stored{}, err
	}
	return done.Stored, nil
}

// keepPace waits while the index is too far behind: memory must not grow with the backlog. Who waits has not read the body yet.
func (s *Store) keepPace(ctx context.Context) error {
	if !s.behind.Load() {
		return nil
	}
	stop := context.AfterFunc(ctx, s.goOn)
	defer stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.messages) > s.tooFar && s.stuck == nil {
		if err := s.usable(ctx); err != nil {
			return err
		}
		if err := s.log.failed(); err != nil {
			return err // no checkpoint passes any more
		}
		s.passed.Wait()
	}
	if s.stuck != nil && len(s.messages) > s.tooFar {
		return fmt.Errorf("%w: %w", queue.ErrFull, s.stuck)
	}
	return s.usable(ctx) // Close makes room, too
}

// goOn lets those who wait in keepPace look again.
func (s *Store) goOn() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.passed.Broadcast()
}

// store stores a message, unless its key is known, and says whether the log has taken the content.
func (s *Store) store(ctx context.Context, b *queue.Batch, m *meta, c *content) (_ queue.Stored, taken bool, err error) {
	if err := s.usable(ctx); err != nil {
		return queue.Stored{}, false, err
	}
	if b.Key != "" {
		if stored, known, err := s.known(b); known || err != nil {
			return stored, false, err
		}
	}
	if err := s.log.ensure(c.head.size(), false); err != nil {
		return queue.Stored{}, false, err
	}
	seq := s.seq + 1
	c.head.kind, c.head.seq, c.head.event = putRecord, seq, s.eventSeq
	at, err := s.log.append(c, s.counters())
	if err != nil {
		return queue.Stored{}, false, err
	}
	s.put(newMessage(seq, at, m))
	return queue.Stored{Message: s.id(seq)}, true, s.broken
}

// put takes in a new message, with its events.
func (s *Store) put(m *message) {
	s.add(m)
	for n := range m.items {
		s.event(m, n, m.meta.created)
		s.wake(&m.items[n])
	}
}

// begin says early that a call cannot be served; under mu it must be asked again. A call that can be waits for nothing here.
func (s *Store) begin(ctx context.Context) error {
	if !s.unusable.Load() {
		return ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.usable(ctx)
}

// known looks for a key.
func (s *Store) known(b *queue.Batch) (queue.Stored, bool, error) {
	m, err := s.byKey(b.Tenant, b.Key)
	switch {
	case err != nil || m == nil:
		return queue.Stored{}, false, err
	case string(m.print) != string(hashPrint(b.Fingerprint)):
		return queue.Stored{}, false, queue.ErrKeyConflict
	}
	return queue.Stored{Message: s.id(m.seq), Known: true}, true, nil
}

func (s *Store) byKey(tenant, key string) (*message, error) {
	hash := hashKey(tenant, key)
	if seq, ok := s.keys[string(hash)]; ok {
		return s.load(seq), s.broken
	}
	var seq uint64
	err := s.index.view(func(tx *bolt.Tx) error {
		switch v := tx.Bucket(keysBucket).Get(hash); {
		case len(v) == 8:
			seq = be.Uint64(v)
		case v != nil:
			return errCode
		}
		return nil
	})
	if err != nil {
		s.fail(err)
		return nil, err
	}
	if seq == 0 {
		return nil, nil
	}
	m := s.loadNamed(seq)
	if m != nil && string(m.key) != string(hash) {
		s.fail(fmt.Errorf("%w: key of message %d", errIndex, seq))
		return nil, s.broken
	}
	return m, s.broken
}

// metaOf is what never changes of a message. It shares no bytes with the batch.
func metaOf(b *queue.Batch) (*meta, error) {
	m := &meta{created: micros(b.Now), key: b.Key, fingerprint: b.Fingerprint, tenant: b.Tenant, priority: b.Priority,
		keep: keepFor(b.Keep), common: bytes.Clone(b.Common), items: make([]metaItem, len(b.Items))}
	for n := range b.Items {
		i := &b.Items[n]
		if len(b.Tenant)+len(i.Lane) > longestName {
			return nil, fmt.Errorf("%w: tenant and lane of item %d are longer than %d bytes", queue.ErrInvalid, n, longestName)
		}
		m.items[n] = metaItem{to: i.To, lane: i.Lane, meta: bytes.Clone(i.Meta), due: micros(i.Due), expires: micros(i.Expires)}
	}
	if m.size() > largestMeta {
		return nil, fmt.Errorf("%w: too many bytes beside the body", queue.ErrInvalid)
	}
	return m, nil
}
