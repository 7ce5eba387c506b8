package mx_test

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/postrider/postrider/mx"
	"github.com/postrider/postrider/mx/mxtest"
)

// text writes an answer as its code and the data of its records, or as the error.
func text(a *dns.Msg, err error) string {
	if err != nil {
		return "error: " + err.Error()
	}
	words := []string{dns.RcodeToString[a.Rcode]}
	for _, rr := range a.Answer {
		words = append(words, strings.TrimPrefix(rr.String(), rr.Header().String()))
	}
	return strings.Join(words, " ")
}

func question(name string, qtype uint16) *dns.Msg { return new(dns.Msg).SetQuestion(name, qtype) }

func listen(t *testing.T, zone *mxtest.Zone) *mxtest.Server {
	t.Helper()
	server, err := zone.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return server
}

// counter counts the sockets that are opened, by network.
type counter struct{ udp, tcp atomic.Int32 }

func (c *counter) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if network == "udp" {
		c.udp.Add(1)
	} else {
		c.tcp.Add(1)
	}
	return new(net.Dialer).DialContext(ctx, network, address)
}

func TestDNSOverUDPAndTCP(t *testing.T) {
	big := "a.test. A 9.0.0.1\n"
	for i := range 60 {
		big += fmt.Sprintf("big.test. MX 10 a-rather-long-host-name-%d.test.\n", i)
	}
	zone := mxtest.MustParse(big)
	var sockets counter
	d := &mx.DNS{Servers: []string{listen(t, zone).Addr}, Dial: sockets.dial}
	for range 50 {
		q := question("a.test.", dns.TypeA)
		a, err := d.Exchange(t.Context(), q)
		if got := text(a, err); got != "NOERROR 9.0.0.1" || a.Id != q.Id {
			t.Fatalf("%s, id %d for %d", got, a.Id, q.Id)
		}
	}
	for range 3 {
		a, err := d.Exchange(t.Context(), question("big.test.", dns.TypeMX))
		if err != nil || a.Truncated || len(a.Answer) != 60 {
			t.Fatalf("%v: truncated %v, %d records", err, a.Truncated, len(a.Answer))
		}
	}
	if u, s := sockets.udp.Load(), sockets.tcp.Load(); u != 1 || s != 1 {
		t.Errorf("%d UDP and %d TCP sockets, want one of each", u, s)
	}
	for range 500 {
		if got := text(d.Exchange(t.Context(), question("a.test.", dns.TypeA))); got != "NOERROR 9.0.0.1" {
			t.Fatal(got)
		}
	}
	if u := sockets.udp.Load(); u != 2 {
		t.Errorf("%d UDP sockets after 553 questions, want a new one after 500", u)
	}
	if _, err := d.Exchange(t.Context(), new(dns.Msg)); err == nil {
		t.Error("a message without question passed")
	}
}

// rawServer answers each datagram with what reply makes of it.
func rawServer(t *testing.T, reply func(q []byte) []byte) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buffer := make([]byte, 4096)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			conn.WriteTo(reply(buffer[:n]), from)
		}
	}()
	t.Cleanup(func() {
		conn.Close()
		<-done
	})
	return conn.LocalAddr().String()
}

func TestServerWithoutEDNS(t *testing.T) {
	zone := mxtest.MustParse("a.test. A 9.0.0.1")
	addr := rawServer(t, func(packet []byte) []byte {
		q := new(dns.Msg)
		if err := q.Unpack(packet); err != nil {
			return nil
		}
		a, _ := zone.Exchange(context.Background(), q)
		if q.IsEdns0() != nil {
			a = new(dns.Msg).SetRcode(q, dns.RcodeFormatError)
			a.Question = nil // as old servers do
		}
		packet, _ = a.Pack()
		return packet
	})
	d := &mx.DNS{Servers: []string{addr}}
	if got := text(d.Exchange(t.Context(), question("a.test.", dns.TypeA))); got != "NOERROR 9.0.0.1" {
		t.Error(got)
	}
}

func TestOtherServers(t *testing.T) {
	bad, good := mxtest.MustParse(""), mxtest.MustParse("a.test. A 9.0.0.1")
	bad.Fail(".", mxtest.Fault{Rcode: dns.RcodeServerFailure})
	d := &mx.DNS{Servers: []string{listen(t, bad).Addr, listen(t, good).Addr}}
	for range 5 {
		if got := text(d.Exchange(t.Context(), question("a.test.", dns.TypeA))); got != "NOERROR 9.0.0.1" {
			t.Fatal(got)
		}
	}
	if n := len(bad.Asked()); n != 1 {
		t.Errorf("the failing server was asked %d times, want once in a minute", n)
	}
	good.Fail(".", mxtest.Fault{Rcode: dns.RcodeRefused})
	if got := text(d.Exchange(t.Context(), question("a.test.", dns.TypeA))); got != "SERVFAIL" {
		t.Errorf("all servers fail: %s", got)
	}
	if b, g := len(bad.Asked()), len(good.Asked()); b != 2 || g != 6 {
		t.Errorf("asked %d and %d times: who has answered is not asked again", b, g)
	}

	closed := rawServer(t, func([]byte) []byte { return nil })
	host, _, _ := net.SplitHostPort(closed)
	d = &mx.DNS{Servers: []string{host + ":1", listen(t, good).Addr}} // nothing listens on port 1
	good.Heal()
	if got := text(d.Exchange(t.Context(), question("a.test.", dns.TypeA))); got != "NOERROR 9.0.0.1" {
		t.Errorf("after a closed port: %s", got)
	}
	for _, server := range []string{"dns.example", "", "192.0.2.1:x", "192.0.2.1:70000"} {
		if _, err := (&mx.DNS{Servers: []string{server}}).Exchange(t.Context(), question("a.test.", dns.TypeA)); err == nil {
			t.Errorf("server %q passed", server)
		}
	}
}

// pipes dials servers in process, by address; a nil zone never answers.
func pipes(zones map[string]*mxtest.Zone) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		near, far := net.Pipe()
		go func() {
			defer far.Close()
			buffer := make([]byte, 4096)
			for {
				n, err := far.Read(buffer)
				if err != nil {
					return
				}
				zone := zones[address]
				if zone == nil {
					continue
				}
				q := new(dns.Msg)
				if q.Unpack(buffer[:n]) != nil {
					return
				}
				a, err := zone.Exchange(context.Background(), q)
				if err != nil {
					return
				}
				packet, _ := a.Pack()
				if _, err := far.Write(packet); err != nil {
					return
				}
			}
		}()
		return near, nil
	}
}

func TestDNSTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		zone := mxtest.MustParse("a.test. A 9.0.0.1")
		d := &mx.DNS{Servers: []string{"9.9.9.9", "2600::53"}, Dial: pipes(map[string]*mxtest.Zone{"[2600::53]:53": zone})}
		took := func(ctx context.Context) (string, time.Duration) {
			start := time.Now()
			got := text(d.Exchange(ctx, question("a.test.", dns.TypeA)))
			return got, time.Since(start)
		}
		for i, want := range []time.Duration{5 * time.Second, 0, 0} {
			if got, d := took(t.Context()); got != "NOERROR 9.0.0.1" || d != want {
				t.Errorf("question %d: %s after %v, want %v", i, got, d, want)
			}
		}
		time.Sleep(2 * time.Minute) // then the first server gets another chance, one question's long
		for i, want := range []time.Duration{5 * time.Second, 0} {
			if got, d := took(t.Context()); got != "NOERROR 9.0.0.1" || d != want {
				t.Errorf("later question %d: %s after %v, want %v", i, got, d, want)
			}
		}

		d.CloseIdle()
		d = &mx.DNS{Servers: []string{"9.9.9.9", "2600::53"}, Timeout: 2 * time.Second, Attempts: 3, Dial: pipes(nil)}
		got, wait := took(t.Context())
		if wait != 12*time.Second || !strings.Contains(got, "9.9.9.9:53") || !strings.Contains(got, "[2600::53]:53") {
			t.Errorf("all silent: %s after %v", got, wait)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if got, wait = took(ctx); wait != 3*time.Second || got != "error: context deadline exceeded" {
			t.Errorf("deadline: %s after %v", got, wait)
		}
		ctx, stop := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { stop(errors.New("shutting down")) })
		if got, wait = took(ctx); wait != time.Second || got != "error: shutting down" {
			t.Errorf("cancelled: %s after %v", got, wait)
		}
	})
}

// A copy of an answer that comes late must neither be believed nor make trouble.
func TestLateCopies(t *testing.T) {
	zone := mxtest.MustParse("a.test. A 9.0.0.1\nb.test. A 9.0.0.2")
	zone.Fail(".", mxtest.Fault{Mangle: func(a *dns.Msg) []*dns.Msg { return []*dns.Msg{a, a} }})
	d := &mx.DNS{Servers: []string{listen(t, zone).Addr}}
	for range 20 {
		if got := text(d.Exchange(t.Context(), question("a.test.", dns.TypeA))); got != "NOERROR 9.0.0.1" {
			t.Fatal(got)
		}
		if got := text(d.Exchange(t.Context(), question("b.test.", dns.TypeA))); got != "NOERROR 9.0.0.2" {
			t.Fatal(got)
		}
	}
}

func TestDNSOverTLS(t *testing.T) {
	zone := mxtest.MustParse("a.test. A 9.0.0.1")
	certified := httptest.NewUnstartedServer(nil) // for its certificate, for 127.0.0.1 and example.com
	certified.StartTLS()
	defer certified.Close()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: certified.TLS.Certificates})
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{Listener: listener, Handler: zone}
	go server.ActivateAndServe()
	defer server.Shutdown()

	trust := certified.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	var sockets counter
	ask := func(config *tls.Config) string {
		d := &mx.DNS{Servers: []string{listener.Addr().String()}, TLS: config, Timeout: 10 * time.Second, Attempts: 1, Dial: sockets.dial}
		text(d.Exchange(t.Context(), question("a.test.", dns.TypeA)))
		return text(d.Exchange(t.Context(), question("a.test.", dns.TypeA)))
	}
	for _, config := range []*tls.Config{{RootCAs: trust}, {RootCAs: trust, ServerName: "example.com"}} {
		if got := ask(config); got != "NOERROR 9.0.0.1" {
			t.Errorf("ServerName %q: %s", config.ServerName, got)
		}
	}
	if u, s := sockets.udp.Load(), sockets.tcp.Load(); u != 0 || s != 2 {
		t.Errorf("%d UDP sockets and %d TLS connections for twice two questions", u, s)
	}
	for _, config := range []*tls.Config{{}, {RootCAs: trust, ServerName: "wrong.example"}} {
		if got := ask(config); !strings.Contains(got, "certificate") {
			t.Errorf("ServerName %q with a wrong certificate: %s", config.ServerName, got)
		}
	}
}

// A server closes idle connections whenever it likes: the next question opens another.
func TestStaleStream(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	zone := mxtest.MustParse("a.test. A 9.0.0.1")
	closed := make(chan struct{}, 1)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			var length [2]byte
			if _, err := io.ReadFull(conn, length[:]); err == nil {
				packet := make([]byte, binary.BigEndian.Uint16(length[:]))
				io.ReadFull(conn, packet)
				q := new(dns.Msg)
				q.Unpack(packet)
				a, _ := zone.Exchange(context.Background(), q)
				packet, _ = a.Pack()
				conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(packet))), packet...))
			}
			conn.Close() // after one answer
			closed <- struct{}{}
		}
	}()
	// UDP answers are cut; TCP is what counts here.
	udp := rawServer(t, func(packet []byte) []byte {
		return append(append([]byte{}, packet[0], packet[1], 0x82, 0), packet[4:]...)
	})
	d := &mx.DNS{Servers: []string{udp}, Attempts: 1, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		if network == "tcp" {
			address = listener.Addr().String()
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}}
	for range 3 {
		if got := text(d.Exchange(t.Context(), question("a.test.", dns.TypeA))); got != "NOERROR 9.0.0.1" {
			t.Fatal(got)
		}
		<-closed
	}
}

func TestManyAskAtOnce(t *testing.T) {
	records := ""
	for i := range 200 {
		records += fmt.Sprintf("n%d.test. A 9.0.1.%d\n", i, i)
	}
	d := &mx.DNS{Servers: []string{listen(t, mxtest.MustParse(records)).Addr}}
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			got := text(d.Exchange(ctx, question(fmt.Sprintf("n%d.test.", i), dns.TypeA)))
			if want := fmt.Sprintf("NOERROR 9.0.1.%d", i); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
	wg.Wait()
}

func TestTrusted(t *testing.T) {
	for _, c := range []struct {
		resolver mx.Resolver
		want     bool
	}{
		{&mx.DNS{Servers: []string{"127.0.0.1"}}, true},
		{&mx.DNS{Servers: []string{"[::1]:5353", "127.0.0.53"}}, true},
		{&mx.DNS{Servers: []string{"127.0.0.1", "9.9.9.9"}}, false},
		{&mx.DNS{Servers: []string{"nonsense"}}, false},
		{&mx.DNS{Servers: []string{"9.9.9.9"}, TLS: &tls.Config{}}, false},
		{&mx.Cache{Resolver: &mx.DNS{Servers: []string{"127.0.0.1"}}}, true},
		{&mx.Cache{Resolver: &mx.DNS{Servers: []string{"10.0.0.1"}}}, false},
		{mxtest.MustParse(""), false},
		{nil, false},
	} {
		if got := mx.Trusted(c.resolver); got != c.want {
			t.Errorf("%#v: %v", c.resolver, got)
		}
	}
}
