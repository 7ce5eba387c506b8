package postrider

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
)

var errBroken = errors.New("broken source")

// breakingReader fails after n octets.
type breakingReader struct {
	n   int
	err error
}

func (r *breakingReader) Read(p []byte) (int, error) {
	if r.n == 0 {
		return 0, r.err
	}
	n := min(len(p), r.n)
	r.n -= n
	return n, nil
}

type closer struct {
	io.Reader
	closed *int
	err    error
}

func (c closer) Close() error { *c.closed++; return c.err }

// TestBreakingSource lets a source fail, shrink and grow at every place about the seams of lines, blocks
// and chunks: there is never a message, and every source is closed.
func TestBreakingSource(t *testing.T) {
	block := chunkSize / base64Line * base64Line
	places := []int{0, 1, 56, 57, 58, block - 1, block, block + 1, 2 * block, 2*block + 1, spoolMemory, 2 * spoolMemory}
	for _, kind := range []string{"application/pdf", "message/rfc822"} {
		for _, n := range places {
			for _, tc := range []struct {
				name string
				size int64
				err  error
				want any
			}{
				{"fails", -1, errBroken, errBroken},
				{"fails, size known", int64(n) + 1, errBroken, errBroken},
				{"shrinks", int64(n) + 1, io.EOF, errSize{}},
				{"grows", int64(n) - 1, io.EOF, errSize{}},
			} {
				if tc.size < -1 || tc.name == "grows" && n == 0 {
					continue
				}
				closed := 0
				m := plainMessage()
				m.Attachments = []Attachment{{Name: "x", ContentType: kind, Size: tc.size, Open: func() (io.ReadCloser, error) {
					return closer{&breakingReader{n, tc.err}, &closed, nil}, nil
				}}}
				c, err := m.compose(t.Context(), nil)
				if c != nil || err == nil || !strings.Contains(err.Error(), "Attachments[0]") {
					t.Errorf("%s after %d octets of %s: %v", tc.name, n, kind, err)
				}
				var size errSize
				if errors.As(err, &size) == (tc.err == errBroken) || errors.Is(err, ErrInvalid) != (tc.err == io.EOF) {
					t.Errorf("%s after %d octets: %v", tc.name, n, err)
				}
				if closed != 1 {
					t.Errorf("%s: closed %d times", tc.name, closed)
				}
			}
		}
	}
}

func TestOddSources(t *testing.T) {
	data := noise(1000)
	closed := 0
	compose := func(r io.Reader, closeErr error) error {
		m := plainMessage()
		m.Attachments = []Attachment{{Name: "x", Size: 1000, Open: func() (io.ReadCloser, error) { return closer{r, &closed, closeErr}, nil }}}
		c, err := m.compose(t.Context(), nil)
		if err == nil {
			c.close()
		}
		return err
	}
	for name, r := range map[string]io.Reader{
		"one octet": iotest.OneByteReader(bytes.NewReader(data)),
		"half":      iotest.HalfReader(bytes.NewReader(data)),
		"data, EOF": iotest.DataErrReader(bytes.NewReader(data)),
	} {
		if err := compose(r, nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, r := range map[string]io.Reader{
		"timeout":   iotest.TimeoutReader(iotest.OneByteReader(bytes.NewReader(data))),
		"idle":      readerFunc(func(p []byte) (int, error) { return 0, nil }),
		"too many":  readerFunc(func(p []byte) (int, error) { return len(p) + 1, nil }),
		"negative":  readerFunc(func(p []byte) (int, error) { return -1, nil }),
		"unbounded": readerFunc(func(p []byte) (int, error) { return len(p), nil }),
	} {
		if err := compose(r, nil); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := compose(bytes.NewReader(data), errBroken); !errors.Is(err, errBroken) {
		t.Errorf("an error of Close: %v", err)
	}
	m := plainMessage()
	m.Attachments = []Attachment{{Name: "x", Open: func() (io.ReadCloser, error) { return nil, nil }}}
	if _, err := m.compose(t.Context(), nil); err == nil {
		t.Error("no reader, no error")
	}
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// A file is held to the size that it has when it is opened.
func TestChangingFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "log.txt")
	for _, change := range []int64{-1, +1} {
		if err := os.WriteFile(name, noise(100), 0o600); err != nil {
			t.Fatal(err)
		}
		m := plainMessage()
		a := File(name)
		open := a.Open
		a.Open = func() (io.ReadCloser, error) {
			r, err := open()
			if err != nil {
				return nil, err
			}
			return changingFile{r.(*os.File), 100 + change}, nil
		}
		m.Attachments = []Attachment{a}
		if _, err := m.compose(t.Context(), nil); err == nil || errors.Is(err, ErrInvalid) || !errors.As(err, new(errSize)) {
			t.Errorf("%+d: %v", change, err)
		}
	}
}

// changingFile changes its size when it is first read.
type changingFile struct {
	*os.File
	size int64
}

func (f changingFile) Read(p []byte) (int, error) {
	if err := f.Truncate(f.size); err != nil {
		if err = os.Truncate(f.Name(), f.size); err != nil {
			return 0, err
		}
	}
	return f.File.Read(p)
}

func TestComposeStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	m := plainMessage()
	read := 0
	m.Attachments = []Attachment{{Name: "x", Size: -1, Open: func() (io.ReadCloser, error) {
		return io.NopCloser(readerFunc(func(p []byte) (int, error) {
			if read += len(p); read > 100<<10 {
				cancel()
			}
			return len(p), nil
		})), nil
	}}}
	if _, err := m.compose(ctx, nil); !errors.Is(err, context.Canceled) || read > 1<<20 {
		t.Errorf("%v after %d octets", err, read)
	}
}

// limitedWriter fails after n octets.
type limitedWriter struct{ n int }

func (w *limitedWriter) Write(p []byte) (int, error) {
	if len(p) > w.n {
		n := w.n
		w.n = 0
		return n, errBroken
	}
	w.n -= len(p)
	return len(p), nil
}

func TestWriteToFails(t *testing.T) {
	m := corpusTrees()[1].message()
	m.Attachments = append(m.Attachments, Bytes("x", noise(100<<10)))
	size, err := m.WriteTo(io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	for n := int64(0); n < size; n += 4001 {
		if _, err := m.WriteTo(&limitedWriter{int(n)}); !errors.Is(err, errBroken) {
			t.Errorf("after %d of %d octets: %v", n, size, err)
		}
	}
}

type signerFunc func(io.Reader) ([]byte, error)

func (f signerFunc) Sign(r io.Reader) ([]byte, error) { return f(r) }

func TestSigners(t *testing.T) {
	m := plainMessage()
	var seen []byte
	raw, _ := octets(t, m, signerFunc(func(r io.Reader) ([]byte, error) {
		var err error
		seen, err = io.ReadAll(r)
		return []byte("X-Signature: a;\r\n b\r\nX-Other: c\r\n"), err
	}))
	if want := "X-Signature: a;\r\n b\r\nX-Other: c\r\n" + string(seen); string(raw) != want {
		t.Errorf("got %q, want %q", raw, want)
	}
	for _, bad := range []string{"x", "X: y", "X: y\n", "X: y\r\n\r\n", " folded\r\n", "X: a\rb\r\n", "X: a\x00\r\n", "no colon\r\n", ": x\r\n",
		"X: " + strings.Repeat("y", 1000) + "\r\n", "X : y\r\n"} {
		if c, err := m.compose(t.Context(), signerFunc(func(io.Reader) ([]byte, error) { return []byte(bad), nil })); err == nil {
			c.close()
			t.Errorf("%q was taken for header fields", bad)
		}
	}
	if _, err := m.compose(t.Context(), signerFunc(func(io.Reader) ([]byte, error) { return nil, errBroken })); !errors.Is(err, errBroken) {
		t.Error(err)
	}
}

func TestComposeDoesNotWriteToTheMessage(t *testing.T) {
	for _, n := range corpus() {
		m := n.message()
		before := fmt.Sprintf("%+v", *m)
		octets(t, m, nil)
		if after := fmt.Sprintf("%+v", *m); after != before {
			t.Errorf("%s: %s became %s", n.name, before, after)
		}
	}
}
