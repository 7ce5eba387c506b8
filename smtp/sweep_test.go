package smtp_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/smtp"
	"github.com/postrider/postrider/smtp/smtptest"
)

// The sweep runs a dialogue of two mails, to a recipient who is accepted and one who is not, and breaks its
// connection at every octet in either direction in every way. Whatever happens: Deliver
// returns, no mail comes twice or in part, a mail that came is never called failed, and one that did not
// come is never called delivered.
//
// Over TLS each octet costs a handshake: by default it takes every 61st, from a different one for each
// way. SMTP_SWEEP=1 takes them all.

// sweepStride is the distance of the octets that a sweep over TLS breaks at.
func sweepStride() int64 {
	if os.Getenv("SMTP_SWEEP") != "" {
		return 1
	}
	return 61
}

func TestSweep(t *testing.T) {
	ca := smtptest.NewCA()
	config := ca.Server("mx.example.test")
	plain := smtp.Plaintext
	for _, test := range []sweep{
		{name: "chunking", security: plain},
		{name: "pipelining", security: plain, extensions: []string{"PIPELINING", "ENHANCEDSTATUSCODES"}},
		{name: "lockstep", security: plain, extensions: []string{"SIZE"}},
		{name: "lmtp", security: plain, lmtp: true},
		{name: "tls", security: smtp.StartTLS},
		{name: "tls lockstep", security: smtp.ImplicitTLS, extensions: []string{}},
		{name: "opportunistic", security: smtp.Opportunistic, extensions: []string{"STARTTLS", "PIPELINING"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.ca, test.config = ca, config
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
}

func (s *sweep) all(t *testing.T) {
	var sent, received int64
	synctest.Test(t, func(t *testing.T) { sent, received = s.run(t, nil) })
	stride := int64(1)
	if s.security != smtp.Plaintext {
		stride = sweepStride()
	}
	runs := 0
	for i, fault := range []smtptest.Fault{
		{Kind: smtptest.Cut}, {Kind: smtptest.Stall}, {Kind: smtptest.Corrupt}, {Kind: smtptest.Corrupt, Mask: 7},
		{Kind: smtptest.Cut, Sent: true}, {Kind: smtptest.Vanish, Sent: true}, {Kind: smtptest.Stall, Sent: true}, {Kind: smtptest.Corrupt, Sent: true},
	} {
		octets := received
		if fault.Sent {
			octets = sent
		}
		for fault.At = int64(i) % stride; fault.At <= octets; fault.At += stride {
			synctest.Test(t, func(t *testing.T) { s.run(t, &fault) })
			if t.Failed() {
				t.Fatalf("with %+v", fault)
			}
			runs++
		}
	}
	t.Logf("%d octets sent, %d received, %d runs", sent, received, runs)
}

// run does the dialogue with one fault on the first connection, and counts its octets.
func (s *sweep) run(t *testing.T, fault *smtptest.Fault) (sent, received int64) {
	server := &smtptest.Server{Listener: smtptest.NewPipe(), Extensions: s.extensions, LMTP: s.lmtp, ImplicitTLS: s.security == smtp.ImplicitTLS,
		CA: s.ca, TLS: s.config, Refuse: map[string]string{"no@example.test": "550 5.1.1 unknown"}}
	server.Start()
	var counted *countingConn
	pool := &smtp.Pool{Hello: "c.test", Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := server.Dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		c = smtptest.Link{}.Conn(c)
		if counted == nil {
			counted = &countingConn{Conn: c}
			c = counted
			if fault != nil {
				c = fault.Conn(counted)
			}
		}
		return c, nil
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
	return counted.sent.Load(), counted.received.Load()
}

func sweepBody(sender string) string {
	return "From: " + sender + "\r\n\r\n.\r\n..dots\r\n" + strings.Repeat("line\r\n", 3)
}

func (s *sweep) judge(t *testing.T, fault *smtptest.Fault, results map[string][]smtp.Result, messages []*smtptest.Message) {
	// What is corrupted in the clear may go unseen: another message, another address, another digit of a code.
	clear := s.security == smtp.Plaintext || s.security == smtp.Opportunistic
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
		case unsure && came[sender] == 0 && fault.Kind == smtptest.Cut && fault.Sent:
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
