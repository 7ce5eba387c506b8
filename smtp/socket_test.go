//go:build unix

package smtp

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
)

// tcpPair is a connection over loopback with small buffers.
func tcpPair(t *testing.T) (near, far *net.TCPConn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	for _, c := range []*net.TCPConn{a.(*net.TCPConn), b.(*net.TCPConn)} {
		c.SetReadBuffer(16 << 10)
		c.SetWriteBuffer(16 << 10)
	}
	return a.(*net.TCPConn), b.(*net.TCPConn)
}

func TestSocket(t *testing.T) {
	near, far := tcpPair(t)
	s := newSocket(near)
	until := func(quiet bool) { // what was written arrives a moment later
		for s.Quiet() != quiet {
			runtime.Gosched()
		}
	}
	until(true)
	io.WriteString(far, "4")
	until(false)
	if b := make([]byte, 2); true {
		if n, err := near.Read(b); n != 1 || err != nil || b[0] != '4' {
			t.Errorf("Quiet took what it was asked about: %d %v %q", n, err, b)
		}
	}
	until(true)
	sent := 0
	for b := make([]byte, 1<<20); ; {
		n, err := s.try(b)
		if err != nil {
			t.Fatal(err)
		}
		if sent += n; n == 0 {
			break // the test would hang here if try waited
		}
	}
	far.Close() // with octets that it has not read
	until(false)
	if n, err := s.try([]byte("x")); n != 0 || err == nil {
		t.Errorf("to a closed connection: %d %v after %d octets", n, err, sent)
	}
	near.Close()
	if n, err := s.try([]byte("x")); n != 0 || err == nil || s.Quiet() {
		t.Errorf("on a closed connection: %d %v", n, err)
	}
	if newSocket(struct{ net.Conn }{near}) != nil {
		t.Error("a wrapped connection would be passed by")
	}
}

// TestFullWindows has a server on a real connection that reads nothing while its replies are not taken, and whose
// replies are more than all buffers hold, as are the commands. A client that wrote first and read then would wait
// for ever.
func TestFullWindows(t *testing.T) {
	near, far := tcpPair(t)
	message := "Subject: x\r\n\r\n" + strings.Repeat(strings.Repeat("x", 70)+"\r\n", 3000)
	go func() {
		defer far.Close()
		r := bufio.NewReaderSize(far, 16)
		reply := func(code, text string) { fmt.Fprintf(far, "%s-%s\r\n%s ok\r\n", code, text, code) }
		long := strings.Repeat("long ", 100)
		reply("220", "mx")
		for {
			line, err := r.ReadString('\n')
			switch {
			case err != nil:
				return
			case strings.HasPrefix(line, "EHLO"):
				reply("250", "mx\r\n250-PIPELINING\r\n250-CHUNKING")
			case strings.HasPrefix(line, "BDAT"):
				if n, _ := io.CopyN(io.Discard, r, int64(len(message))); n < int64(len(message)) {
					return
				}
				reply("250", long)
			default:
				reply("250", long)
			}
		}
	}()
	pool := &Pool{Hello: "client.example.test", MaxConns: 1, Dial: func(context.Context, string, string) (net.Conn, error) { return near, nil }}
	e := &Envelope{From: "a@a.test", Size: int64(len(message)), Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(message)), nil }}
	for i := range 900 {
		e.To = append(e.To, Recipient{Address: fmt.Sprintf("recipient%d@b.test", i)})
	}
	for range 2 {
		for _, r := range pool.Deliver(t.Context(), &Server{Host: "mx", Security: Plaintext}, e) {
			if r.Err != nil {
				t.Fatal(r.Err)
			}
		}
	}
	pool.Close(t.Context())
}
