package disk

import (
	"encoding/binary"
	"errors"
	"math"
	"time"

	"github.com/postrider/postrider/queue"
)

// never is the zero time.
const never = math.MinInt64

// micros are the times of the store: microseconds since 1970.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return never
	}
	return t.UnixMicro()
}

func timeOf(us int64) time.Time {
	if us == never {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// states are written as their index.
var states = []queue.State{"", queue.Waiting, queue.Leased, queue.Held,
	queue.Delivered, queue.Failed, queue.Expired, queue.Cancelled, queue.Damaged}

const (
	waiting = 1 + iota
	leased
	held
	delivered
	failed
	expired
	cancelled
	damaged
)

func stateOf(s queue.State) uint8 {
	for n, known := range states {
		if s == known {
			return uint8(n)
		}
	}
	return 0
}

// writer appends fields to bytes.
type writer []byte

func (w *writer) uint(v uint64)   { *w = binary.AppendUvarint(*w, v) }
func (w *writer) int(v int64)     { *w = binary.AppendVarint(*w, v) }
func (w *writer) bytes(b []byte)  { w.uint(uint64(len(b))); *w = append(*w, b...) }
func (w *writer) string(s string) { w.uint(uint64(len(s))); *w = append(*w, s...) }
func (w *writer) byte(b byte)     { *w = append(*w, b) }
func (w *writer) flags(f ...bool) { w.byte(pack(f)) }

func pack(f []bool) (b byte) {
	for n, set := range f {
		if set {
			b |= 1 << n
		}
	}
	return b
}

var errCode = errors.New("disk: a record makes no sense")

// reader takes fields from bytes. After the first that is not there it yields zeros, and err is set.
type reader struct {
	b   []byte
	err error
}

func (r *reader) uint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) int() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

// bytes are a part of what is read, not a copy.
func (r *reader) bytes() []byte {
	n := r.uint()
	if n > uint64(len(r.b)) {
		r.fail()
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) string() string { return string(r.bytes()) }

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail()
		return 0
	}
	b := r.b[0]
	r.b = r.b[1:]
	return b
}

// count reads the number of things that follow, of at least one byte each.
func (r *reader) count() int {
	n := r.uint()
	if n > uint64(len(r.b)) {
		r.fail()
		return 0
	}
	return int(n)
}

func (r *reader) fail() { r.b, r.err = nil, errCode }
