package smtp_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/smtp"
	"github.com/postrider/postrider/smtp/smtptest"
)

// hanging yields a text and then waits until it is closed, after which it says that it has ended.
type hanging struct {
	io.Reader
	closed chan struct{}
	closes int
}

func (h *hanging) Read(p []byte) (int, error) {
	if n, err := h.Reader.Read(p); err == nil {
		return n, nil
	}
	<-h.closed
	return 0, io.EOF
}

func (h *hanging) Close() error {
	if h.closes++; h.closes == 1 {
		close(h.closed)
	}
	return nil
}

// TestHangingSource has messages that come from a disk that does not answer. Cancel returns at once, and
// what was read is not taken for the whole.
func TestHangingSource(t *testing.T) {
	for name, size := range map[string]int64{"small": 1000, "large": 1 << 20, "unknown": -1} {
		for _, extensions := range [][]string{nil, {"PIPELINING"}} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, &smtptest.Server{Extensions: extensions})
					defer w.close(t)
					to := &smtp.Server{Host: "mx.example.test", Security: smtp.Plaintext}
					source := &hanging{Reader: strings.NewReader(hello), closed: make(chan struct{})}
					e := envelope("a@a.test", hello, "b@b.test")
					e.Size, e.Open = size, func() (io.ReadCloser, error) { return source, nil }
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					defer cancel()
					begin := time.Now()
					r := w.pool.Deliver(ctx, to, e)[0]
					if took := time.Since(begin); took != time.Minute {
						t.Errorf("it took %v", took)
					}
					if !errors.Is(r.Err, context.DeadlineExceeded) || errors.Is(r.Err, smtp.ErrUnsure) || source.closes != 1 {
						t.Errorf("%v, closed %d times", r.Err, source.closes)
					}
					if got := fates(w.pool.Deliver(t.Context(), to, envelope("a@a.test", hello, "b@b.test"))); !strings.HasPrefix(got, "b final ok") {
						t.Error(got)
					}
					smtptest.Expect(t, w.Server, 1)
				})
			})
		}
	}
}
