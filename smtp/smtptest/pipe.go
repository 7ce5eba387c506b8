package smtptest

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
)

// Pipe is a listener without a network: Dial makes a connection by net.Pipe, with deadlines. Nothing
// is buffered between the ends, so a client that writes much before it reads meets the
// smallest possible TCP window. A Pipe made inside a bubble of testing/synctest stays inside it.
type Pipe struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// NewPipe makes a listener.
func NewPipe() *Pipe {
	return &Pipe{conns: make(chan net.Conn), closed: make(chan struct{})}
}

// Dial connects to whoever accepts, whatever the network and the address. It waits for
// Accept, and fails when the context ends or the listener is closed.
func (p *Pipe) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	client, server := pipe()
	var err error
	select {
	case p.conns <- server:
		return client, nil
	case <-p.closed:
		err = net.ErrClosed
	case <-ctx.Done():
		err = ctx.Err()
	}
	client.Close()
	server.Close()
	return nil, &net.OpError{Op: "dial", Net: network, Addr: pipeAddr{}, Err: err}
}

// Accept waits for the next Dial.
func (p *Pipe) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, &net.OpError{Op: "accept", Net: "pipe", Addr: pipeAddr{}, Err: net.ErrClosed}
	}
}

// Close ends Accept and Dial. Connections that were made live on.
func (p *Pipe) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

// Addr is a placeholder.
func (p *Pipe) Addr() net.Addr { return pipeAddr{} }

// pipe is net.Pipe whose ends can say without waiting whether there is something to read.
func pipe() (near, far quieter) {
	a, b := net.Pipe()
	var one, two direction
	return &pipeEnd{Conn: a, out: &one, in: &two}, &pipeEnd{Conn: b, out: &two, in: &one}
}

// direction is one of the two of a pipe.
type direction struct {
	waiting atomic.Int64 // octets whose Write waits for a Read
	closed  atomic.Bool
}

type pipeEnd struct {
	net.Conn
	out, in *direction
}

func (e *pipeEnd) Read(p []byte) (int, error) {
	n, err := e.Conn.Read(p)
	e.in.waiting.Add(-int64(n))
	return n, err
}

func (e *pipeEnd) Write(p []byte) (int, error) {
	e.out.waiting.Add(int64(len(p)))
	n, err := e.Conn.Write(p)
	e.out.waiting.Add(int64(n - len(p)))
	return n, err
}

func (e *pipeEnd) Close() error {
	e.out.closed.Store(true)
	return e.Conn.Close()
}

// Quiet is what smtp.Pool asks before it uses a connection again.
func (e *pipeEnd) Quiet() bool { return e.in.waiting.Load() == 0 && !e.in.closed.Load() }

// quieter is a connection like a pipe's.
type quieter interface {
	net.Conn
	Quiet() bool
}

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }
