package disk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/postrider/postrider/queue"
	bolt "go.etcd.io/bbolt"
)

// index is what the log amounts to up to a position: the checkpoint, in a bbolt file.
//
//	messages  number → state
//	lanes     priority, tenant, lane, time, number → nothing: the schedule
//	times     kind, time, number → nothing: when things come up by themselves
//	keys      hash of tenant and key → number
//	events    number → event
//	position  "position" → checkpoint
type index struct{ db *bolt.DB }

var buckets = [][]byte{[]byte("messages"), []byte("lanes"), []byte("times"), []byte("keys"), []byte("events"), []byte("position")}

var (
	messagesBucket, lanesBucket, timesBucket = buckets[0], buckets[1], buckets[2]
	keysBucket, eventsBucket, positionBucket = buckets[3], buckets[4], buckets[5]
)

var errIndex = errors.New("disk: the index is damaged")

func openIndex(path string, noSync bool) (x *index, err error) {
	defer guard(&err)()
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Second, FreelistType: bolt.FreelistMapType, NoSync: noSync})
	if err != nil {
		return nil, err
	}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, b := range buckets {
			if _, err := tx.CreateBucketIfNotExists(b); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		db.Close()
		return nil, err
	}
	return &index{db}, nil
}

// guard turns a panic of the index into an error: bbolt trusts its file, and panics where it lies.
func guard(err *error) func() {
	before := debug.SetPanicOnFault(true)
	return func() {
		debug.SetPanicOnFault(before)
		if p := recover(); p != nil {
			*err = fmt.Errorf("%w: %v", errIndex, p)
		}
	}
}

func (x *index) view(f func(tx *bolt.Tx) error) (err error) {
	defer guard(&err)()
	return x.db.View(f)
}

func (x *index) update(f func(tx *bolt.Tx) error) (err error) {
	defer guard(&err)()
	return x.db.Update(f)
}

func (x *index) close() (err error) {
	defer guard(&err)()
	return x.db.Close()
}

func number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func ordinal(t int64) uint64 { return uint64(t) ^ 1<<63 }

// laneName tells a lane: the same lane of two tenants or priorities is two.
type laneName struct {
	priority     queue.Priority
	tenant, lane string
}

func (l laneName) prefix() []byte {
	b := append(make([]byte, 0, 32+len(l.tenant)+len(l.lane)), byte(l.priority-queue.Bulk))
	b = append(binary.BigEndian.AppendUint16(b, uint16(len(l.tenant))), l.tenant...)
	return append(binary.BigEndian.AppendUint16(b, uint16(len(l.lane))), l.lane...)
}

func laneKey(prefix []byte, t int64, seq uint64) []byte {
	b := binary.BigEndian.AppendUint64(append([]byte(nil), prefix...), ordinal(t))
	return binary.BigEndian.AppendUint64(b, seq)
}

// readLaneKey is the reverse of laneKey.
func readLaneKey(k []byte) (l laneName, prefix []byte, at spot, ok bool) {
	rest := k
	field := func() (s string) {
		if ok = len(rest) >= 2; !ok {
			return ""
		}
		n := int(binary.BigEndian.Uint16(rest))
		if ok = len(rest) >= 2+n; !ok {
			return ""
		}
		s, rest = string(rest[2:2+n]), rest[2+n:]
		return s
	}
	if len(k) == 0 || k[0] > 2 {
		return l, nil, at, false
	}
	l.priority, rest = queue.Priority(k[0])+queue.Bulk, rest[1:]
	if l.tenant = field(); !ok {
		return l, nil, at, false
	}
	if l.lane = field(); !ok || len(rest) != 16 {
		return l, nil, at, false
	}
	return l, k[:len(k)-16], readAt(0, rest), true
}

// readAt reads the last 16 bytes of a key.
func readAt(kind uint8, b []byte) spot {
	return spot{kind, int64(binary.BigEndian.Uint64(b) ^ 1<<63), binary.BigEndian.Uint64(b[8:])}
}

func timeKey(at spot) []byte {
	b := binary.BigEndian.AppendUint64([]byte{at.kind}, ordinal(at.t))
	return binary.BigEndian.AppendUint64(b, at.id)
}

// keys are all keys of a message in the lanes and times buckets.
func (m *message) keys() (lanes, times [][]byte) {
	for n, t := range m.schedule() {
		if t != never {
			lanes = append(lanes, laneKey(laneName{m.priority, m.tenant, m.lanes[n]}.prefix(), t, m.seq))
		}
	}
	for _, at := range m.moments() {
		times = append(times, timeKey(at))
	}
	return lanes, times
}

// message reads a message, nil if there is none.
func (x *index) message(seq uint64) (m *message, err error) {
	err = x.view(func(tx *bolt.Tx) error {
		m, err = readMessage(tx.Bucket(messagesBucket), seq)
		return err
	})
	return m, err
}

func readMessage(b *bolt.Bucket, seq uint64) (*message, error) {
	v := b.Get(number(seq))
	if v == nil {
		return nil, nil
	}
	m, err := decodeMessage(seq, v)
	if err != nil {
		return nil, fmt.Errorf("%w: message %d", errIndex, seq)
	}
	m.stored = true
	return m, nil
}

// change brings the entry of a message in the index to its new state; nil: it is forgotten.
func (x *index) change(tx *bolt.Tx, seq uint64, state []byte) error {
	messages, lanes, times, keys := tx.Bucket(messagesBucket), tx.Bucket(lanesBucket), tx.Bucket(timesBucket), tx.Bucket(keysBucket)
	messages.FillPercent, times.FillPercent = 0.9, 0.9
	old, err := readMessage(messages, seq)
	if err != nil {
		return err
	}
	var oldLanes, oldTimes, newLanes, newTimes [][]byte
	if old != nil {
		oldLanes, oldTimes = old.keys()
	}
	if state == nil {
		if old == nil {
			return nil
		}
		if err = messages.Delete(number(seq)); err == nil && len(old.key) > 0 && bytes.Equal(keys.Get(old.key), number(seq)) {
			err = keys.Delete(old.key)
		}
	} else {
		m, e := decodeMessage(seq, state)
		if e != nil {
			return e
		}
		newLanes, newTimes = m.keys()
		if err = messages.Put(number(seq), state); err == nil && len(m.key) > 0 && old == nil {
			err = keys.Put(m.key, number(seq))
		}
	}
	return errors.Join(err, exchange(lanes, oldLanes, newLanes), exchange(times, oldTimes, newTimes))
}

// exchange takes the old keys out of a bucket and puts the new ones in.
func exchange(b *bolt.Bucket, before, after [][]byte) error {
	if len(before) == 1 && len(after) == 1 && bytes.Equal(before[0], after[0]) {
		return nil
	}
	for _, k := range before {
		if err := b.Delete(k); err != nil {
			return err
		}
	}
	for _, k := range after {
		if err := b.Put(k, nil); err != nil {
			return err
		}
	}
	return nil
}
