//go:build unix

package benchmark

import (
	"bytes"
	"crypto/tls"
	"io"
	"mime/quotedprintable"
	"net/mail"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/smtp/smtptest"
)

// BenchmarkSend measures a message of 10 KB with each library, against the same servers in a process of
// their own. Over a link with 20 ms each way rtt/msg is the median time over 40 ms until the library says that the
// mail is delivered: warm on a kept connection, cold from dialling on; rtt-closed/msg is until it has closed, too.
// Over loopback msgs/s and cpu-µs/msg, the processor time of the client, are those of one kept connection.
func BenchmarkSend(b *testing.B) {
	s := startSinks(b)
	for _, peer := range peers {
		b.Run("warm/"+peer.name, func(b *testing.B) { warm(b, opened(b, peer.open, s.plainFar)) })
	}
	for _, peer := range peers {
		b.Run("cold-plain/"+peer.name, func(b *testing.B) { cold(b, peer.open, s.plainFar) })
	}
	for _, peer := range peers {
		b.Run("cold-tls-auth/"+peer.name, func(b *testing.B) { cold(b, peer.open, s.tlsFar) })
	}
	for _, peer := range peers {
		b.Run("loopback/"+peer.name, func(b *testing.B) { loopback(b, opened(b, peer.open, s.plain)) })
	}
	// The same over one connection again, but with many callers at once, which no other library here allows.
	for _, peer := range peers[:2] {
		b.Run("loopback-16-callers/"+peer.name, func(b *testing.B) { shared(b, opened(b, peer.open, s.plain)) })
	}
}

func opened(b *testing.B, open opener, t target) conn {
	c, err := open(t, true)
	if err != nil {
		b.Fatal(err)
	}
	return c
}

func send(b *testing.B, c conn) {
	if err := c.send(); err != nil {
		b.Error(err)
	}
}

func shut(b *testing.B, c conn) {
	if err := c.close(); err != nil {
		b.Error(err)
	}
}

// trips is the median time in round trips: the median, for a busy machine is late now and then.
func trips(times []time.Duration) float64 {
	slices.Sort(times)
	return times[len(times)/2].Seconds() / (2 * delay).Seconds()
}

func warm(b *testing.B, c conn) {
	send(b, c) // not measured: postrider dials here
	var sent []time.Duration
	for b.Loop() {
		begin := time.Now()
		send(b, c)
		sent = append(sent, time.Since(begin))
	}
	b.ReportMetric(trips(sent), "rtt/msg")
	shut(b, c)
}

func cold(b *testing.B, open opener, t target) {
	var sent, closed []time.Duration
	for b.Loop() {
		begin := time.Now()
		c, err := open(t, false)
		if err != nil {
			b.Fatal(err)
		}
		send(b, c)
		sent = append(sent, time.Since(begin))
		shut(b, c)
		closed = append(closed, time.Since(begin))
	}
	b.ReportMetric(trips(sent), "rtt/msg")
	b.ReportMetric(trips(closed), "rtt-closed/msg")
}

func loopback(b *testing.B, c conn) {
	send(b, c)
	b.ReportAllocs()
	before, n := processorTime(b), 0
	for b.Loop() {
		send(b, c)
		n++
	}
	rates(b, before, n)
	shut(b, c)
}

func shared(b *testing.B, c conn) {
	send(b, c)
	b.ReportAllocs()
	b.SetParallelism((16 + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0))
	before := processorTime(b)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			send(b, c)
		}
	})
	rates(b, before, b.N)
	shut(b, c)
}

func rates(b *testing.B, before time.Duration, n int) {
	b.ReportMetric(float64((processorTime(b)-before).Microseconds())/float64(n), "cpu-µs/msg")
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "msgs/s")
}

// What is measured is the same work: with every library the same mail arrives, in plaintext and after STARTTLS
// and AUTH, twice on a kept connection.
func TestPeersDoTheSame(t *testing.T) {
	for _, peer := range peers {
		for name, server := range map[string]*smtptest.Server{"plain": plainSink(), "tls-auth": tlsSink()} {
			t.Run(peer.name+"/"+name, func(t *testing.T) {
				server.Start()
				defer server.Close()
				to := target{addr: server.Addr()}
				if name != "plain" {
					to.tls = &tls.Config{RootCAs: server.CA.Pool(), ServerName: "mx.example.test"}
				}
				c, err := peer.open(to, true)
				if err != nil {
					t.Fatal(err)
				}
				for range 2 {
					if err := c.send(); err != nil {
						t.Fatal(err)
					}
				}
				if err := c.close(); err != nil {
					t.Fatal(err)
				}
				for _, m := range smtptest.Expect(t, server, 2) {
					arrived(t, m, to.tls != nil)
				}
				if n := server.Sessions(); n != 1 {
					t.Errorf("%d connections", n)
				}
			})
		}
	}
}

func arrived(t *testing.T, m *smtptest.Message, secure bool) {
	if m.From != sender || len(m.To) != 1 || m.To[0] != recipient {
		t.Errorf("from %s to %s", m.From, m.To)
	}
	if secure != (m.TLS != nil) || secure != (m.User == username) {
		t.Errorf("TLS %v, user %q", m.TLS != nil, m.User)
	}
	read, err := mail.ReadMessage(bytes.NewReader(m.Data))
	if err != nil {
		t.Fatal(err)
	}
	if got := read.Header.Get("Subject"); got != sendSubject {
		t.Errorf("subject %q", got)
	}
	body := read.Body
	if strings.EqualFold(read.Header.Get("Content-Transfer-Encoding"), "quoted-printable") {
		body = quotedprintable.NewReader(body)
	}
	text, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(strings.ReplaceAll(string(text), "\r\n", "\n")); got != strings.TrimSpace(sendText) {
		t.Errorf("another text, of %d octets", len(got))
	}
}
