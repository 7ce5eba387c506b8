package postrider

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
)

const (
	chunkSize = 32 << 10
	// spoolMemory is what a spool keeps in memory before it moves into a temporary file.
	spoolMemory = 1 << 20
)

// chunks are the pieces of all messages in memory. A chunk never grows.
var chunks = sync.Pool{New: func() any { return new([chunkSize]byte) }}

// spool keeps the octets of one message: in memory up to spoolMemory, beyond that in a temporary file
// without a name. It is written once, by an output, and then read as often as wanted, by several
// goroutines at once.
type spool struct {
	list []piece
	file *os.File
	name string // of the file, where the system cannot remove it while it is open
	size int64
	// users counts the owner and the open readers: the memory goes back to the pool, where the next
	// message takes it, only when nobody can read it any more.
	users  atomic.Int64
	closed atomic.Bool
}

// piece is a chunk with n octets in it.
type piece struct {
	data *[chunkSize]byte
	n    int
}

func newSpool() *spool {
	s := &spool{list: make([]piece, 0, 8)}
	s.users.Store(1)
	return s
}

// take keeps n octets of a chunk and returns one to be written next.
func (s *spool) take(data *[chunkSize]byte, n int) (*[chunkSize]byte, error) {
	s.size += int64(n)
	if s.file == nil && s.size <= spoolMemory {
		s.list = append(s.list, piece{data, n})
		return chunks.Get().(*[chunkSize]byte), nil
	}
	if s.file == nil {
		if err := s.spill(); err != nil {
			return data, err
		}
	}
	_, err := s.file.Write(data[:n])
	return data, err
}

// spill moves what is in memory into a file.
func (s *spool) spill() error {
	f, err := os.CreateTemp("", "postrider-*.eml")
	if err != nil {
		return err
	}
	s.file = f
	// Without a name the file is gone when it is closed, however the program ends.
	if runtime.GOOS == "windows" || os.Remove(f.Name()) != nil {
		s.name = f.Name()
	}
	for i, p := range s.list {
		if _, err := f.Write(p.data[:p.n]); err != nil {
			return err
		}
		chunks.Put(p.data)
		s.list[i].data = nil
	}
	s.list = nil
	return nil
}

// open returns a reader from the first octet. before are octets that it yields first.
func (s *spool) open(before []byte) (io.ReadCloser, error) {
	for {
		n := s.users.Load()
		if n == 0 || s.closed.Load() {
			return nil, fs.ErrClosed
		}
		if s.users.CompareAndSwap(n, n+1) {
			return &spoolReader{spool: s, before: before}, nil
		}
	}
}

// close gives the memory and the file back when the last reader is closed.
func (s *spool) close() error {
	if s.closed.Swap(true) {
		return nil
	}
	return s.leave()
}

func (s *spool) leave() error {
	if s.users.Add(-1) > 0 {
		return nil
	}
	for _, p := range s.list {
		if p.data != nil {
			chunks.Put(p.data)
		}
	}
	s.list = nil
	var err error
	if s.file != nil {
		err = s.file.Close()
	}
	if s.name != "" {
		err = errors.Join(err, os.Remove(s.name))
	}
	return err
}

// spoolReader reads a spool. Its methods may be called by several goroutines, so that Close ends a
// Read elsewhere without a race.
type spoolReader struct {
	mu     sync.Mutex
	spool  *spool
	before []byte
	next   int   // piece
	off    int64 // in the piece or the file
	closed bool
}

func (r *spoolReader) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return 0, fs.ErrClosed
	}
	if len(p) == 0 {
		return 0, nil
	}
	if len(r.before) > 0 {
		n := copy(p, r.before)
		r.before = r.before[n:]
		return n, nil
	}
	if f := r.spool.file; f != nil {
		if r.off >= r.spool.size {
			return 0, io.EOF
		}
		n, err := f.ReadAt(p[:min(int64(len(p)), r.spool.size-r.off)], r.off)
		r.off += int64(n)
		if n > 0 {
			return n, nil
		}
		if err == io.EOF { // somebody has cut the file: what is missing is not the end
			err = io.ErrUnexpectedEOF
		}
		return 0, err
	}
	total := 0
	for total < len(p) && r.next < len(r.spool.list) {
		piece := r.spool.list[r.next]
		n := copy(p[total:], piece.data[r.off:piece.n])
		total += n
		if r.off += int64(n); r.off == int64(piece.n) {
			r.next, r.off = r.next+1, 0
		}
	}
	if total == 0 {
		return 0, io.EOF
	}
	return total, nil
}

// WriteTo hands out the octets in memory without copying them.
func (r *spoolReader) WriteTo(w io.Writer) (int64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return 0, fs.ErrClosed
	}
	var total int64
	put := func(p []byte) error {
		n, err := w.Write(p)
		total += int64(n)
		if err == nil && n < len(p) {
			err = io.ErrShortWrite
		}
		return err
	}
	if len(r.before) > 0 {
		p := r.before
		r.before = nil
		if err := put(p); err != nil {
			return total, err
		}
	}
	if r.spool.file != nil {
		buf := chunks.Get().(*[chunkSize]byte)
		defer chunks.Put(buf)
		for r.off < r.spool.size {
			n, err := r.spool.file.ReadAt(buf[:min(chunkSize, r.spool.size-r.off)], r.off)
			r.off += int64(n)
			if n == 0 {
				if err == io.EOF {
					err = io.ErrUnexpectedEOF
				}
				return total, err
			}
			if err := put(buf[:n]); err != nil {
				return total, err
			}
		}
		return total, nil
	}
	for ; r.next < len(r.spool.list); r.next, r.off = r.next+1, 0 {
		piece := r.spool.list[r.next]
		if err := put(piece.data[r.off:piece.n]); err != nil {
			return total, err
		}
	}
	return total, nil
}

// Close ends the reading. The second call does nothing.
func (r *spoolReader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	r.closed = true
	return r.spool.leave()
}
