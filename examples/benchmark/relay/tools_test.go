//go:build linux

package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/postrider/postrider/smtp"
	"github.com/postrider/postrider/smtp/smtptest"
)

// The source brings whole messages, with CHUNKING and without, and says what a server has against them.
func TestSource(t *testing.T) {
	for _, s := range []*smtptest.Server{{}, {Extensions: []string{"PIPELINING"}}} {
		s.Start()
		if err := bring(t.Context(), s.Addr(), 20, 3, 1000); err != nil {
			t.Fatal(err)
		}
		for _, m := range smtptest.Expect(t, s, 20) {
			if m.From != sender || len(m.To) != 1 || m.To[0] != recipient || string(m.Data) != message(1000) {
				t.Errorf("from %s to %s: %q", m.From, m.To, m.Data)
			}
		}
		s.Close()
	}
}

// The sink counts what comes, whether by BDAT, DATA or a flight of both.
func TestSink(t *testing.T) {
	s, err := startSink()
	if err != nil {
		t.Fatal(err)
	}
	defer s.end()
	if err := bring(t.Context(), s.addr, 20, 3, 1000); err != nil {
		t.Fatal(err)
	}
	pool := new(smtp.Pool)
	to := &smtp.Server{Host: "sink", Addrs: []netip.AddrPort{netip.MustParseAddrPort(s.addr)}, Security: smtp.Plaintext}
	e := &smtp.Envelope{From: sender, To: smtp.Addresses(recipient), Size: int64(len(message(1000))),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(message(1000))), nil }}
	if err := pool.Deliver(t.Context(), to, e)[0].Err; err != nil {
		t.Fatal(err)
	}
	if err := pool.Close(t.Context()); err != nil {
		t.Error(err)
	}
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<a@b>\r\nDATA\r\nbdat 1 last\r\n..\r\n.\r\nbdat 7 last\r\nx\r\n.\r\nyQUIT\r\n")
	replies, err := io.ReadAll(conn)
	if err != nil || !bytes.HasSuffix(replies, []byte("8BITMIME\r\n250 ok\r\n250 ok\r\n354 go on\r\n250 ok\r\n250 ok\r\n221 bye\r\n")) {
		t.Errorf("%q, %v", replies, err)
	}
	if n := s.count.Load(); n != 23 {
		t.Errorf("counted %d of 23", n)
	}
}

// Replies go out when the server waits for the client, not before, and none is forgotten when it hangs up.
func TestGathering(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := gathering{l}.Accept()
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(client, "one\ntwo\n")
	in := bufio.NewReaderSize(server, 16) // the least there is
	for _, want := range []string{"one\n", "two\n"} {
		if line, err := in.ReadString('\n'); line != want || err != nil {
			t.Fatalf("%q, %v", line, err)
		}
		io.WriteString(server, strings.ToUpper(want))
	}
	if n := len(server.(*gathered).replies); n != 8 {
		t.Errorf("%d octets wait, want 8", n)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := in.ReadByte()
		ended <- err
		io.WriteString(server, "BYE\n")
		server.Close()
	}()
	heard := bufio.NewReader(client)
	for _, want := range []string{"ONE\n", "TWO\n"} {
		if line, err := heard.ReadString('\n'); line != want || err != nil {
			t.Fatalf("%q, %v", line, err)
		}
	}
	client.(*net.TCPConn).CloseWrite()
	if err := <-ended; !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	if line, err := heard.ReadString('\n'); line != "BYE\n" || err != nil {
		t.Fatalf("%q, %v", line, err)
	}
}
