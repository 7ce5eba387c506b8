//go:build linux

package main

import (
	"bufio"
	"net"
)

// gathering accepts connections that take and give a flight at a time: go-smtp writes each reply by itself, also those
// to a flight of commands that has come at once, and reads 4 KB. Replies wait until the server has to wait for the client.
type gathering struct{ net.Listener }

func (g gathering) Accept() (net.Conn, error) {
	c, err := g.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &gathered{Conn: c, in: bufio.NewReaderSize(c, 32<<10)}, nil
}

// gathered is used by one goroutine at a time.
type gathered struct {
	net.Conn
	in      *bufio.Reader
	replies []byte
}

func (g *gathered) Write(p []byte) (int, error) {
	g.replies = append(g.replies, p...)
	return len(p), nil
}

func (g *gathered) Read(p []byte) (int, error) {
	if g.in.Buffered() == 0 {
		if err := g.flush(); err != nil {
			return 0, err
		}
	}
	return g.in.Read(p)
}

func (g *gathered) Close() error {
	g.flush()
	return g.Conn.Close()
}

func (g *gathered) flush() error {
	if len(g.replies) == 0 {
		return nil
	}
	_, err := g.Conn.Write(g.replies)
	g.replies = g.replies[:0]
	return err
}
