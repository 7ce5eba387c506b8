package disk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/postrider/postrider/queue"
	bolt "go.etcd.io/bbolt"
)

// index is what the log amounts to up to a position: the checkpoint, in a bbolt file.
//
//	messages  number → state
//	lanes     priority, tenant, lane, time, number → checksum of that: the schedule
//	times     kind, time, number → checksum of that: when things come up by themselves
//	keys      hash of tenant and key → number
//	events    number of the last → run of events
//	position  "position" → checkpoint
type index struct {
	db   *bolt.DB
	path string
}

var buckets = [][]byte{[]byte("messages"), []byte("lanes"), []byte("times"), []byte("keys"), []byte("events"), []byte("position")}

var (
	messagesBucket, lanesBucket, timesBucket = buckets[0], buckets[1], buckets[2]
	keysBucket, eventsBucket, positionBucket = buckets[3], buckets[4], buckets[5]
)

var errIndex = errors.New("disk: the index is damaged")

// firstMap is how much of the file's address space bbolt takes at once: when the file outgrows it, bbolt copies all that a
// transaction has read. On Windows the file would be as large.
var firstMap = func() int {
	if bits.UintSize < 64 || runtime.GOOS == "windows" {
		return 0
	}
	return 1 << 28
}()

func openIndex(path string, noSync bool) (x *index, err error) {
	defer guard(&err)()
	if err := sound(path); err != nil {
		return nil, err
	}
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Second, FreelistType: bolt.FreelistMapType, NoSync: noSync,
		InitialMmapSize: firstMap})
	if err != nil {
		return nil, err
	}
	err = db.Update(func(tx *bolt.Tx) error {
		found := 0
		tx.ForEach(func([]byte, *bolt.Bucket) error { found++; return nil })
		for _, b := range buckets {
			if found > 0 && tx.Bucket(b) == nil || found > len(buckets) {
				return fmt.Errorf("%w: of its buckets some are missing or strange", errIndex)
			}
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
	return &index{db, path}, nil
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

// view reads. Every error is one of the index: what it says cannot be read.
func (x *index) view(f func(tx *bolt.Tx) error) (err error) {
	defer guard(&err)()
	if err := x.db.View(f); err != nil {
		return fmt.Errorf("%w: %w", errIndex, err)
	}
	return nil
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
	return l.appendPrefix(make([]byte, 0, 5+len(l.tenant)+len(l.lane)))
}

func (l laneName) appendPrefix(b []byte) []byte {
	b = append(b, byte(l.priority-queue.Bulk))
	b = append(binary.BigEndian.AppendUint16(b, uint16(len(l.tenant))), l.tenant...)
	return append(binary.BigEndian.AppendUint16(b, uint16(len(l.lane))), l.lane...)
}

func laneKey(prefix []byte, t int64, seq uint64) []byte {
	return appendAt(append(make([]byte, 0, len(prefix)+16), prefix...), t, seq)
}

// appendAt appends the last 16 bytes of a key.
func appendAt(b []byte, t int64, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, ordinal(t)), seq)
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

// keySum is the value of an entry that is all key.
func keySum(k []byte) []byte { return binary.LittleEndian.AppendUint32(nil, checksum(k)) }

// checkKey says whether an entry is as it was written.
func checkKey(k, v []byte) error {
	if len(v) != 4 || binary.LittleEndian.Uint32(v) != checksum(k) {
		return errCode
	}
	return nil
}

func timeKey(at spot) []byte {
	return appendAt(append(make([]byte, 0, 17), at.kind), at.t, at.id)
}

// times gives the times of one kind after a spot, until f returns false.
func (x *index) times(after spot, f func(at spot) bool) error {
	return x.view(func(tx *bolt.Tx) error {
		c := tx.Bucket(timesBucket).Cursor()
		for k, v := c.Seek(timeKey(after)); k != nil; k, v = c.Next() {
			if err := checkKey(k, v); err != nil {
				return err
			}
			if len(k) != 17 || k[0] != after.kind {
				return nil
			}
			if at := readAt(after.kind, k[1:]); at.after(after) && !f(at) {
				return nil
			}
		}
		return nil
	})
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
	m, err := decodeMessage(seq, v, seed(seq))
	if err != nil {
		return nil, fmt.Errorf("%w: message %d", errIndex, seq)
	}
	m.stored = true
	return m, nil
}

// change brings the entries of the messages of a snapshot to their new state. Keys are written in their order: that is
// what bbolt is fastest with.
func (x *index) change(tx *bolt.Tx, snap *snapshot) error {
	messages, keys := tx.Bucket(messagesBucket), tx.Bucket(keysBucket)
	messages.FillPercent = 0.9
	lanes, times := newEdits(len(snap.changed), 32), newEdits(len(snap.changed), 17)
	for k := range snap.changed {
		c := &snap.changed[k]
		lanes.lanes(c.m, &c.was, &c.stands)
		times.times(&c.was, &c.stands)
		fresh := c.was.entries == nil
		id := number(c.seq)
		var err error
		switch key := c.m.key; {
		case c.from < c.to:
			err = messages.Put(id, snap.states[c.from:c.to:c.to])
			if len(key) > 0 && fresh && err == nil {
				err = keys.Put(key, id)
			}
		case !fresh:
			err = messages.Delete(id)
			if len(key) > 0 && bytes.Equal(keys.Get(key), id) && err == nil {
				err = keys.Delete(key)
			}
		}
		if err != nil {
			return err
		}
	}
	times.bucket, lanes.bucket = tx.Bucket(timesBucket), tx.Bucket(lanesBucket)
	times.bucket.FillPercent = 0.9
	return errors.Join(lanes.make(), times.make())
}
