package disk

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// faulty is a folder in memory, in which one operation goes wrong.
type faulty struct {
	mu    sync.Mutex
	files map[string]*faultyFile
	count int // operations
	at    int // the one that goes wrong; 0: none
	fault fault
	off   bool // the power is
	reads int
	blind int // the read that fails; 0: none
	rng   *rand.Rand

	removed map[string]*faultyFile // of which the disk may not know yet: a power cut may bring them back
}

type fault string

const (
	failEIO    fault = "EIO"
	failENOSPC fault = "ENOSPC"
	failShort  fault = "short write"
	failSync   fault = "lost sync" // the kernel drops what it could not write, and says nothing the next time
	full       fault = "full from here on"
	cut512     fault = "power cut, torn at 512"
	cut4096    fault = "power cut, torn at 4096"
	cutClean   fault = "power cut, nothing of what was not synced"
)

var errPower = errors.New("no power")

type faultyFile struct {
	d       *faulty
	now     []byte // what is read
	durable []byte // what is on the disk
	writes  []write
}

type write struct {
	off int64
	b   []byte
}

func newFaulty(at int, f fault, seed uint64) *faulty {
	return &faulty{files: map[string]*faultyFile{}, removed: map[string]*faultyFile{}, at: at, fault: f, rng: rand.New(rand.NewPCG(seed, uint64(at)))}
}

// step counts an operation and says what is to go wrong with it.
func (d *faulty) step() (now fault, err error) {
	if d.off {
		return "", errPower
	}
	d.count++
	if d.at == 0 || d.count < d.at || d.count > d.at && d.fault != full {
		return "", nil
	}
	switch d.fault {
	case cut512, cut4096, cutClean:
		d.off = true
		return d.fault, errPower
	case failEIO:
		return d.fault, syscall.EIO
	case failENOSPC:
		return d.fault, syscall.ENOSPC
	}
	return d.fault, nil
}

func (d *faulty) operations() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.count
}

// rise is the folder after the power came back.
func (d *faulty) rise() *faulty {
	d.mu.Lock()
	defer d.mu.Unlock()
	next := newFaulty(0, "", 0)
	for name, f := range d.removed {
		if d.off && d.files[name] == nil && d.rng.IntN(2) == 0 {
			d.files[name] = f
		}
	}
	for name, f := range d.files {
		if !d.off && d.fault != failSync { // the process ended, the machine did not: it has what was written, and may lose it yet
			next.files[name] = &faultyFile{d: next, now: bytes.Clone(f.now), durable: bytes.Clone(f.durable), writes: slices.Clone(f.writes)}
			continue
		}
		b := f.durable
		if d.off && d.fault != cutClean {
			b = f.torn()
		}
		next.files[name] = &faultyFile{d: next, now: bytes.Clone(b), durable: bytes.Clone(b)}
	}
	return next
}

// torn is the file with some sectors of what was not synced.
func (f *faultyFile) torn() []byte {
	b := append([]byte(nil), f.durable...)
	sector := int64(512)
	if f.d.fault == cut4096 {
		sector = 4096
	}
	all := f.d.rng.IntN(4) == 0
	for _, w := range f.writes {
		for k := int64(0); k < int64(len(w.b)); {
			n := min(sector-(w.off+k)%sector, int64(len(w.b))-k)
			if all || f.d.rng.IntN(2) == 0 {
				copy(b[w.off+k:], w.b[k:k+n])
			}
			k += n
		}
	}
	return b
}

func (d *faulty) list(prefix string) (names []string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name := range d.files {
		if strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	return names, nil
}

func (d *faulty) open(name string) (file, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if f := d.files[name]; f != nil {
		return f, nil
	}
	return nil, os.ErrNotExist
}

func (d *faulty) create(name string, size int64) (file, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := &faultyFile{d: d, now: make([]byte, size), durable: make([]byte, size)}
	now, err := d.step()
	if now == full {
		return nil, syscall.ENOSPC
	}
	if err != nil {
		if d.off && d.rng.IntN(2) == 0 { // the name may be there, and a part of the file
			f.durable = f.durable[:size/2]
			d.files[name] = f
		}
		return nil, err
	}
	d.files[name] = f
	clear(d.removed) // with the name of the new file those of the old ones become durable
	return f, nil
}

func (d *faulty) replace(name string, content []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, err := d.step()
	if err == nil || d.off && d.rng.IntN(2) == 0 { // the rename may be lost, or not
		d.files[name] = &faultyFile{d: d, now: content, durable: content}
	}
	return err
}

func (d *faulty) remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, err := d.step()
	if err == nil || d.off && d.rng.IntN(2) == 0 {
		if f := d.files[name]; f != nil {
			d.removed[name] = f
		}
		delete(d.files, name)
	}
	return err
}

func (f *faultyFile) ReadAt(p []byte, off int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.d.reads++; f.d.reads == f.d.blind {
		return 0, syscall.EIO
	}
	if off >= int64(len(f.now)) {
		return 0, io.EOF
	}
	n := copy(p, f.now[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *faultyFile) writeAll(parts [][]byte, off int64) error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	var b []byte
	for _, p := range parts {
		b = append(b, p...)
	}
	now, err := f.d.step()
	if now == failShort {
		b, err = b[:len(b)/2], io.ErrShortWrite
	}
	if err == nil || now == failShort || f.d.off {
		copy(f.now[off:], b)
		f.writes = append(f.writes, write{off, b})
	}
	return err
}

func (f *faultyFile) sync() error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	now, err := f.d.step()
	if now == failSync {
		f.writes = nil
		return syscall.EIO
	}
	if err != nil {
		return err
	}
	for _, w := range f.writes {
		copy(f.durable[w.off:], w.b)
	}
	f.writes = nil
	return nil
}

func (f *faultyFile) size() (int64, error) { return int64(len(f.now)), nil }
func (f *faultyFile) Close() error         { return nil }
