package disk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// A record in a segment, at a multiple of 8:
//
//	 0  4  CRC-32C of the bytes 4 to 48, begun with the segment's number: what an earlier use of the
//	       file left is no record
//	 4  1  type
//	 5  3  magic
//	 8  4  length of meta
//	12  4  CRC-32C of meta
//	16  4  length of body
//	20  4  CRC-32C of body
//	24  8  number of the message (put, move)
//	32  8  number of the first event it makes
//	40  4  where the segment was durable up to when this was written
//	44  4  0
//	48     meta, body, up to 7 zeros
const headSize = 48

var be = binary.BigEndian

type kind uint8

const (
	putRecord    kind = 1 + iota // meta: what never changes; body
	moveRecord                   // like put, and the state: it stands in place of all before
	setRecord                    // new states of items
	ackRecord                    // events up to a number are acknowledged
	forgetRecord                 // messages
)

var magic = [3]byte{'p', 'r', 'q'}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// head is a record's head.
type head struct {
	kind             kind
	meta, body       uint32
	metaCRC, bodyCRC uint32
	seq, event       uint64
	synced           uint32
}

func (h *head) size() int64 { return align(headSize + int64(h.meta) + int64(h.body)) }

func align(n int64) int64 { return (n + 7) &^ 7 }

func seed(segment uint64) uint32 {
	return checksum(binary.LittleEndian.AppendUint64(nil, segment))
}

func (h *head) write(b []byte, segment uint64) {
	b[4] = byte(h.kind)
	copy(b[5:8], magic[:])
	le := binary.LittleEndian
	le.PutUint32(b[8:], h.meta)
	le.PutUint32(b[12:], h.metaCRC)
	le.PutUint32(b[16:], h.body)
	le.PutUint32(b[20:], h.bodyCRC)
	le.PutUint64(b[24:], h.seq)
	le.PutUint64(b[32:], h.event)
	le.PutUint32(b[40:], h.synced)
	le.PutUint32(b[44:], 0)
	le.PutUint32(b, crc32.Update(seed(segment), castagnoli, b[4:headSize]))
}

// readHead says whether b begins with the head of a record of the segment.
func readHead(b []byte, segment uint64) (h head, ok bool) {
	if len(b) < headSize || [3]byte(b[5:8]) != magic {
		return h, false
	}
	le := binary.LittleEndian
	if le.Uint32(b) != crc32.Update(seed(segment), castagnoli, b[4:headSize]) {
		return h, false
	}
	return head{kind: kind(b[4]), meta: le.Uint32(b[8:]), metaCRC: le.Uint32(b[12:]), body: le.Uint32(b[16:]),
		bodyCRC: le.Uint32(b[20:]), seq: le.Uint64(b[24:]), event: le.Uint64(b[32:]), synced: le.Uint32(b[40:])}, true
}

// errRead: the medium does not give what it holds. That is not damage: it may give it the next time.
var errRead = errors.New("disk: reading failed")

// readPart reads what a file has there: all of b, or less at its end.
func readPart(f file, b []byte, off int64) (n int, err error) {
	n, err = f.ReadAt(b, off)
	if n == len(b) || err == io.EOF {
		return n, nil
	}
	return n, fmt.Errorf("%w: %d bytes at %d: %w", errRead, len(b), off, err)
}

// A segment begins with a page of its own:
//
//	 0  4  CRC-32C of the bytes 4 to 72
//	 4  4  magic and version
//	 8  8  the spool's name
//	16  8  number; 0: free
//	24  8  where the segment before it ended, all durable
//	32  8  number of the oldest segment that was in use
//	40  8  the counters at its beginning: messages, events, acknowledged events, tokens
const (
	pageSize    = 4096
	titleLength = 72
)

var titleMagic = [4]byte{'p', 'r', 'l', 1}

type title struct {
	spool        uint64
	number       uint64
	previous     uint64
	oldest       uint64
	seq, event   uint64
	acked, token uint64
}

func (t *title) write() []byte {
	b := make([]byte, titleLength)
	copy(b[4:], titleMagic[:])
	for n, v := range t.fields() {
		binary.LittleEndian.PutUint64(b[8+8*n:], *v)
	}
	binary.LittleEndian.PutUint32(b, checksum(b[4:]))
	return b
}

func (t *title) fields() []*uint64 {
	return []*uint64{&t.spool, &t.number, &t.previous, &t.oldest, &t.seq, &t.event, &t.acked, &t.token}
}

// readTitle reads the page at the beginning of a segment. One that was never written to has the zero title; errCode: it was there and is
// lost.
func readTitle(f file) (t title, err error) {
	b := make([]byte, pageSize)
	n, err := readPart(f, b, 0)
	if err != nil {
		return t, err
	}
	if n >= titleLength && [4]byte(b[4:8]) == titleMagic && binary.LittleEndian.Uint32(b) == checksum(b[4:titleLength]) {
		for n, v := range t.fields() {
			*v = binary.LittleEndian.Uint64(b[8+8*n:])
		}
		return t, nil
	}
	// Only if nothing is behind it no record was ever written, for the title is durable before them. The log is without gaps, so that few
	// places show whether there is something.
	clear(b[:titleLength])
	for off := int64(0); n > 0; off = max(2*off, pageSize) {
		if len(bytes.Trim(b[:n], "\x00")) > 0 {
			return t, errCode
		}
		if n, err = readPart(f, b, max(2*off, pageSize)); err != nil {
			return t, err
		}
	}
	return t, nil
}
