//go:build unix

package benchmark

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/postrider/postrider/smtp/smtptest"
)

// TestMain lets the test binary be the server of the benchmarks, so that the processor time of the
// clients is measured alone.
func TestMain(m *testing.M) {
	if os.Getenv("BENCHMARK_SINK") != "" {
		runSink()
		return
	}
	os.Exit(m.Run())
}

const (
	username, password = "ada", "secret"
	delay              = 20 * time.Millisecond // in each direction of the far link
)

// target is a server to send to: it offers STARTTLS and AUTH, or neither, for a client that takes
// STARTTLS wherever it is offered shall be compared in plaintext too.
type target struct {
	addr string
	tls  *tls.Config // nil: plaintext, no AUTH
}

// port is the one in addr.
func (t target) port() int {
	_, port, _ := net.SplitHostPort(t.addr)
	n := 0
	fmt.Sscan(port, &n)
	return n
}

func plainSink() *smtptest.Server {
	var offered []string
	for _, e := range smtptest.DefaultExtensions() {
		if e != "STARTTLS" {
			offered = append(offered, e)
		}
	}
	return &smtptest.Server{Extensions: offered}
}

func tlsSink() *smtptest.Server {
	return &smtptest.Server{Users: map[string]string{username: password}, AuthRequired: true}
}

// runSink serves until its standard input ends. It prints the addresses of the near and the far door of
// both servers, and the certificate to trust.
func runSink() {
	plain, secure := plainSink(), tlsSink()
	for _, s := range []*smtptest.Server{plain, secure} {
		s.Discard = true
		s.Start()
		fmt.Println(s.Addr(), far(s.Addr()))
	}
	fmt.Printf("%s\n", secure.CA.PEM())
	os.Stdout.Close()
	io.Copy(io.Discard, os.Stdin)
}

// far opens a door to the server at addr with the latency of a network. The kernel accepts at once what
// a network accepts after a round trip, and the server hears of a connection half a round trip after the
// client does: so much later the server is dialled.
func far(addr string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go carry(c, addr)
		}
	}()
	return l.Addr().String()
}

func carry(client net.Conn, addr string) {
	defer client.Close()
	<-time.After(3 * delay)
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return
	}
	server := smtptest.Link{Delay: delay}.Conn(c)
	var wait sync.WaitGroup
	wait.Go(func() {
		io.Copy(server, client)
		server.Close()
	})
	io.Copy(client, server)
	client.Close()
	wait.Wait()
}

// sinks are the doors of one process with servers.
type sinks struct{ plain, plainFar, tls, tlsFar target }

func startSinks(b *testing.B) *sinks {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "BENCHMARK_SINK=1")
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		stdin.Close()
		cmd.Wait()
	})
	s := new(sinks)
	out := bufio.NewReader(stdout)
	for _, door := range [][2]*target{{&s.plain, &s.plainFar}, {&s.tls, &s.tlsFar}} {
		if _, err := fmt.Fscanln(out, &door[0].addr, &door[1].addr); err != nil {
			b.Fatal(err)
		}
	}
	pem, err := io.ReadAll(out)
	if err != nil {
		b.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(strings.TrimSpace(string(pem)))) {
		b.Fatal("no certificate")
	}
	s.tls.tls = &tls.Config{RootCAs: roots, ServerName: "mx.example.test"}
	s.tlsFar.tls = s.tls.tls
	return s
}

// processorTime is what this process has used.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
