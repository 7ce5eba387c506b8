package disk

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/queue"
)

// fallenBehind is a spool whose index is too far behind for another Put, and brought up to date in an hour.
func fallenBehind(t *testing.T, files *faulty) (l *life, put func(context.Context, queue.Body) error) {
	l = newLife(t, files)
	if err := l.open(); err != nil {
		t.Fatal(err)
	}
	l.s.tooFar = 2
	put = func(ctx context.Context, b queue.Body) error {
		_, err := l.s.Put(ctx, &queue.Batch{Now: l.now, Body: b, Items: []queue.Item{{To: "bob"}}})
		return err
	}
	for range 3 {
		if err := put(t.Context(), queue.Bytes("x")); err != nil {
			t.Fatal(err)
		}
	}
	return l, put
}

// unread is a body that nobody should read.
type unread struct {
	queue.Bytes
	t *testing.T
}

func (b unread) Open() (io.ReadCloser, error) {
	b.t.Error("the body is read before there is room for the message")
	return b.Bytes.Open()
}

// A Put that waits for the index holds no body, and ends with its context, with the store, and if the log has failed.
func TestPutWaitsForTheIndex(t *testing.T) {
	for name, end := range map[string]struct {
		want error
		end  func(l *life, cancel func())
	}{
		"context":    {context.Canceled, func(l *life, cancel func()) { cancel() }},
		"store":      {queue.ErrClosed, func(l *life, cancel func()) { l.s.Close() }},
		"log":        {errPower, func(l *life, cancel func()) { l.s.log.fail(errPower) }},
		"checkpoint": {nil, func(l *life, cancel func()) {}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, put := fallenBehind(t, newFaulty(0, "", 1))
				defer l.s.Close()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				over := make(chan error, 1)
				var body queue.Body = unread{queue.Bytes("x"), t}
				if end.want == nil {
					body = queue.Bytes("x")
				}
				begun := time.Now()
				go func() { over <- put(ctx, body) }()
				synctest.Wait()
				if len(over) > 0 {
					t.Fatalf("Put does not wait: %v", <-over)
				}
				end.end(l, cancel)
				if err := <-over; !errors.Is(err, end.want) || time.Since(begun) > time.Hour {
					t.Errorf("Put ends after %v with %v, want %v", time.Since(begun), err, end.want)
				}
			})
		})
	}
}
