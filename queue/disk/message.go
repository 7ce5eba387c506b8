package disk

import (
	"crypto/sha256"
	"encoding/binary"
	"hash/crc32"
	"strconv"
	"time"

	"github.com/postrider/postrider/queue"
)

// message is what can change of a message, and what the schedule needs. The rest, its meta, is in the log.
type message struct {
	seq      uint64
	at       place
	tenant   string
	priority queue.Priority
	lanes    []string
	keep     int64
	key      []byte // hash of tenant and key; nil: none
	print    []byte // hash of the fingerprint
	open     int    // items that have not ended
	unacked  int    // events
	ended    int64
	gone     bool // the body is
	damaged  bool
	items    []item

	// Not stored:
	meta      *meta // nil: in the log
	forgotten bool
	stored    bool     // the index has it, or will have with the checkpoint that is being made
	version   uint64   // of the last change
	stands    standing // now
	indexed   standing // in the index
}

type item struct {
	lane     int // in message.lanes
	state    uint8
	attempts int
	due      int64
	until    int64
	expires  int64
	token    uint64
	note     []byte
}

// ready is from when on the item can be claimed.
func (i *item) ready() (int64, bool) {
	return max(i.due, i.until), i.state == waiting || i.state == leased
}

func (i *item) ended() bool { return i.state >= delivered }

// meta is what never changes of a message.
type meta struct {
	created     int64
	key         string
	fingerprint string
	tenant      string
	priority    queue.Priority
	keep        int64
	common      []byte
	items       []metaItem
}

type metaItem struct {
	to, lane     string
	meta         []byte
	due, expires int64
}

// size is no less than the bytes that encode writes.
func (m *meta) size() int {
	n := 80 + len(m.key) + len(m.fingerprint) + len(m.tenant) + len(m.common)
	for k := range m.items {
		i := &m.items[k]
		n += 50 + len(i.to) + len(i.lane) + len(i.meta)
	}
	return n
}

func (m *meta) encode(w *writer) {
	w.int(m.created)
	w.string(m.key)
	w.string(m.fingerprint)
	w.string(m.tenant)
	w.int(int64(m.priority))
	w.int(m.keep)
	w.bytes(m.common)
	w.uint(uint64(len(m.items)))
	for _, i := range m.items {
		w.string(i.to)
		w.string(i.lane)
		w.bytes(i.meta)
		w.int(i.due)
		w.int(i.expires)
	}
}

// decodeMeta reads a meta. Its byte slices are parts of b.
func decodeMeta(b []byte) (*meta, error) { r := reader{b: b}; m := r.meta(); return m, r.err }

func (r *reader) meta() *meta {
	m := &meta{created: r.int(), key: r.string(), fingerprint: r.string(), tenant: r.string(), priority: queue.Priority(r.int()),
		keep: r.int(), common: r.bytes()}
	if m.priority < queue.Bulk || m.priority > queue.Urgent {
		r.fail()
	}
	m.items = make([]metaItem, r.count())
	for n := range m.items {
		m.items[n] = metaItem{to: r.string(), lane: r.string(), meta: r.bytes(), due: r.int(), expires: r.int()}
	}
	return m
}

// alone is a message with the room that one item needs, as most have: one object for the garbage collector instead of three.
type alone struct {
	message
	items [1]item
	lanes [1]string
}

// newMessage is the message as it was put.
func newMessage(seq uint64, at place, m *meta) *message {
	a := new(alone)
	msg := &a.message
	*msg = message{seq: seq, at: at, tenant: m.tenant, priority: m.priority, keep: m.keep, ended: never, meta: m,
		open: len(m.items), items: a.items[:], lanes: a.lanes[:0]}
	if len(m.items) > 1 {
		msg.items = make([]item, len(m.items))
	}
	if m.key != "" {
		msg.key, msg.print = hashKey(m.tenant, m.key), hashPrint(m.fingerprint)
	}
	var names map[string]int
	if len(m.items) > 1 {
		names = map[string]int{}
	}
	for n := range m.items {
		from := &m.items[n]
		lane, ok := names[from.lane]
		if !ok {
			lane = len(msg.lanes)
			if names != nil {
				names[from.lane] = lane
			}
			msg.lanes = append(msg.lanes, from.lane)
		}
		msg.items[n] = item{lane: lane, state: waiting, due: max(from.due, m.created), until: never, expires: from.expires}
	}
	return msg
}

func hashKey(tenant, key string) []byte {
	h := sha256.New()
	h.Write(binary.AppendUvarint(nil, uint64(len(tenant))))
	h.Write([]byte(tenant + key))
	return h.Sum(nil)
}

func hashPrint(f string) []byte { h := sha256.Sum256([]byte(f)); return h[:16] }

// encode writes the state, as the index and a moved record keep it. In the index the checksum begins with the number, so that no
// state is found under another: rot in a key of bbolt is not noticed by bbolt.
func (m *message) encode(w *writer, seed uint32) {
	start := len(*w)
	*w = append(*w, 0, 0, 0, 0)
	w.uint(m.at.segment)
	w.uint(uint64(m.at.off))
	w.uint(uint64(m.at.meta))
	w.uint(uint64(m.at.body))
	w.string(m.tenant)
	w.int(int64(m.priority))
	w.uint(uint64(len(m.lanes)))
	for _, l := range m.lanes {
		w.string(l)
	}
	w.int(m.keep)
	w.bytes(m.key)
	w.bytes(m.print)
	w.uint(uint64(m.open))
	w.uint(uint64(m.unacked))
	w.int(m.ended)
	w.flags(m.gone, m.damaged)
	w.uint(uint64(len(m.items)))
	for n := range m.items {
		i := &m.items[n]
		w.uint(uint64(i.lane))
		w.byte(i.state)
		w.uint(uint64(i.attempts))
		w.int(i.due)
		w.int(i.until)
		w.int(i.expires)
		w.uint(i.token)
		w.bytes(i.note)
	}
	binary.LittleEndian.PutUint32((*w)[start:], crc32.Update(seed, castagnoli, (*w)[start+4:]))
}

// decodeMessage reads a state; it copies what it keeps.
func decodeMessage(seq uint64, b []byte, seed uint32) (*message, error) {
	if len(b) < 4 || binary.LittleEndian.Uint32(b) != crc32.Update(seed, castagnoli, b[4:]) {
		return nil, errCode
	}
	r := reader{b: append([]byte(nil), b[4:]...)}
	m := &message{seq: seq}
	m.at = place{r.uint(), int64(r.uint()), uint32(r.uint()), uint32(r.uint())}
	m.tenant, m.priority = r.string(), queue.Priority(r.int())
	m.lanes = make([]string, r.count())
	for n := range m.lanes {
		m.lanes[n] = r.string()
	}
	m.keep, m.key, m.print = r.int(), r.bytes(), r.bytes()
	m.open, m.unacked, m.ended = int(r.uint()), int(r.uint()), r.int()
	f := r.byte()
	m.gone, m.damaged = f&1 != 0, f&2 != 0
	m.items = make([]item, r.count())
	for n := range m.items {
		m.items[n] = item{int(r.uint()), r.byte(), int(r.uint()), r.int(), r.int(), r.int(), r.uint(), r.bytes()}
		if m.items[n].lane >= len(m.lanes) || m.items[n].state == 0 || int(m.items[n].state) >= len(states) {
			r.fail()
		}
	}
	return m, r.err
}

// live are the bytes of the log that the message needs.
func (m *message) live() int64 {
	if m.forgotten {
		return 0
	}
	if m.gone {
		return align(headSize + int64(m.at.meta))
	}
	return m.at.size()
}

// roomOfChanges is the room of a setRecord without its changes.
const roomOfChanges = int64(headSize + 64)

// room is what a change of the item needs in a setRecord, with the note that it has.
func (i *item) room() int64 { return 80 + int64(len(i.note)) }

// room is what a setRecord needs that changes all items.
func (m *message) room() int64 {
	size := roomOfChanges
	for n := range m.items {
		size += m.items[n].room()
	}
	return size
}

// show is an item for the caller. Without its meta it has what is known.
func (s *Store) show(m *message, n int) queue.Item {
	i := &m.items[n]
	out := queue.Item{ID: queue.ID{Message: s.id(m.seq), N: n}, Lane: m.lanes[i.lane], Tenant: m.tenant, Priority: m.priority,
		State: states[i.state], Attempts: i.attempts, Due: timeOf(i.due), Expires: timeOf(i.expires), Until: timeOf(i.until), Note: i.note}
	if m.meta != nil && n < len(m.meta.items) {
		from := &m.meta.items[n]
		out.To, out.Meta, out.Common = from.to, from.meta, m.meta.common
		out.Key, out.Created = m.meta.key, timeOf(m.meta.created)
	}
	return out
}

func (s *Store) id(seq uint64) string {
	var room [64]byte
	return string(strconv.AppendUint(append(room[:0], s.prefix...), seq, 10))
}

func keepFor(d time.Duration) int64 { return max(d.Microseconds(), 0) }
