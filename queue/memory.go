package queue

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Memory is a Store that lasts as long as the process: for tests, and for mail that may be lost with it. The zero value
// is ready. It must not be copied.
type Memory struct {
	// Limit bounds the bytes kept: bodies, the callers' bytes, and 1 KB for each item. A Put over it is
	// ErrFull. Zero: no limit.
	Limit int64

	mu       sync.Mutex
	closed   bool
	prefix   string // of message ids, so that those of two stores differ
	seq      uint64
	used     int64
	order    []slot // by seq
	gone     int    // number of slots whose message was forgotten
	kept     int    // number of messages without a body: others need not be looked at to forget some
	byID     map[string]*message
	byKey    map[[2]string]*message
	tokens   uint64
	events   []Event
	eventSeq uint64
	outbox   time.Time // until then the oldest events are in somebody's hands
	sched    schedule
	next     waiters
}

type slot struct {
	seq uint64
	msg *message // nil: forgotten
}

type message struct {
	Batch
	id      string
	seq     uint64
	size    int64 // counted in Memory.used beside the body
	body    []byte
	gone    bool // the body is
	items   []*memItem
	open    int // items that have not ended
	unacked int
	ended   time.Time
	damaged bool
}

// memItem is an item and its places in the schedule.
type memItem struct {
	Item
	msg   *message
	token string    // empty: none
	ready time.Time // rule 7: it can be claimed from then on
	group *group    // nil: not due

	inReady, inExpiry spot
	inGroup           int
}

// Put stores a message.
func (m *Memory) Put(ctx context.Context, b *Batch) (Stored, error) {
	if err := m.usable(ctx); err != nil {
		return Stored{}, err
	}
	if b == nil || len(b.Items) == 0 || b.Body == nil || b.Priority < Bulk || b.Priority > Urgent {
		return Stored{}, fmt.Errorf("%w: a batch needs items, a body and a known priority", ErrInvalid)
	}
	if s, known, err := m.known(b); known || err != nil {
		return s, err
	}
	s := share{of: m}
	defer s.give() // the body may panic
	body, err := readBody(b.Body, s.take)
	if err != nil {
		return Stored{}, err
	}
	s.give()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return Stored{}, ErrClosed
	}
	if s, known, err := m.knownLocked(b); known || err != nil {
		return s, err
	}
	msg := newMessage(b, body)
	if m.Limit > 0 && m.used+msg.size+int64(len(body)) > m.Limit {
		return Stored{}, ErrFull
	}
	m.add(msg)
	return Stored{Message: msg.id}, nil
}

func (m *Memory) usable(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return ErrClosed
	}
	return ctx.Err()
}

func (m *Memory) known(b *Batch) (Stored, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.knownLocked(b)
}

func (m *Memory) knownLocked(b *Batch) (Stored, bool, error) {
	first := m.byKey[[2]string{b.Tenant, b.Key}]
	switch {
	case b.Key == "" || first == nil:
		return Stored{}, false, nil
	case first.Fingerprint != b.Fingerprint:
		return Stored{}, false, ErrKeyConflict
	}
	return Stored{Message: first.id, Known: true}, true, nil
}

func newMessage(b *Batch, body []byte) *message {
	msg := &message{Batch: *b, body: body, open: len(b.Items), size: int64(len(b.Common))}
	msg.Body, msg.Now, msg.Keep = nil, b.Now.Round(0), max(b.Keep, 0)
	msg.Common = append([]byte(nil), b.Common...)
	items := make([]memItem, len(b.Items))
	msg.items = make([]*memItem, len(b.Items))
	for n, from := range b.Items {
		msg.size += 1024 + int64(len(from.Meta)+len(from.To))
		due := from.Due.Round(0)
		if due.Before(msg.Now) {
			due = msg.Now
		}
		items[n] = memItem{msg: msg, Item: Item{
			Lane: from.Lane, To: from.To, Meta: append([]byte(nil), from.Meta...), Common: msg.Common,
			Key: b.Key, Tenant: b.Tenant, Priority: b.Priority, Created: msg.Now,
			State: Waiting, Due: due, Expires: from.Expires.Round(0),
		}}
		msg.items[n] = &items[n]
	}
	msg.Items = nil
	return msg
}

func (m *Memory) add(msg *message) {
	if m.byID == nil {
		m.byID, m.byKey = map[string]*message{}, map[[2]string]*message{}
		var p [4]byte
		rand.Read(p[:])
		m.prefix = hex.EncodeToString(p[:]) + "-"
	}
	m.seq++
	msg.seq, msg.id = m.seq, m.prefix+strconv.FormatUint(m.seq, 10)
	m.used += msg.size + int64(len(msg.body))
	m.order = append(m.order, slot{msg.seq, msg})
	m.byID[msg.id] = msg
	if msg.Key != "" {
		m.byKey[[2]string{msg.Tenant, msg.Key}] = msg
	}
	if msg.Now.After(m.sched.ready.horizon) {
		m.sched.advance(msg.Now) // else a claim would have to, for all that was put since the last
	}
	for n, i := range msg.items {
		i.ID = ID{msg.id, n}
		m.reschedule(i)
		m.event(i, msg.Now)
	}
}

// reschedule puts an item where its state and times want it, and wakes those who wait for that.
func (m *Memory) reschedule(i *memItem) {
	if m.arrange(i) {
		m.next.ready(i.ready)
		m.next.ready(i.Expires)
	}
}

// arrange puts an item where its state and times want it, and says whether it has a place.
func (m *Memory) arrange(i *memItem) bool {
	m.sched.remove(i)
	if i.State != Waiting && i.State != Leased {
		return false
	}
	i.ready = i.Due // which is not before Until: rules 8 and 17
	m.sched.add(i)
	return true
}

// Open gives a body.
func (m *Memory) Open(ctx context.Context, id string) (Body, error) {
	if err := m.usable(ctx); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	msg := m.byID[id]
	if msg == nil || msg.gone {
		return nil, ErrNotFound
	}
	return Bytes(msg.body), nil
}

// Close drops everything.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	m.order, m.byID, m.byKey, m.events, m.sched = nil, nil, nil, nil, schedule{}
	m.next.wake()
	return nil
}

// settled is called when a message may have become ready to go: rule 24.
func (m *Memory) settled(msg *message) {
	if msg.open > 0 || msg.unacked > 0 || msg.gone {
		return
	}
	m.used -= int64(len(msg.body))
	msg.body, msg.gone = nil, true
	m.kept++
	if msg.Keep <= 0 && !msg.damaged {
		m.forget(msg)
	}
}

func (m *Memory) forget(msg *message) {
	m.used -= msg.size
	m.kept--
	delete(m.byID, msg.id)
	if msg.Key != "" {
		delete(m.byKey, [2]string{msg.Tenant, msg.Key})
	}
	m.order[m.position(msg.seq)].msg = nil
	if m.gone++; m.gone > 64 && m.gone > len(m.order)/2 {
		kept := make([]slot, 0, len(m.order)-m.gone)
		for _, s := range m.order {
			if s.msg != nil {
				kept = append(kept, s)
			}
		}
		m.order, m.gone = kept, 0
	}
}

// position is where the first slot of that seq or a later one stands in order.
func (m *Memory) position(seq uint64) int {
	return sort.Search(len(m.order), func(i int) bool { return m.order[i].seq >= seq })
}

// seqOf reads a message id of this store.
func (m *Memory) seqOf(id string) (uint64, error) {
	n, ok := strings.CutPrefix(id, m.prefix)
	seq, err := strconv.ParseUint(n, 10, 64)
	if !ok || err != nil || m.prefix == "" {
		return 0, fmt.Errorf("%w: %q is not an id of this store", ErrInvalid, id)
	}
	return seq, nil
}
