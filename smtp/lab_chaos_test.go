package smtp_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/smtp"
)

// chaos is what the lab's misbehaving server does, and what becomes of the mail. To a server with PIPELINING
// and CHUNKING it is sent as a whole before the first reply: when the connection is lost after that, it is in
// doubt. In lockstep more is known.
type chaosCase struct {
	at       string        // last octet of the address. Empty: 40
	from, to string        // local parts. Empty: one that is accepted
	security smtp.Security // zero: Plaintext, since the certificate plays no part
	whole    string
	lockstep string // empty: the same
}

var chaos = []chaosCase{
	{at: "40", security: smtp.Opportunistic, whole: "final ok 250 2.0.0 ok"},
	{at: "40", security: smtp.Encrypted, whole: "final ok 250 2.0.0 ok"},
	{at: "41", security: smtp.Opportunistic, whole: "greeting temporary 421 4.3.2 not now"},
	{at: "41", security: smtp.Encrypted, whole: "greeting temporary 421 4.3.2 not now"},
	{at: "42", security: smtp.Opportunistic, whole: "greeting permanent 554 5.3.2 no service here"},
	{at: "42", security: smtp.Encrypted, whole: "greeting permanent 554 5.3.2 no service here"},
	{at: "43", security: smtp.Opportunistic, whole: "hello temporary"},
	{at: "43", security: smtp.Encrypted, whole: "hello temporary"},
	{at: "44", security: smtp.Opportunistic, whole: "final ok 250 2.0.0 ok"},
	{at: "44", security: smtp.Encrypted, whole: "tls temporary"},
	{at: "45", security: smtp.Opportunistic, whole: "tls temporary"},
	{at: "45", security: smtp.Encrypted, whole: "tls temporary"},
	{at: "46", security: smtp.Opportunistic, whole: "final ok 250 2.0.0 ok"},
	{at: "46", security: smtp.Encrypted, whole: "tls temporary"},
	{at: "47", security: smtp.Opportunistic, whole: "greeting temporary"},
	{at: "47", security: smtp.Encrypted, whole: "greeting temporary"},
	{at: "48", security: smtp.Opportunistic, whole: "final ok 250 2.0.0 ok"},
	{at: "48", security: smtp.Encrypted, whole: "final ok 250 2.0.0 ok"},
	{at: "49", security: smtp.Opportunistic, whole: "greeting temporary"},
	{at: "49", security: smtp.Encrypted, whole: "greeting temporary"},
	{at: "50", security: smtp.Opportunistic, whole: "final ok 250 café ☃ ??? 2.0.0 ok"},
	{at: "50", security: smtp.Encrypted, whole: "final ok 250 café ☃ ??? 2.0.0 ok"},
	{at: "51", security: smtp.Opportunistic, whole: "final ok 250 2.0.0 ok xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"},
	{at: "51", security: smtp.Encrypted, whole: "final ok 250 2.0.0 ok xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"},
	{at: "52", security: smtp.Opportunistic, whole: "final ok 250 2.0.0 ok"},
	{at: "52", security: smtp.Encrypted, whole: "tls temporary"},
	{at: "54", security: smtp.Opportunistic, whole: "final ok 250 2.0.0 ok"},
	{at: "54", security: smtp.Encrypted, whole: "tls temporary 454 4.7.0 TLS not available"},
	{at: "55", security: smtp.Opportunistic, whole: "final ok 250 2.0.0 ok"},
	{at: "55", security: smtp.Encrypted, whole: "final ok 250 2.0.0 ok"},
	{from: "mail421", whole: "mail temporary 421 4.3.2 closing"},
	{from: "mail451", whole: "mail temporary 451 4.1.8 sender as asked"},
	{from: "mail550", whole: "mail permanent 550 5.1.8 sender as asked"},
	{from: "maildrop", whole: "mail unsure", lockstep: "mail temporary"},
	{from: "mailnever", whole: "mail unsure", lockstep: "mail temporary"},
	{to: "rcpt421", whole: "rcpt temporary 421 4.3.2 closing"},
	{to: "rcpt450", whole: "rcpt temporary 450 4.1.1 recipient as asked"},
	{to: "rcpt550", whole: "rcpt permanent 550 5.1.1 recipient as asked"},
	{to: "rcptdrop", whole: "rcpt unsure", lockstep: "rcpt temporary"},
	{to: "rcptnever", whole: "rcpt unsure", lockstep: "rcpt temporary"},
	{to: "rcptpartial", whole: "rcpt unsure", lockstep: "rcpt temporary"},
	{to: "rcptlines", whole: "final ok 250 2.0.0 ok"},
	{to: "rcptmixed", whole: "rcpt unsure", lockstep: "rcpt temporary"},
	{to: "rcptlong", whole: "rcpt unsure", lockstep: "rcpt temporary"},
	{to: "rcptendless", whole: "rcpt unsure", lockstep: "rcpt temporary"},
	{to: "rcptgarbage", whole: "final ok 250 2.0.0 ok"},
	{to: "rcptbad", whole: "rcpt unsure", lockstep: "rcpt temporary"},
	{to: "rcpt99", whole: "rcpt unsure", lockstep: "rcpt temporary"},
	{to: "rcptlf", whole: "final ok 250 2.0.0 ok"},
	{to: "rcptbare", whole: "final ok 250 2.0.0 ok"},
	{to: "rcptextra", whole: "final ok 250 2.1.5 unasked", lockstep: "data temporary"},
	{to: "dropdata", whole: "final unsure", lockstep: "data temporary"},
	{to: "neverdata", whole: "final unsure", lockstep: "data temporary"},
	{to: "data421", whole: "final temporary 421 4.3.2 closing", lockstep: "data temporary 421 4.3.2 closing"},
	{to: "data250", whole: "final ok 250 2.3.0 as asked", lockstep: "data temporary"},
	{to: "data451", whole: "final temporary 451 4.3.0 as asked", lockstep: "data temporary 451 4.3.0 as asked"},
	{to: "data554", whole: "final permanent 554 5.3.0 as asked", lockstep: "data permanent 554 5.3.0 as asked"},
	{to: "dropmid", whole: "final ok 250 2.0.0 ok", lockstep: "data temporary"},
	{to: "stallmid", whole: "final ok 250 2.0.0 ok", lockstep: "data temporary"},
	{to: "dropdot", whole: "final unsure"},
	{to: "neverdot", whole: "final unsure"},
	{to: "partialdot", whole: "final unsure"},
	{to: "dot421", whole: "final temporary 421 4.3.2 closing"},
	{to: "dot250", whole: "final ok 250 2.0.0 as asked"},
	{to: "dot451", whole: "final temporary 451 4.0.0 as asked"},
	{to: "dot554", whole: "final permanent 554 5.0.0 as asked"},
	{to: "dotokclose", whole: "final ok 250 2.0.0 ok, and gone"},
	{to: "slowdot", whole: "final unsure"},
	{to: "lines", whole: "final ok 250 2.0.0 one two three"},
}

func TestLabChaos(t *testing.T) {
	config := labRoots(t)
	for _, c := range chaos {
		for _, lockstep := range []bool{false, true} {
			name := fmt.Sprint(c.at, c.from, c.to, " ", c.security, " ", lockstep)
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				want := c.whole
				if lockstep && c.lockstep != "" {
					want = c.lockstep
				}
				begin := time.Now()
				r := c.send(t, config, lockstep)
				if got := strings.TrimSpace(r); got != want {
					t.Errorf("got %q, want %q", got, want)
				}
				if took := time.Since(begin); took > 20*time.Second {
					t.Errorf("took %v", took)
				}
			})
		}
	}
}

func (c chaosCase) send(t *testing.T, config *tls.Config, lockstep bool) string {
	at := netip.MustParseAddrPort(os.Getenv("LAB_CHAOS"))
	if c.at != "" {
		at = netip.AddrPortFrom(netip.MustParseAddr("127.0.0."+c.at), at.Port())
	}
	limit := 2 * time.Second
	pool := &smtp.Pool{Hello: "client.example.test", Timeouts: smtp.Timeouts{Connect: limit, Greeting: limit, Command: limit, Data: limit, Block: limit, Final: limit}}
	defer pool.Close(t.Context())
	if lockstep {
		pool.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := new(net.Dialer).DialContext(ctx, network, address)
			return &masked{c, []string{"PIPELINING", "CHUNKING"}}, err
		}
	}
	if c.security == 0 {
		c.security = smtp.Plaintext
	}
	to := &smtp.Server{Host: "chaos.test", Addrs: []netip.AddrPort{at}, TLS: config, Security: c.security}
	e := envelope(cmp.Or(c.from, "a")+"@example.test", hello, cmp.Or(c.to, "b")+"@example.test")
	if strings.HasSuffix(c.to, "mid") {
		large := hello + strings.Repeat("more and more\r\n", 1<<20)
		e.Size, e.Open = int64(len(large)), opener(large)
	}
	r := pool.Deliver(t.Context(), to, e)
	if r[0].Err != nil {
		t.Log(r[0].Err)
	}
	_, fate, _ := strings.Cut(fates(r), " ")
	return fate[:min(len(fate), 60)]
}

// masked hides what a server offers.
type masked struct {
	net.Conn
	keywords []string
}

func (c *masked) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	for _, keyword := range c.keywords {
		copy(p, bytes.ReplaceAll(p[:n], []byte(keyword), []byte("X"+keyword[1:])))
	}
	return n, err
}
