//go:build unix

package smtp_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/postrider/postrider/smtp"
	"github.com/postrider/postrider/smtp/smtptest"
)

// TestMain lets the test binary be the server of the benchmarks, so that the processor time of the
// client is measured alone.
func TestMain(m *testing.M) {
	if os.Getenv("POSTRIDER_SINK") != "" {
		sink()
		return
	}
	os.Exit(m.Run())
}

func sink() {
	s := (&smtptest.Server{Discard: true, Users: map[string]string{"ada": "secret"}}).Start()
	fmt.Printf("%s\n%s\n", s.Addr(), strings.TrimSpace(string(s.CA.PEM())))
	os.Stdout.Close()
	io.Copy(io.Discard, os.Stdin) // until the parent ends
}

// startSink starts the server in a process of its own.
func startSink(b *testing.B) *smtp.Server {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "POSTRIDER_SINK=1")
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
	out := bufio.NewReader(stdout)
	addr, err := out.ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	pem, _ := io.ReadAll(out)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return &smtp.Server{Host: "mx.example.test", Addrs: []netip.AddrPort{netip.MustParseAddrPort(strings.TrimSpace(addr))},
		TLS: &tls.Config{RootCAs: roots}}
}

const benchDelay = 20 * time.Millisecond // in each direction

// distant dials over a link with delay. A server sees a connection one delay after the client does.
func distant() func(ctx context.Context, network, address string) (net.Conn, error) {
	return smtptest.Link{Delay: benchDelay}.Dial(func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, address)
		return &late{Conn: c}, err
	})
}

type late struct {
	net.Conn
	once sync.Once
}

func (c *late) Read(p []byte) (int, error) {
	c.once.Do(func() { <-time.After(benchDelay) })
	return c.Conn.Read(p)
}

// BenchmarkSend measures a message of 10 KB: over loopback the time, the allocations and the processor
// time of the client, and over a link with 20 ms each way the round trips.
func BenchmarkSend(b *testing.B) {
	body := benchBody()
	e := envelope("a@example.test", body, "b@example.test")
	bench := func(name string, security smtp.Security, auth *smtp.Auth, keep bool, at, far int) {
		b.Run(name, func(b *testing.B) {
			to := startSink(b)
			to.Security, to.Auth = security, auth
			pool := func() *smtp.Pool {
				p := &smtp.Pool{Hello: "client.example.test", MaxConns: 1, MaxMessages: 1 << 30, MaxAge: time.Hour, InFlight: 16}
				if !keep {
					p.MaxIdle = -1
				}
				return p
			}
			away := pool()
			away.Dial = distant()
			if keep {
				send(b, away, to, e, 1, 1)
			}
			begin := time.Now()
			send(b, away, to, e, at, far)
			rtt := time.Since(begin).Seconds() / (2 * benchDelay).Seconds() / float64(far)
			away.Close(b.Context())

			near := pool()
			defer near.Close(b.Context())
			send(b, near, to, e, at, 4*at)
			b.ReportAllocs()
			before := cpu(b)
			n := 0
			for b.Loop() {
				send(b, near, to, e, at, at)
				n += at
			}
			b.ReportMetric(float64(cpu(b)-before)/float64(n), "cpu-ns/msg")
			b.ReportMetric(rtt, "rtt/msg")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/msg")
		})
	}
	bench("warm", smtp.Plaintext, nil, true, 1, 8)
	bench("inflight", smtp.Plaintext, nil, true, 16, 128)
	bench("cold-tls-auth", smtp.StartTLS, &smtp.Auth{Username: "ada", Password: "secret"}, false, 1, 2)
	bench("cold-plain", smtp.Plaintext, nil, false, 1, 2)
}

// BenchmarkFloor does with bare system calls what BenchmarkSend/warm does: one write, and reads until the three
// replies are there.
func BenchmarkFloor(b *testing.B) {
	to := startSink(b)
	conn, err := net.Dial("tcp", to.Addrs[0].String())
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	until := func(last string) {
		for {
			line, err := r.ReadSlice('\n')
			if err != nil {
				b.Fatal(err)
			}
			if strings.HasPrefix(string(line), last) {
				return
			}
		}
	}
	until("220 ")
	fmt.Fprintf(conn, "EHLO client.example.test\r\n")
	until("250 ")
	body := benchBody()
	flight := []byte(fmt.Sprintf("MAIL FROM:<a@example.test> SIZE=%d\r\nRCPT TO:<b@example.test>\r\nBDAT %d LAST\r\n%s", len(body), len(body), body))
	before := cpu(b)
	n := 0
	for b.Loop() {
		if _, err := conn.Write(flight); err != nil {
			b.Fatal(err)
		}
		for range 3 {
			until("250 ")
		}
		n++
	}
	b.ReportMetric(float64(cpu(b)-before)/float64(n), "cpu-ns/msg")
}

func benchBody() string {
	return "Subject: benchmark\r\n\r\n" + strings.Repeat(strings.Repeat("x", 76)+"\r\n", 131)
}

// send delivers n messages by some goroutines at once.
func send(b *testing.B, p *smtp.Pool, to *smtp.Server, e *smtp.Envelope, at, n int) {
	if at == 1 {
		for range n {
			deliverOne(b, p, to, e)
		}
		return
	}
	var wait sync.WaitGroup
	for range at {
		wait.Go(func() {
			for range n / at {
				deliverOne(b, p, to, e)
			}
		})
	}
	wait.Wait()
}

func deliverOne(b *testing.B, p *smtp.Pool, to *smtp.Server, e *smtp.Envelope) {
	for _, r := range p.Deliver(b.Context(), to, e) {
		if r.Err != nil {
			b.Error(r.Err)
		}
	}
}

// cpu is the processor time of this process in nanoseconds.
func cpu(b *testing.B) int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}
