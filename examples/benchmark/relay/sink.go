//go:build linux

package main

import (
	"bufio"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// sink is where the servers deliver. It counts what comes.
type sink struct {
	addr  string
	count atomic.Int64
	end   func() error
}

func startSink() (*sink, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &sink{addr: l.Addr().String(), end: l.Close}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				s.take(conn)
			}()
		}
	}()
	return s, nil
}

// idle is how long a connection may be silent.
const idle = 5 * time.Minute

// take answers one connection. It is as lean as can be, not a server for anybody else: it believes what it is told.
func (s *sink) take(conn net.Conn) error {
	in, out := bufio.NewReaderSize(conn, 32<<10), bufio.NewWriter(conn)
	out.WriteString("220 sink\r\n")
	for {
		if in.Buffered() == 0 {
			conn.SetDeadline(time.Now().Add(idle))
			if err := out.Flush(); err != nil {
				return err
			}
		}
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		verb, argument, _ := strings.Cut(strings.ToUpper(strings.TrimSpace(string(line))), " ")
		switch verb {
		case "EHLO":
			out.WriteString("250-sink\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 8BITMIME\r\n")
			continue
		case "DATA":
			out.WriteString("354 go on\r\n")
			if err := out.Flush(); err != nil {
				return err
			}
			for string(line) != ".\r\n" {
				if line, err = in.ReadSlice('\n'); err != nil {
					return err
				}
			}
			s.count.Add(1)
		case "BDAT":
			size, last, _ := strings.Cut(argument, " ")
			n, err := strconv.Atoi(size)
			if err != nil {
				return err
			}
			if _, err := in.Discard(n); err != nil {
				return err
			}
			if last == "LAST" {
				s.count.Add(1)
			}
		case "QUIT":
			out.WriteString("221 bye\r\n")
			return out.Flush()
		}
		out.WriteString("250 ok\r\n")
	}
}
