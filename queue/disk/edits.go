package disk

import (
	"bytes"
	"slices"

	bolt "go.etcd.io/bbolt"
)

// edits are keys to put into a bucket, and to take out of it.
type edits struct {
	bucket *bolt.Bucket
	all    []edit
	b      []byte // the keys, one behind the other
}

type edit struct {
	from, to int // in edits.b
	out      bool
}

// newEdits has room for one key of each message, or two.
func newEdits(messages, key int) *edits {
	return &edits{all: make([]edit, 0, 2*messages), b: make([]byte, 0, 2*messages*key)}
}

// end notes that the key that began there is whole.
func (e *edits) end(from int, out bool) { e.all = append(e.all, edit{from, len(e.b), out}) }

// lanes notes how the entries of a message in its lanes change.
func (e *edits) lanes(m *message, was, now *standing) {
	for n, name := range m.lanes {
		before, after := int64(never), int64(never)
		if was.entries != nil {
			before = was.entries[n]
		}
		if after = now.entries[n]; before == after {
			continue
		}
		lane := laneName{m.priority, m.tenant, name}
		if before != never {
			from := len(e.b)
			e.b = appendAt(lane.appendPrefix(e.b), before, m.seq)
			e.end(from, true)
		}
		if after != never {
			from := len(e.b)
			e.b = appendAt(lane.appendPrefix(e.b), after, m.seq)
			e.end(from, false)
		}
	}
}

// times notes how the times of a message change.
func (e *edits) times(was, now *standing) {
	if slices.Equal(was.times, now.times) {
		return
	}
	for _, at := range was.times {
		e.time(at, true)
	}
	for _, at := range now.times {
		e.time(at, false)
	}
}

func (e *edits) time(at spot, out bool) {
	from := len(e.b)
	e.b = appendAt(append(e.b, at.kind), at.t, at.id)
	e.end(from, out)
}

// make makes the edits, in the order of the keys; what is taken out first may be put in again.
func (e *edits) make() error {
	slices.SortStableFunc(e.all, func(a, b edit) int { return bytes.Compare(e.b[a.from:a.to], e.b[b.from:b.to]) })
	for _, k := range e.all {
		var err error
		if key := e.b[k.from:k.to:k.to]; k.out {
			err = e.bucket.Delete(key)
		} else {
			err = e.bucket.Put(key, keySum(key))
		}
		if err != nil {
			return err
		}
	}
	return nil
}
