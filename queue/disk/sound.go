package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
)

// bbolt trusts its file. Most that is wrong in it ends in a panic, which guard catches; but there is worse: a small bucket that lies
// in its parent's page is copied to the heap, where a wrong offset reads what belongs to others; a branch that leads back to
// itself never ends; and a list of free pages with one that is in use lets it write over what it needs. So the shape of the
// trees is looked at before: the roots, the branches and the free list, not the leaves, which are nearly all.

const (
	boltHead     = 16 // octets of a page before its elements, which have as many each
	boltMetaSize = 56

	boltBranch, boltLeaf, boltFree = 1, 2, 0x10 // flags of pages
	boltBucket                     = 1          // flag of an element

	boltMagic, boltVersion    = 0xED0CDAED, 2
	boltSmallest, boltLargest = 512, 1 << 16 // pages
	boltDeepest               = 32
)

// sound reads the file of an index and says what is wrong with its shape. What has no valid meta page is left to bbolt.
func sound(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	t := &boltTree{f: f}
	if !t.meta() {
		return nil
	}
	t.seen = make([]uint64, t.end/64+1)
	if err := t.roots(); err != nil {
		return err
	}
	return t.free()
}

type boltTree struct {
	f        io.ReaderAt
	page     int64  // size
	root     uint64 // page of the bucket of buckets
	freelist uint64
	end      uint64 // pages are below it
	seen     []uint64
}

// meta finds the newest valid meta page.
func (t *boltTree) meta() bool {
	newest, found := uint64(0), false
	le := binary.LittleEndian
	try := func(off int64) (size int64) {
		b := make([]byte, boltHead+boltMetaSize+8)
		if _, err := t.f.ReadAt(b, off); err != nil {
			return 0
		}
		m := b[boltHead:]
		sum := fnv.New64a()
		sum.Write(m[:boltMetaSize])
		size = int64(le.Uint32(m[8:]))
		if le.Uint32(m) != boltMagic || le.Uint32(m[4:]) != boltVersion || le.Uint64(m[boltMetaSize:]) != sum.Sum64() ||
			size < boltSmallest || size > boltLargest {
			return 0
		}
		if tx := le.Uint64(m[48:]); !found || tx > newest {
			newest, found = tx, true
			t.page, t.root, t.freelist, t.end = size, le.Uint64(m[16:]), le.Uint64(m[32:]), le.Uint64(m[40:])
		}
		return size
	}
	if size := try(0); size > 0 {
		try(size)
		return true
	}
	for size := int64(boltSmallest); size <= boltLargest && !found; size *= 2 {
		try(size)
	}
	return found && t.end < 1<<32
}

// read reads a page with what overflows from it.
func (t *boltTree) read(id uint64) (b []byte, flags, count int, err error) {
	b = make([]byte, t.page)
	if _, err := t.f.ReadAt(b, int64(id)*t.page); err != nil {
		return nil, 0, 0, err
	}
	le := binary.LittleEndian
	more := uint64(le.Uint32(b[12:]))
	if le.Uint64(b) != id || id+more >= t.end {
		return nil, 0, 0, fmt.Errorf("page %d has another name or size", id)
	}
	if more > 0 {
		b = append(b, make([]byte, int64(more)*t.page)...)
		if _, err := t.f.ReadAt(b[t.page:], int64(id+1)*t.page); err != nil {
			return nil, 0, 0, err
		}
	}
	for n := uint64(1); n <= more; n++ {
		if err := t.visit(id + n); err != nil {
			return nil, 0, 0, err
		}
	}
	return b, int(le.Uint16(b[8:])), int(le.Uint16(b[10:])), nil
}

// visit notes that a page is in use.
func (t *boltTree) visit(id uint64) error {
	if id < 2 || id >= t.end || t.seen[id/64]&(1<<(id%64)) != 0 {
		return fmt.Errorf("page %d is in use twice, or is none", id)
	}
	t.seen[id/64] |= 1 << (id % 64)
	return nil
}

// roots walks the bucket of buckets, leaves included, and from there the others.
func (t *boltTree) roots() error {
	return t.walk(t.root, 0, func(key, value []byte, flags uint32) error {
		if flags&boltBucket == 0 {
			return nil
		}
		if len(value) < 16 {
			return errors.New("a bucket without a head")
		}
		root := binary.LittleEndian.Uint64(value)
		if root == 0 {
			return inline(value[16:])
		}
		return t.walk(root, 0, nil)
	})
}

// inline looks at a bucket that lies in the page of its parent.
func inline(b []byte) error {
	if len(b) < boltHead || binary.LittleEndian.Uint16(b[8:]) != boltLeaf {
		return errors.New("a small bucket has no page")
	}
	return leaves(b, int(binary.LittleEndian.Uint16(b[10:])), func(_, _ []byte, flags uint32) error {
		if flags != 0 {
			return errors.New("a bucket in a bucket")
		}
		return nil
	})
}

// leaves calls f for the elements of a leaf.
func leaves(b []byte, count int, f func(key, value []byte, flags uint32) error) error {
	le := binary.LittleEndian
	for n := range count {
		at := boltHead + 16*n
		if at+16 > len(b) {
			return errors.New("a leaf with too many elements")
		}
		from, key, value := int64(at)+int64(le.Uint32(b[at+4:])), int64(le.Uint32(b[at+8:])), int64(le.Uint32(b[at+12:]))
		if from+key+value > int64(len(b)) {
			return errors.New("a leaf with an element outside of it")
		}
		if err := f(b[from:from+key], b[from+key:from+key+value], le.Uint32(b[at:])); err != nil {
			return err
		}
	}
	return nil
}

// walk visits a tree. All its leaves are at one depth: with no f, who would see them, they are not read.
func (t *boltTree) walk(id uint64, depth int, f func(key, value []byte, flags uint32) error) error {
	if err := t.visit(id); err != nil {
		return err
	}
	b, flags, count, err := t.read(id)
	if err != nil {
		return err
	}
	switch {
	case flags == boltLeaf && f != nil:
		return leaves(b, count, f)
	case flags == boltLeaf:
		return nil
	case flags != boltBranch || count == 0 || depth > boltDeepest:
		return fmt.Errorf("page %d is no part of a tree", id)
	}
	le := binary.LittleEndian
	last := false // the children are leaves
	for n := range count {
		at := boltHead + 16*n
		if at+16 > len(b) || int64(at)+int64(le.Uint32(b[at:]))+int64(le.Uint32(b[at+4:])) > int64(len(b)) {
			return fmt.Errorf("page %d has an element outside of it", id)
		}
		child := le.Uint64(b[at+8:])
		if last && f == nil {
			if err := t.visit(child); err != nil {
				return err
			}
			continue
		}
		if err := t.walk(child, depth+1, f); err != nil {
			return err
		}
		if n == 0 && f == nil {
			last = t.isLeaf(child)
		}
	}
	return nil
}

func (t *boltTree) isLeaf(id uint64) bool {
	b := make([]byte, boltHead)
	_, err := t.f.ReadAt(b, int64(id)*t.page)
	return err == nil && binary.LittleEndian.Uint16(b[8:]) == boltLeaf
}

// free looks at the list of free pages: none of them is in use.
func (t *boltTree) free() error {
	if t.freelist == 1<<64-1 { // not kept
		return nil
	}
	if err := t.visit(t.freelist); err != nil {
		return err
	}
	b, flags, count, err := t.read(t.freelist)
	if err != nil {
		return err
	}
	le := binary.LittleEndian
	b = b[boltHead:]
	n := uint64(count)
	if count == 0xffff && len(b) >= 8 { // the number does not fit into the head
		n, b = le.Uint64(b), b[8:]
	}
	if flags != boltFree || n > uint64(len(b)/8) {
		return errors.New("there is no list of free pages")
	}
	for k := range n {
		if err := t.visit(le.Uint64(b[8*k:])); err != nil {
			return err
		}
	}
	return nil
}
