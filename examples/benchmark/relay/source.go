//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
)

// bring brings n messages over so many connections, one at a time over each: in one flight where the server has CHUNKING, else in
// two, for it has PIPELINING. It prepares one message, and counts replies.
func bring(ctx context.Context, addr string, n, sessions, size int) error {
	body := []byte(message(size))
	var next atomic.Int64
	var wait sync.WaitGroup
	errs := make([]error, sessions)
	for i := range sessions {
		wait.Go(func() {
			errs[i] = bringSome(ctx, addr, body, func() bool { return next.Add(1) <= int64(n) })
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}

// bringSome brings messages over one connection as long as there are more.
func bringSome(ctx context.Context, addr string, body []byte, more func() bool) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	s := &source{conn: conn, in: bufio.NewReader(conn)}
	s.await("220")
	s.flight([]byte("EHLO client.example.test\r\n"), "250")
	envelope := "MAIL FROM:<" + sender + ">\r\nRCPT TO:<" + recipient + ">\r\n"
	whole := fmt.Appendf(nil, "%sBDAT %d LAST\r\n%s", envelope, len(body), body)
	first, last := []byte(envelope+"DATA\r\n"), append(bytes.Clone(body), ".\r\n"...)
	for chunking := s.chunking; s.err == nil && more(); {
		if chunking {
			s.flight(whole, "250", "250", "250")
			continue
		}
		s.flight(first, "250", "250", "354")
		s.flight(last, "250")
	}
	return s.err
}

// source is one connection that brings messages. After an error it does nothing.
type source struct {
	conn     net.Conn
	in       *bufio.Reader
	chunking bool // a reply's line said so
	err      error
}

// flight sends commands and awaits their replies.
func (s *source) flight(commands []byte, codes ...string) {
	if s.err != nil {
		return
	}
	if _, s.err = s.conn.Write(commands); s.err == nil {
		s.await(codes...)
	}
}

// await reads replies, which must have these codes.
func (s *source) await(codes ...string) {
	for len(codes) > 0 && s.err == nil {
		line, err := s.in.ReadSlice('\n')
		switch {
		case err != nil:
			s.err = err
		case len(line) < 4 || string(line[:3]) != codes[0]:
			s.err = fmt.Errorf("%q instead of %s", line, codes[0])
		case line[3] == ' ':
			codes = codes[1:]
		}
		s.chunking = s.chunking || string(bytes.TrimSpace(line[min(4, len(line)):])) == "CHUNKING"
	}
}
