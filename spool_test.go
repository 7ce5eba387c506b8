package postrider

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/iotest"
)

// spooled writes data into a spool.
func spooled(t *testing.T, data []byte) *spool {
	t.Helper()
	sp := newSpool()
	o := output{ctx: context.Background(), sink: sp, chunk: chunks.Get().(*[chunkSize]byte)}
	defer o.free()
	o.Write(data)
	o.flush()
	if o.err != nil {
		t.Fatal(o.err)
	}
	if sp.size != int64(len(data)) || (sp.file != nil) != (len(data) > spoolMemory) {
		t.Fatalf("size %d of %d, file %v", sp.size, len(data), sp.file)
	}
	return sp
}

func TestSpool(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	for _, n := range []int{0, 1, chunkSize - 1, chunkSize, chunkSize + 1, spoolMemory, spoolMemory + 1, 3*spoolMemory + 5} {
		data := noise(n)
		before := []byte("X-Before: y\r\n")
		want := append(bytes.Clone(before), data...)
		sp := spooled(t, data)
		if left, err := filepath.Glob(filepath.Join(os.TempDir(), "*")); err != nil || len(left) > 0 {
			t.Errorf("%d octets: files with names: %q, %v", n, left, err)
		}
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				r, err := sp.open(before)
				if err != nil {
					t.Error(err)
					return
				}
				defer r.Close()
				var b bytes.Buffer
				switch i {
				case 0:
					err = iotest.TestReader(struct{ io.Reader }{r}, want)
				case 1:
					_, err = r.(io.WriterTo).WriteTo(&b)
				case 2:
					_, err = io.CopyN(&b, struct{ io.Reader }{r}, int64(len(want)/2))
					if _, err2 := r.(io.WriterTo).WriteTo(&b); err2 != nil {
						err = err2
					}
				case 3:
					_, err = b.ReadFrom(struct{ io.Reader }{r})
				}
				if err != nil || i > 0 && !bytes.Equal(b.Bytes(), want) {
					t.Errorf("%d octets, reader %d: %v, or other octets", n, i, err)
				}
			})
		}
		wg.Wait()
		if err := errors.Join(sp.close(), sp.close()); err != nil {
			t.Error(err)
		}
		if _, err := sp.open(nil); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("open after close: %v", err)
		}
	}
}

// A reader that is open when the spool is closed goes on with its own octets, never with those of the
// message that takes the memory next.
func TestSpoolClosedWhileRead(t *testing.T) {
	for _, n := range []int{5 * chunkSize, 2 * spoolMemory} {
		data := noise(n)
		sp := spooled(t, data)
		r, err := sp.open(nil)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, n)
		if _, err := io.ReadFull(r, got[:100]); err != nil {
			t.Fatal(err)
		}
		if err := sp.close(); err != nil {
			t.Error(err)
		}
		other := spooled(t, bytes.Repeat([]byte("x"), n))
		if _, err := io.ReadFull(r, got[100:]); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%v, or foreign octets", err)
		}
		if err := errors.Join(r.Close(), r.Close(), other.close()); err != nil {
			t.Error(err)
		}
		if _, err := r.Read(got); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("read after close: %v", err)
		}
		if _, err := r.(io.WriterTo).WriteTo(io.Discard); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("write after close: %v", err)
		}
	}
}

// A spool that cannot be written is an error, not a shorter message.
func TestSpoolWithoutDisk(t *testing.T) {
	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "nowhere"))
	m := plainMessage()
	m.Attachments = []Attachment{Bytes("x", noise(2*spoolMemory))}
	if _, err := m.compose(t.Context(), nil); !errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
}

func TestSpoolCut(t *testing.T) {
	sp := spooled(t, noise(2*spoolMemory))
	defer sp.close()
	if err := sp.file.Truncate(spoolMemory); err != nil {
		t.Fatal(err)
	}
	for _, read := range []func(r io.Reader) error{
		func(r io.Reader) error { _, err := io.Copy(io.Discard, struct{ io.Reader }{r}); return err },
		func(r io.Reader) error { _, err := r.(io.WriterTo).WriteTo(io.Discard); return err },
	} {
		r, err := sp.open(nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := read(r); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Error(err)
		}
		r.Close()
	}
}
