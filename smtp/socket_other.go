//go:build !unix

package smtp

import "net"

// socket is not used here: a goroutine listens to each connection instead.
type socket struct{}

func newSocket(net.Conn) *socket { return nil }

func (s *socket) Quiet() bool                   { return false }
func (s *socket) try([]byte) (n int, err error) { return 0, nil }
