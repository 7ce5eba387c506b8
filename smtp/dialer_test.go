package smtp_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/smtp"
	"github.com/postrider/postrider/smtp/smtptest"
)

// proxyServer speaks just enough SOCKS5 or HTTP to lead every tunnel to one server.
func proxyServer(t *testing.T, handle func(net.Conn, *bufio.Reader) (host string, greet string)) (address string, asked chan string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	target := (&smtptest.Server{}).Start()
	t.Cleanup(target.Close)
	asked = make(chan string, 1)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			r := bufio.NewReader(c)
			host, answer := handle(c, r)
			asked <- host
			if host == "" {
				io.WriteString(c, answer)
				c.Close()
				continue
			}
			up, err := net.Dial("tcp", target.Addr())
			if err != nil {
				c.Close()
				continue
			}
			// The greeting goes in one segment with the answer.
			greeting, _ := bufio.NewReader(up).ReadString('\n')
			io.WriteString(c, answer+greeting)
			go func() { io.Copy(up, r); up.Close() }()
			go func() { io.Copy(c, up); c.Close() }()
		}
	}()
	return l.Addr().String(), asked
}

func socks5(user, password string) func(net.Conn, *bufio.Reader) (string, string) {
	return func(c net.Conn, r *bufio.Reader) (string, string) {
		head := make([]byte, 2)
		io.ReadFull(r, head)
		io.CopyN(io.Discard, r, int64(head[1]))
		if user == "" {
			c.Write([]byte{5, 0})
		} else {
			c.Write([]byte{5, 2})
			io.ReadFull(r, head)
			name := make([]byte, head[1])
			io.ReadFull(r, name)
			n, _ := r.ReadByte()
			word := make([]byte, n)
			io.ReadFull(r, word)
			if string(name) != user || string(word) != password {
				return "", "\x01\x01"
			}
			c.Write([]byte{1, 0})
		}
		request := make([]byte, 5)
		io.ReadFull(r, request)
		host := make([]byte, request[4])
		io.ReadFull(r, host)
		port := make([]byte, 2)
		io.ReadFull(r, port)
		return fmt.Sprintf("%s:%d", host, int(port[0])<<8|int(port[1])), "\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"
	}
}

func httpProxy(authorization, answer string) func(net.Conn, *bufio.Reader) (string, string) {
	return func(c net.Conn, r *bufio.Reader) (string, string) {
		host, authorized := "", authorization == ""
		for {
			line, err := r.ReadString('\n')
			line = strings.TrimSpace(line)
			if err != nil || line == "" {
				break
			}
			if rest, ok := strings.CutPrefix(line, "CONNECT "); ok {
				host, _, _ = strings.Cut(rest, " ")
			}
			authorized = authorized || line == "Proxy-Authorization: "+authorization
		}
		if !authorized {
			return "", "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"
		}
		if !strings.Contains(answer, " 200 ") {
			host = ""
		}
		return host, answer
	}
}

const ok200 = "HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n"

func TestProxies(t *testing.T) {
	for _, test := range []struct {
		name, user string
		handle     func(net.Conn, *bufio.Reader) (string, string)
		failure    string
	}{
		{"socks5", "", socks5("", ""), ""},
		{"socks5", "me:s3cret@", socks5("me", "s3cret"), ""},
		{"socks5", "me:wrong@", socks5("me", "s3cret"), "authentication"},
		{"http", "", httpProxy("", ok200), ""},
		{"http", "me:s3cret@", httpProxy("Basic bWU6czNjcmV0", ok200), ""},
		{"http", "me:wrong@", httpProxy("Basic bWU6czNjcmV0", ok200), "407"},
		{"http", "", httpProxy("", "HTTP/1.1 403 Forbidden\r\n\r\n"), `"HTTP/1.1 403 Forbidden"`},
		{"http", "", httpProxy("", "SSH-2.0-x\r\n\r\n"), "SSH-2.0"},
		{"http", "", httpProxy("", "\r\n"), "no answer"},
		{"http", "", httpProxy("", ""), "EOF"},
		{"http", "", httpProxy("", strings.Repeat("HTTP/1.1 200 x\r\n", 2000)), "no answer"},
		{"http", "", httpProxy("", strings.Repeat("x", 20000)), "no answer"},
		{"gopher", "", nil, "unknown scheme"},
	} {
		t.Run(test.name+" "+test.user+test.failure, func(t *testing.T) {
			address, asked := proxyServer(t, test.handle)
			proxy, err := url.Parse(test.name + "://" + test.user + address)
			if err != nil {
				t.Fatal(err)
			}
			d := &smtp.Dialer{Proxy: proxy}
			c, err := d.Dial(t.Context(), "tcp", "mx.example.test:25")
			if test.failure != "" {
				if err == nil || !strings.Contains(err.Error(), test.failure) {
					t.Errorf("%v, want %s", err, test.failure)
				}
				if err != nil && strings.Contains(err.Error(), "wrong") {
					t.Errorf("the password is in the error: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if host := <-asked; host != "mx.example.test:25" {
				t.Errorf("the proxy was asked for %q", host)
			}
			fmt.Fprint(c, "QUIT\r\n")
			talk, err := io.ReadAll(c)
			if err != nil || string(talk) != "220 mx.example.test ESMTP ready\r\n221 2.0.0 bye\r\n" {
				t.Errorf("%q, %v", talk, err)
			}
		})
	}
}

func TestProxyOverTLSAndSilence(t *testing.T) {
	ca := smtptest.NewCA()
	l, err := tls.Listen("tcp", "127.0.0.1:0", ca.Server("127.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			httpProxy("", "")(c, bufio.NewReader(c))
			if n == 0 {
				io.WriteString(c, ok200+"220 hello\r\n")
				c.Close()
			} // the second one never answers
		}
	}()
	d := &smtp.Dialer{Proxy: &url.URL{Scheme: "https", Host: l.Addr().String()}, TLS: &tls.Config{RootCAs: ca.Pool()}}
	c, err := d.Dial(t.Context(), "tcp", "mx.example.test:25")
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(c); string(b) != "220 hello\r\n" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := d.Dial(ctx, "tcp", "mx.example.test:25"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("silent proxy: %v", err)
	}
	d.TLS = nil
	if _, err := d.Dial(t.Context(), "tcp", "mx.example.test:25"); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("unknown authority: %v", err)
	}
	for _, bad := range []string{"mx.example.test", "mx\r\nX: y:25", "m x:25"} {
		if _, err := d.Dial(t.Context(), "tcp", bad); err == nil || strings.Contains(err.Error(), "certificate") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := d.Dial(t.Context(), "unix", "/run/x"); err == nil {
		t.Error("a unix socket through a proxy")
	}
}

func TestSourceAddress(t *testing.T) {
	s := (&smtptest.Server{}).Start()
	defer s.Close()
	for _, test := range []struct {
		source  string
		address string
		ok      bool
	}{
		{"127.0.0.9", s.Addr(), true},
		{"::ffff:127.0.0.9", s.Addr(), true},
		{"127.0.0.9", fmt.Sprintf("localhost:%d", s.Port()), true},
		{"::1", s.Addr(), false},
		{"192.0.2.1", s.Addr(), false}, // not ours
	} {
		d := &smtp.Dialer{Source: []netip.Addr{netip.MustParseAddr(test.source)}}
		c, err := d.Dial(t.Context(), "tcp", test.address)
		if (err == nil) != test.ok {
			t.Errorf("%+v: %v", test, err)
		}
		if c != nil {
			if host, _, _ := net.SplitHostPort(c.LocalAddr().String()); host != "127.0.0.9" {
				t.Errorf("%+v: from %s", test, host)
			}
			c.Close()
		}
	}
}
