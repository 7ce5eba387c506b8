package smtptest

import (
	"errors"
	"net"
	"sync"
	"time"
)

// Fault breaks a connection once, at a given octet. A test that runs the same mail with At from
// zero to the length of the dialogue has met every point at which a network can fail.
type Fault struct {
	// Kind is what happens. Zero: Cut.
	Kind FaultKind
	// Sent places the fault in what the wrapped side writes; otherwise it is in what it reads.
	Sent bool
	// At is the number of octets that pass unharmed.
	At int64
	// Mask is what Corrupt changes in the octet, by exclusive or. Zero: 0x20, which
	// makes another letter of a letter and ruins CR and LF.
	Mask byte
}

// FaultKind is a way to fail.
type FaultKind int

// The kinds of faults.
const (
	// Cut closes the connection. The wrapped side gets ErrCut, the other one the end of the stream.
	Cut FaultKind = iota
	// Vanish takes what is written and drops it, as a network does whose cable was cut: the writes
	// succeed, and the other side sees the end of the stream. With Sent false it is as Cut.
	Vanish
	// Stall passes nothing more, in both directions, until a deadline or Close.
	Stall
	// Corrupt changes one octet.
	Corrupt
)

// ErrCut is what the wrapped side of a Cut sees.
var ErrCut = errors.New("smtptest: connection cut")

// Conn wraps one side of a connection.
func (f Fault) Conn(c net.Conn) net.Conn {
	if f.Mask == 0 {
		f.Mask = 0x20
	}
	faulty := &faultConn{Conn: c, fault: f, closed: make(chan struct{}), read: newDeadline(), write: newDeadline()}
	if q, ok := c.(quieter); ok {
		return quietFault{faulty, q}
	}
	return faulty
}

// quietFault is a faultConn over a connection that can be asked whether there is something to read.
type quietFault struct {
	*faultConn
	inner quieter
}

// Quiet knows of no fault before it comes.
func (c quietFault) Quiet() bool { return c.inner.Quiet() }

type faultConn struct {
	net.Conn
	fault Fault

	mu         sync.Mutex
	sent, got  int64
	hit        bool
	closeOnce  sync.Once
	closed     chan struct{}
	read       *deadline
	write      *deadline
	closeError error
}

// room returns how many of n octets may pass in the direction before the fault, and whether
// the fault has come.
func (c *faultConn) room(sent bool, n int) (int, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.hit && c.fault.Kind != Corrupt {
		return 0, true
	}
	if c.fault.Sent != sent {
		return n, false
	}
	passed := c.got
	if sent {
		passed = c.sent
	}
	left := c.fault.At - passed
	if left > 0 {
		return int(min(int64(n), left)), false
	}
	if c.fault.Kind == Corrupt {
		if left == 0 {
			return min(n, 1), true
		}
		return n, false
	}
	c.hit = true
	return 0, true
}

func (c *faultConn) passed(sent bool, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if sent {
		c.sent += int64(n)
	} else {
		c.got += int64(n)
	}
}

func (c *faultConn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, now := c.room(false, len(p))
	if now && c.fault.Kind != Corrupt {
		return 0, c.fail(c.read)
	}
	n, err := c.Conn.Read(p[:n])
	if now && n > 0 {
		p[0] ^= c.fault.Mask
	}
	c.passed(false, n)
	return n, err
}

func (c *faultConn) Write(p []byte) (int, error) {
	written := 0
	for written < len(p) {
		chunk := p[written:]
		n, now := c.room(true, len(chunk))
		chunk = chunk[:n]
		if now {
			switch c.fault.Kind {
			case Corrupt:
				chunk = []byte{chunk[0] ^ c.fault.Mask}
			case Vanish:
				c.Conn.Close()
				return len(p), nil
			default:
				return written, c.fail(c.write)
			}
		}
		n, err := c.Conn.Write(chunk)
		c.passed(true, n)
		written += n
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

// fail is what an operation does once the fault has come.
func (c *faultConn) fail(d *deadline) error {
	if c.fault.Kind == Stall {
		select {
		case <-d.passed():
			return timeoutError{}
		case <-c.closed:
			return net.ErrClosed
		}
	}
	c.Conn.Close()
	return ErrCut
}

func (c *faultConn) Close() error {
	c.closeOnce.Do(func() {
		close(c.closed)
		c.closeError = c.Conn.Close()
	})
	return c.closeError
}

func (c *faultConn) SetDeadline(t time.Time) error {
	c.read.set(t)
	c.write.set(t)
	return c.Conn.SetDeadline(t)
}

func (c *faultConn) SetReadDeadline(t time.Time) error {
	c.read.set(t)
	return c.Conn.SetReadDeadline(t)
}

func (c *faultConn) SetWriteDeadline(t time.Time) error {
	c.write.set(t)
	return c.Conn.SetWriteDeadline(t)
}

// timeoutError is what a net.Conn returns when a deadline has passed.
type timeoutError struct{}

func (timeoutError) Error() string   { return "i/o timeout" }
func (timeoutError) Timeout() bool   { return true }
func (timeoutError) Temporary() bool { return true }
