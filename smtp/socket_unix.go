//go:build unix

package smtp

import (
	"net"
	"os"
	"syscall"
)

// socket does with a connection of the operating system what net.Conn cannot: it never waits. It is used by one
// goroutine at a time for each of its methods.
type socket struct {
	conn net.Conn
	raw  syscall.RawConn

	peek, once func(fd uintptr) bool // made once, for a closure for each call would be an allocation
	octet      [1]byte
	quiet      bool
	data       []byte
	n          int
	err        error
}

// newSocket returns nil for all that is not a plain connection: the methods of others may do more.
func newSocket(conn net.Conn) *socket {
	var raw syscall.RawConn
	var err error
	switch c := conn.(type) {
	case *net.TCPConn:
		raw, err = c.SyscallConn()
	case *net.UnixConn:
		raw, err = c.SyscallConn()
	}
	if raw == nil || err != nil {
		return nil
	}
	s := &socket{conn: conn, raw: raw}
	s.peek = func(fd uintptr) bool {
		_, _, err := syscall.Recvfrom(int(fd), s.octet[:], syscall.MSG_PEEK)
		s.quiet = err == syscall.EAGAIN
		return true
	}
	s.once = func(fd uintptr) bool {
		s.n, s.err = syscall.Write(int(fd), s.data)
		return true
	}
	return s
}

// Quiet says that the other end has sent nothing that was not read, and has not closed.
func (s *socket) Quiet() bool {
	s.quiet = false
	return s.raw.Read(s.peek) == nil && s.quiet
}

// try writes what the kernel has room for.
func (s *socket) try(b []byte) (n int, err error) {
	s.data, s.n, s.err = b, 0, nil
	if err := s.raw.Write(s.once); err != nil {
		return 0, err
	}
	s.data = nil
	if s.err == syscall.EAGAIN || s.err == syscall.EINTR {
		return 0, nil
	}
	if s.err != nil {
		return 0, &net.OpError{Op: "write", Net: s.conn.RemoteAddr().Network(), Addr: s.conn.RemoteAddr(), Err: os.NewSyscallError("write", s.err)}
	}
	return s.n, nil
}
