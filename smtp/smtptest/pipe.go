package smtptest

import (
	"context"
	"net"
	"sync"
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
	client, server := net.Pipe()
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

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }
