package smtptest

import (
	"context"
	"net"
	"time"
)

// Link gives connections the latency of a network, and its habit of cutting what is written in
// pieces. In a bubble of testing/synctest the time that a dialogue takes is exactly the number of
// its round trips times two Delays.
type Link struct {
	// Delay is the time in each direction. Zero: none.
	Delay time.Duration
	// Segment cuts what passes, in both directions, in pieces of at most so many octets. Zero: as
	// it was written.
	Segment int
}

// window bounds what is under way in one direction; the writer waits when it is full.
const window = 4 << 20

// Conn wraps the client's side of a connection.
func (l Link) Conn(c net.Conn) net.Conn {
	near, far := pipe()
	go l.pump(far, c)
	go l.pump(c, far)
	return linkConn{quieter: near, beyond: c}
}

// Dial wraps what another dial function makes. The connection itself costs one round trip.
func (l Link) Dial(dial func(ctx context.Context, network, address string) (net.Conn, error)) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		timer := time.NewTimer(2 * l.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return l.Conn(c), nil
	}
}

// linkConn shows the addresses of the real connection.
type linkConn struct {
	quieter
	beyond net.Conn
}

func (c linkConn) LocalAddr() net.Addr  { return c.beyond.LocalAddr() }
func (c linkConn) RemoteAddr() net.Addr { return c.beyond.RemoteAddr() }

type segment struct {
	data []byte
	due  time.Time
}

// pump carries octets one way. When the source ends, what is under way arrives before the end does.
func (l Link) pump(from, to net.Conn) {
	under := make(chan segment, 1024)
	space := make(chan struct{}, window/(32<<10))
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		defer to.Close()
		for s := range under {
			if d := time.Until(s.due); d > 0 {
				<-time.After(d)
			}
			if _, err := to.Write(s.data); err != nil {
				return
			}
			<-space
		}
	}()
	defer close(under)
	size := 32 << 10
	if l.Segment > 0 {
		size = l.Segment
	}
	buf := make([]byte, size)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			select {
			case space <- struct{}{}:
			case <-gone:
				from.Close()
				return
			}
			under <- segment{append([]byte(nil), buf[:n]...), time.Now().Add(l.Delay)}
		}
		if err != nil {
			return
		}
	}
}
