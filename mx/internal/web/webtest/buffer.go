package webtest

import (
	"net"
	"sync"
	"time"
)

// buffer lets writes return before the other end reads, as sockets do: both ends of a TLS connection
// may write at the same time.
func buffer(c net.Conn) net.Conn {
	b := &buffered{Conn: c, queue: make(chan []byte, 1000), closed: make(chan struct{})}
	go func() {
		defer c.Close()
		for {
			select {
			case octets := <-b.queue:
				if _, err := c.Write(octets); err != nil {
					return
				}
			case <-b.closed:
				for len(b.queue) > 0 {
					c.Write(<-b.queue)
				}
				return
			}
		}
	}()
	return b
}

type buffered struct {
	net.Conn
	queue  chan []byte
	once   sync.Once
	closed chan struct{}
}

func (b *buffered) Write(octets []byte) (int, error) {
	select {
	case <-b.closed:
		return 0, net.ErrClosed
	case b.queue <- append([]byte(nil), octets...):
		return len(octets), nil
	}
}

func (b *buffered) Close() error {
	b.once.Do(func() {
		b.Conn.SetWriteDeadline(time.Now().Add(time.Second))
		close(b.closed)
	})
	return nil
}

// SetWriteDeadline does nothing: writing does not wait.
func (b *buffered) SetWriteDeadline(time.Time) error { return nil }
