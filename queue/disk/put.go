package disk

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/postrider/postrider/queue"
	bolt "go.etcd.io/bbolt"
)

// largest is the greatest body, and the greatest rest of a message.
const (
	largest     = 1 << 30
	largestMeta = 1 << 28
	longestName = 8 << 10 // of a tenant and a lane: they are keys of the index
)

// Put stores a message. Bodies of more than 1 GiB, and tenants and lanes of more than 8 KiB, are ErrInvalid.
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
		if known || err != nil {
			return s.answerKnown(ctx, stored, err)
		}
	}
	body, err := readBody(b.Body)
	if err != nil {
		return queue.Stored{}, err
	}
	m, err := metaOf(b)
	if err != nil {
		return queue.Stored{}, err
	}
	encoded := m.encode()
	if len(encoded) > largestMeta {
		return queue.Stored{}, fmt.Errorf("%w: too many bytes beside the body", queue.ErrInvalid)
	}
	if m, err = decodeMeta(encoded); err != nil {
		return queue.Stored{}, err
	}
	h := head{kind: putRecord, meta: uint32(len(encoded)), body: uint32(len(body)), metaCRC: checksum(encoded), bodyCRC: checksum(body)}
	stored, done, err := s.store(ctx, b, m, h, encoded, body)
	if err != nil || stored.Known {
		return s.answerKnown(ctx, stored, err)
	}
	return stored, wait(ctx, done)
}

// answerKnown answers that a key is known, when the message is durable.
func (s *Store) answerKnown(ctx context.Context, stored queue.Stored, err error) (queue.Stored, error) {
	if err == nil {
		err = wait(ctx, s.log.last())
	}
	if err != nil {
		return queue.Stored{}, err
	}
	return stored, nil
}

func (s *Store) store(ctx context.Context, b *queue.Batch, m *meta, h head, encoded, body []byte) (queue.Stored, *batch, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.messages) > tooFarBehind && s.stuck == nil && !s.closed && s.broken == nil {
		s.passed.Wait()
	}
	if err := s.usable(ctx); err != nil {
		return queue.Stored{}, nil, err
	}
	if s.stuck != nil && len(s.messages) > tooFarBehind {
		return queue.Stored{}, nil, fmt.Errorf("%w: %w", queue.ErrFull, s.stuck)
	}
	if b.Key != "" {
		if stored, known, err := s.known(b); known || err != nil {
			return stored, nil, err
		}
	}
	if err := s.log.ensure(h.size(), false); err != nil {
		return queue.Stored{}, nil, err
	}
	h.seq, h.event = s.seq+1, s.eventSeq
	at, done, err := s.log.append(h, encoded, body, s.counters())
	if err != nil {
		return queue.Stored{}, nil, err
	}
	s.put(newMessage(h.seq, at, m))
	return queue.Stored{Message: s.id(h.seq)}, done, s.broken
}

// put takes in a new message, with its events.
func (s *Store) put(m *message) {
	s.add(m)
	for n := range m.items {
		s.event(m, n, m.meta.created)
	}
}

func (s *Store) begin(ctx context.Context) error {
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
		if v := tx.Bucket(keysBucket).Get(hash); len(v) == 8 {
			seq = be.Uint64(v)
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
	return s.load(seq), s.broken
}

func metaOf(b *queue.Batch) (*meta, error) {
	m := &meta{created: micros(b.Now), key: b.Key, fingerprint: b.Fingerprint, tenant: b.Tenant, priority: b.Priority,
		keep: keepFor(b.Keep), common: b.Common, items: make([]metaItem, len(b.Items))}
	for n := range b.Items {
		i := &b.Items[n]
		if len(b.Tenant)+len(i.Lane) > longestName {
			return nil, fmt.Errorf("%w: tenant and lane of item %d are longer than %d bytes", queue.ErrInvalid, n, longestName)
		}
		m.items[n] = metaItem{to: i.To, lane: i.Lane, meta: i.Meta, due: micros(i.Due), expires: micros(i.Expires)}
	}
	return m, nil
}

// readBody reads a body whole: its checksum must be known before the first byte is written.
func readBody(b queue.Body) ([]byte, error) {
	size := b.Size()
	if size > largest {
		return nil, fmt.Errorf("%w: the body is larger than 1 GiB", queue.ErrInvalid)
	}
	r, err := b.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if size < 0 {
		body, err := io.ReadAll(io.LimitReader(r, largest+1))
		if err == nil && len(body) > largest {
			err = fmt.Errorf("%w: the body is larger than 1 GiB", queue.ErrInvalid)
		}
		return body, err
	}
	body := make([]byte, size)
	_, err = io.ReadFull(r, body)
	if err == nil {
		var more [1]byte
		_, err = io.ReadFull(r, more[:])
		if err == io.EOF {
			return body, nil
		}
	} else if err != io.EOF && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	if err != nil && err != io.EOF && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	return nil, fmt.Errorf("%w: the body does not have the %d bytes it announced", queue.ErrInvalid, size)
}
