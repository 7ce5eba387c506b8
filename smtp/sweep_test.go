package smtp_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/smtp"
	"github.com/postrider/postrider/smtp/smtptest"
)

// The sweep runs a dialogue of two mails, to a recipient who is accepted and one who is not, and breaks its
// connection at every octet in either direction in every way: those of a dialogue in the clear, those of TLS, and
// those of a dialogue within TLS. Whatever happens: Deliver returns, no mail comes twice or in part, a mail
// that came is never called failed, one that did not come is never called delivered, and it costs less than 1 MB.
//
// Over TLS each octet costs a handshake: by default a sweep takes one octet of many, and begins at a different
// one for each way. SMTP_SWEEP=1 takes them all; with -run TestSweep/DIALOGUE/WAY it goes in pieces.

func TestSweep(t *testing.T) {
	ca := smtptest.NewCA()
	config := ca.Server("mx.example.test")
	old := config.Clone()
	old.MaxVersion = tls.VersionTLS12
	pipelining := []string{"STARTTLS", "PIPELINING", "ENHANCEDSTATUSCODES"}
	for _, test := range []sweep{
		{name: "clear chunking", security: smtp.Plaintext},
		{name: "clear pipelining", security: smtp.Plaintext, extensions: pipelining},
		{name: "clear lockstep", security: smtp.Plaintext, extensions: []string{"SIZE"}},
		{name: "clear lmtp", security: smtp.Plaintext, lmtp: true},
		{name: "tls chunking", security: smtp.StartTLS},
		{name: "tls pipelining", security: smtp.Encrypted, extensions: pipelining, config: old},
		{name: "tls lockstep", security: smtp.ImplicitTLS, extensions: []string{}},
		{name: "tls lmtp", security: smtp.StartTLS, lmtp: true},
		{name: "tls opportunistic", security: smtp.Opportunistic, extensions: pipelining},
		{name: "within chunking", security: smtp.ImplicitTLS, within: true},
		{name: "within pipelining", security: smtp.StartTLS, extensions: pipelining, within: true, orderly: true},
		{name: "within lockstep", security: smtp.Encrypted, extensions: []string{}, within: true, config: old},
		{name: "within lmtp", security: smtp.ImplicitTLS, lmtp: true, within: true, orderly: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.ca = ca
			if test.config == nil {
				test.config = config
			}
			test.all(t)
		})
	}
}

type sweep struct {
	name       string
	extensions []string
	security   smtp.Security
	lmtp       bool
	ca         *smtptest.CA
	config     *tls.Config
	within     bool // what is broken is the dialogue that TLS carries
	orderly    bool // TLS says that it ends when the dialogue is cut

	allocated uint64 // octets that the last run took of memory
}

// stride is the distance of the octets that the sweep breaks at.
func (s *sweep) stride() int64 {
	switch {
	case os.Getenv("SMTP_SWEEP") != "":
		return 1
	case s.within:
		return 37
	case s.security == smtp.Plaintext && testing.Short():
		return 5
	case s.security == smtp.Plaintext:
		return 1
	}
	return 251
}

// ways are those in which the connection breaks.
var ways = []struct {
	name  string
	fault smtptest.Fault
}{
	{"cut", smtptest.Fault{Kind: smtptest.Cut}},
	{"stall", smtptest.Fault{Kind: smtptest.Stall}},
	{"corrupt", smtptest.Fault{Kind: smtptest.Corrupt}},
	{"corrupt digits", smtptest.Fault{Kind: smtptest.Corrupt, Mask: 7}},
	{"cut sent", smtptest.Fault{Kind: smtptest.Cut, Sent: true}},
	{"vanish sent", smtptest.Fault{Kind: smtptest.Vanish, Sent: true}},
	{"stall sent", smtptest.Fault{Kind: smtptest.Stall, Sent: true}},
	{"corrupt sent", smtptest.Fault{Kind: smtptest.Corrupt, Sent: true}},
}

func (s *sweep) all(t *testing.T) {
	var sent, received int64
	synctest.Test(t, func(t *testing.T) { sent, received = s.run(t, nil) })
	runs, stride, whole, most := 0, s.stride(), s.allocated, uint64(0)
	for i, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			fault, octets := way.fault, received
			if fault.Sent {
				octets = sent
			}
			for fault.At = int64(i) * stride / int64(len(ways)); fault.At <= octets; fault.At += stride {
				synctest.Test(t, func(t *testing.T) { s.run(t, &fault) })
				if s.allocated > 1<<20+whole { // all that was taken, so what is held at a time is less
					t.Errorf("%d octets of memory, without a fault %d", s.allocated, whole)
				}
				if t.Failed() {
					t.Fatalf("with %+v", fault)
				}
				runs, most = runs+1, max(most, s.allocated)
			}
		})
	}
	t.Logf("%d octets sent, %d received, %d runs; memory for one: %d octets, with a fault at most %d", sent, received, runs, whole, most)
}

// run does the dialogue with one fault on the first connection, and counts its octets.
func (s *sweep) run(t *testing.T, fault *smtptest.Fault) (sent, received int64) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	server := &smtptest.Server{Listener: smtptest.NewPipe(), Extensions: s.extensions, LMTP: s.lmtp, ImplicitTLS: s.security == smtp.ImplicitTLS && !s.within,
		CA: s.ca, TLS: s.config, Refuse: map[string]string{"no@example.test": "550 5.1.1 unknown"}}
	server.Start()
	var counted *countingConn
	breaks := func(c net.Conn) net.Conn {
		if counted == nil {
			counted = &countingConn{Conn: c}
			c = counted
			if fault != nil {
				c = fault.Conn(counted)
			}
		}
		return c
	}
	pool := &smtp.Pool{Hello: "c.test", Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := server.Dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		if s.within {
			return s.lead(c, breaks), nil
		}
		return breaks(smtptest.Link{}.Conn(c)), nil
	}}
	to := &smtp.Server{Host: "mx.example.test", Security: s.security, LMTP: s.lmtp, TLS: s.ca.Client("mx.example.test")}
	results := make(map[string][]smtp.Result)
	for _, sender := range []string{"first@example.test", "second@example.test"} {
		begin := time.Now()
		e := envelope(sender, sweepBody(sender), "yes@example.test", "no@example.test")
		results[sender] = pool.Deliver(t.Context(), to, e)
		if took := time.Since(begin); took > time.Hour {
			t.Errorf("took %v", took)
		}
	}
	pool.Close(t.Context())
	server.Close()
	s.judge(t, fault, results, server.Messages())
	runtime.ReadMemStats(&after)
	s.allocated = after.TotalAlloc - before.TotalAlloc
	return counted.sent.Load(), counted.received.Load()
}

// lead leads the client through TLS to a server that speaks in the clear, over a connection that breaks: what
// TLS carries is whole to TLS, and broken to SMTP.
func (s *sweep) lead(server net.Conn, breaks func(net.Conn) net.Conn) net.Conn {
	near, far := net.Pipe()
	client := smtptest.Link{}.Conn(near)
	var broken net.Conn
	if s.security == smtp.ImplicitTLS {
		broken = breaks(server)
	} else { // the greeting belongs to the part before TLS
		bufio.NewReaderSize(server, 16).ReadString('\n')
		broken = breaks(server)
	}
	go func() {
		defer far.Close()
		defer broken.Close()
		if s.security != smtp.ImplicitTLS {
			r := bufio.NewReader(far)
			for _, reply := range []string{"220 mx\r\n", "250-mx\r\n250 STARTTLS\r\n", "220 go ahead\r\n"} {
				io.WriteString(far, reply)
				if reply[:6] != "220 go" {
					r.ReadString('\n')
				}
			}
		}
		carrier := tls.Server(far, s.config)
		go func() {
			io.Copy(broken, carrier)
			broken.Close()
		}()
		io.Copy(carrier, broken)
		if s.orderly {
			carrier.Close()
		}
	}()
	return &carried{client, broken}
}

// carried closes with a connection what is behind it, which may have stalled.
type carried struct {
	net.Conn
	behind net.Conn
}

func (c *carried) Close() error {
	c.behind.Close()
	return c.Conn.Close()
}

func sweepBody(sender string) string {
	return "From: " + sender + "\r\n\r\n.\r\n..dots\r\n" + strings.Repeat("line\r\n", 3)
}

func (s *sweep) judge(t *testing.T, fault *smtptest.Fault, results map[string][]smtp.Result, messages []*smtptest.Message) {
	// What is corrupted in the clear may go unseen: another message, another address, another digit of a code.
	clear := s.security == smtp.Plaintext || s.security == smtp.Opportunistic || s.within
	corrupt := clear && fault != nil && fault.Kind == smtptest.Corrupt && (fault.Sent || fault.Mask != 0)
	came := make(map[string]int)
	for _, m := range messages {
		for sender := range results {
			if string(m.Data) == sweepBody(sender) {
				came[sender]++
			} else if !corrupt && m.From == sender {
				t.Errorf("a part of a message was accepted: %q", m.Data)
			}
		}
	}
	for sender, two := range results {
		yes, no := two[0].Err, two[1].Err
		unsure := errors.Is(yes, smtp.ErrUnsure)
		switch {
		case came[sender] > 1:
			t.Errorf("%s came %d times", sender, came[sender])
		case came[sender] == 1 && yes != nil && !unsure && !corrupt:
			t.Errorf("%s came and is called failed: %v", sender, yes)
		case came[sender] == 0 && yes == nil && !corrupt:
			t.Errorf("%s did not come and is called delivered", sender)
		case fault == nil && yes != nil:
			t.Errorf("%s: %v", sender, yes)
		case unsure && came[sender] == 0 && fault.Kind == smtptest.Cut && fault.Sent && !s.within:
			t.Errorf("%s was not sent to its end and is in doubt: %v", sender, yes)
		case no == nil && !corrupt:
			t.Errorf("%s was refused and is called delivered", sender)
		}
		if _, refused := errors.AsType[*smtp.ReplyError](no); fault == nil && !refused {
			t.Errorf("the refused: %v", no)
		}
	}
}

// countingConn counts octets.
type countingConn struct {
	net.Conn
	sent, received atomic.Int64
}

func (c *countingConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.sent.Add(int64(n))
	return n, err
}

func (c *countingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.received.Add(int64(n))
	return n, err
}
