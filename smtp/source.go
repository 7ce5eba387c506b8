package smtp

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
)

// source is the reader of a message. When the caller's context ends it is closed, also while a Read waits for
// a disk or a network, so that Deliver returns at once. It is closed once, whoever comes first.
type source struct {
	io.ReadCloser
	ctx    context.Context
	stop   func() bool
	closed atomic.Bool
}

// open opens the message of an envelope.
func open(ctx context.Context, e *Envelope) (*source, error) {
	r, err := e.Open()
	if err != nil {
		return nil, unreadable(err)
	}
	if r == nil {
		return nil, unreadable(errors.New("the envelope's Open returned no reader"))
	}
	s := &source{ReadCloser: r, ctx: ctx}
	if ctx.Done() != nil {
		s.stop = context.AfterFunc(ctx, s.end)
	}
	return s, nil
}

func (s *source) end() {
	if !s.closed.Swap(true) {
		s.ReadCloser.Close()
	}
}

// Read fails by the context's cause once that has ended.
func (s *source) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	if err != nil && s.ctx.Err() != nil {
		err = context.Cause(s.ctx)
	}
	return n, err
}

// Close closes the reader if nobody has.
func (s *source) Close() error {
	if s.stop != nil {
		s.stop()
	}
	s.end()
	return nil
}
