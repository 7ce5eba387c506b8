package disk

import (
	"bytes"
	"encoding/binary"
)

// event is a queue.Event without what can be found with the message.
type event struct {
	seq      uint64
	at       int64
	message  uint64
	n        int
	state    uint8
	attempts int
	due      int64
	note     []byte
}

// Events stand in the index in runs, under the number of the last.
const longestRun = 64

// encodeRun writes events, with a checksum before them.
func encodeRun(w *writer, events []event) {
	start := len(*w)
	*w = append(*w, 0, 0, 0, 0)
	for k := range events {
		events[k].encode(w)
	}
	binary.LittleEndian.PutUint32((*w)[start:], checksum((*w)[start+4:]))
}

func (e *event) encode(w *writer) {
	w.uint(e.seq)
	w.int(e.at)
	w.uint(e.message)
	w.uint(uint64(e.n))
	w.byte(e.state)
	w.uint(uint64(e.attempts))
	w.int(e.due)
	w.bytes(e.note)
}

func decodeRun(b []byte) (all []event, err error) {
	if len(b) < 4 || binary.LittleEndian.Uint32(b) != checksum(b[4:]) {
		return nil, errCode
	}
	r := reader{b: bytes.Clone(b[4:])}
	for len(r.b) > 0 {
		e := event{r.uint(), r.int(), r.uint(), int(r.uint()), r.byte(), int(r.uint()), r.int(), r.bytes()}
		if int(e.state) >= len(states) {
			r.fail()
		}
		all = append(all, e)
	}
	return all, r.err
}
