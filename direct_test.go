package postrider_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider"
	"github.com/postrider/postrider/mx"
	"github.com/postrider/postrider/mx/mxtest"
	"github.com/postrider/postrider/smtp"
	"github.com/postrider/postrider/smtp/smtptest"
)

// internet is a zone and mail servers on pipes, by address. An address without a server refuses connections.
type internet struct {
	zone    *mxtest.Zone
	servers map[string]*smtptest.Server

	mu     sync.Mutex
	dialed []string
}

// zoneText is the DNS of the tests in this file.
const zoneText = `
	example.org.       MX 10 mx1.example.org.
	example.org.       MX 20 mx2.example.org.
	example.org.       MX 30 mx3.example.org.
	mx1.example.org.   A  192.0.2.1
	mx2.example.org.   A  192.0.2.2
	mx3.example.org.   A  192.0.2.3
	other.example.     MX 10 mx2.example.org.
	plain.example.     A  192.0.2.2
	null.example.      MX 0 .
	alias.example.     CNAME example.org.
	xn--bcher-kva.example. MX 10 mx2.example.org.
`

func newInternet(t *testing.T, servers map[string]*smtptest.Server) *internet {
	n := &internet{zone: mxtest.MustParse(zoneText), servers: servers}
	for _, s := range servers {
		s.Listener = smtptest.NewPipe()
		s.Start()
		t.Cleanup(s.Close)
	}
	return n
}

func (n *internet) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	n.dialed = append(n.dialed, host)
	n.mu.Unlock()
	s := n.servers[host]
	if s == nil {
		return nil, errors.New("connection refused")
	}
	return s.Dial(ctx, network, address)
}

func (n *internet) client(t *testing.T, policies ...mx.Policy) *postrider.Client {
	c := &postrider.Client{Transport: &postrider.Direct{
		Router: &mx.Router{Resolver: n.zone, Allow: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, Policies: policies},
		Pool:   &smtp.Pool{Hello: "client.example.com", Dial: n.dial},
	}}
	t.Cleanup(func() { c.Close(context.Background()) })
	return c
}

func outcomes(r *postrider.Receipt) (all []string) {
	for _, r := range r.Results {
		all = append(all, fmt.Sprint(r.Recipient, " ", postrider.Classify(r).Fate, " ", r.Phase, " ", r.Host))
	}
	return all
}

func greet(reply string) *smtptest.Server {
	return &smtptest.Server{Reply: func(verb, _ string) string {
		if verb == "CONNECT" {
			return reply
		}
		return ""
	}}
}

// The next host is asked when one cannot be reached or refuses at the greeting, and not when it has
// answered about the mail.
func TestDirectTriesHosts(t *testing.T) {
	answer := func(verb, reply string) *smtptest.Server {
		return &smtptest.Server{Replies: map[string]string{verb: reply}}
	}
	for _, test := range []struct {
		name   string
		first  *smtptest.Server
		want   string
		dialed string
	}{
		{"first answers", &smtptest.Server{}, "delivered final mx1.example.org", "192.0.2.1"},
		{"refused connection", nil, "delivered final mx2.example.org", "192.0.2.1 192.0.2.2"},
		{"421 greeting", greet("421 4.3.2 busy"), "delivered final mx2.example.org", "192.0.2.1 192.0.2.2"},
		{"554 greeting", greet("554 5.3.2 no"), "delivered final mx2.example.org", "192.0.2.1 192.0.2.2"},
		{"silence", greet(smtptest.Hang), "delivered final mx2.example.org", "192.0.2.1 192.0.2.2"},
		{"hangs up", greet(smtptest.Drop), "delivered final mx2.example.org", "192.0.2.1 192.0.2.2"},
		{"421 at MAIL", answer("MAIL", "421 4.3.2 going down"), "delivered final mx2.example.org", "192.0.2.1 192.0.2.2"},
		{"450 at RCPT", answer("RCPT", "450 4.7.1 greylisted"), "temporary rcpt mx1.example.org", "192.0.2.1"},
		{"550 at RCPT", answer("RCPT", "550 5.1.1 unknown"), "permanent rcpt mx1.example.org", "192.0.2.1"},
		{"451 at MAIL", answer("MAIL", "451 4.7.1 later"), "temporary mail mx1.example.org", "192.0.2.1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				servers := map[string]*smtptest.Server{"192.0.2.2": {}}
				if test.first != nil {
					servers["192.0.2.1"] = test.first
				}
				n := newInternet(t, servers)
				receipt, err := n.client(t).Send(t.Context(), hello("bob@example.org"))
				if receipt == nil {
					t.Fatal(err)
				}
				if got := outcomes(receipt)[0]; got != "bob@example.org "+test.want {
					t.Errorf("%s (%v), want %s", got, err, test.want)
				}
				// An opportunistic connection may be made again without TLS; it is the order that counts.
				if got := strings.Join(slices.Compact(n.dialed), " "); got != test.dialed {
					t.Errorf("dialed %s, want %s", got, test.dialed)
				}
			})
		})
	}
}

// A message that may have been accepted is not given to another host: that would be a duplicate.
func TestDirectUnsureIsFinal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		second := &smtptest.Server{}
		n := newInternet(t, map[string]*smtptest.Server{"192.0.2.1": {Replies: map[string]string{"END": smtptest.Hang}}, "192.0.2.2": second})
		start := time.Now()
		_, err := n.client(t).Send(t.Context(), hello("bob@example.org"))
		if !errors.Is(err, smtp.ErrUnsure) || errors.Is(err, postrider.ErrTemporary) || second.Count() > 0 {
			t.Errorf("%v; the second host has %d", err, second.Count())
		}
		if waited := time.Since(start); waited < 10*time.Minute || waited > 11*time.Minute {
			t.Errorf("waited %v for the final reply; RFC 5321 s. 4.5.3.2.6 has 10 minutes", waited)
		}
	})
}

// When no host can be reached the failure is temporary, even if one of them says never.
func TestDirectAllHostsFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newInternet(t, map[string]*smtptest.Server{"192.0.2.1": greet("554 no"), "192.0.2.3": greet("554 no")})
		receipt, err := n.client(t).Send(t.Context(), hello("bob@example.org"))
		if !errors.Is(err, postrider.ErrTemporary) || outcomes(receipt)[0] != "bob@example.org temporary connect mx2.example.org" {
			t.Errorf("%v, %v", outcomes(receipt), err)
		}
	})
}

// The recipients of one domain share one transaction; each has its own result.
func TestDirectDomains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := &smtptest.Server{Refuse: map[string]string{"no@example.org": "550 5.1.1 no"}}, &smtptest.Server{}
		n := newInternet(t, map[string]*smtptest.Server{"192.0.2.1": one, "192.0.2.2": two})
		m := hello("a@example.org", "x@other.example", "no@example.org", "b@EXAMPLE.org", "y@plain.example", "z@null.example", "q@missing.example", "c@alias.example", "d@bücher.example")
		receipt, err := n.client(t).Send(t.Context(), m)
		if !errors.Is(err, postrider.ErrPartial) || !errors.Is(err, postrider.ErrPermanent) || errors.Is(err, postrider.ErrTemporary) {
			t.Errorf("error %v", err)
		}
		want := []string{
			"a@example.org delivered final mx1.example.org", "x@other.example delivered final mx2.example.org", "no@example.org permanent rcpt mx1.example.org",
			"b@EXAMPLE.org delivered final mx1.example.org", "y@plain.example delivered final plain.example", "z@null.example permanent route ",
			"q@missing.example permanent route ", "c@alias.example delivered final mx1.example.org", "d@xn--bcher-kva.example delivered final mx2.example.org",
		}
		if got := outcomes(receipt); !slices.Equal(got, want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		var to []string
		for _, m := range one.Messages() {
			to = append(to, strings.Join(m.To, "+"))
		}
		slices.Sort(to)
		if got := strings.Join(to, " "); got != "a@example.org+b@EXAMPLE.org c@alias.example" {
			t.Errorf("the first server has %s", got)
		}
		smtptest.NoViolations(t, one)
	})
}

// DNS that fails is never taken for a domain that does not exist.
func TestDirectDNSFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newInternet(t, nil)
		n.zone.Fail("example.org", mxtest.Fault{Rcode: 2})
		receipt, err := n.client(t).Send(t.Context(), hello("bob@example.org"))
		if !errors.Is(err, postrider.ErrTemporary) || !strings.HasPrefix(outcomes(receipt)[0], "bob@example.org temporary route") {
			t.Errorf("%v, %v", outcomes(receipt), err)
		}
	})
}

// demand is a policy that asks for a level.
type demand mx.Level

func (d demand) Apply(_ context.Context, r *mx.Route) error {
	for i := range r.Hosts {
		r.Hosts[i].Demand.Level = mx.Level(d)
		r.Hosts[i].Demand.Why = "test"
	}
	return nil
}

// Without a policy any certificate will do, and no TLS at all; a policy is never fallen short of.
func TestDirectTLS(t *testing.T) {
	for _, test := range []struct {
		name   string
		level  mx.Level
		server *smtptest.Server
		trust  bool
		tls    bool
		fate   postrider.Fate
	}{
		{"opportunistic, unknown authority", mx.Opportunistic, &smtptest.Server{}, false, true, "delivered"},
		{"opportunistic, no TLS", mx.Opportunistic, &smtptest.Server{Extensions: []string{"PIPELINING"}}, false, false, "delivered"},
		{"encrypted, unknown authority", mx.Encrypted, &smtptest.Server{}, false, true, "delivered"},
		{"encrypted, no TLS", mx.Encrypted, &smtptest.Server{Extensions: []string{"PIPELINING"}}, false, false, "temporary"},
		{"verified", mx.Verified, &smtptest.Server{Name: "mx1.example.org"}, true, true, "delivered"},
		{"verified, unknown authority", mx.Verified, &smtptest.Server{Name: "mx1.example.org"}, false, false, "temporary"},
		{"verified, other name", mx.Verified, &smtptest.Server{Name: "mx9.example.org"}, true, false, "temporary"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newInternet(t, map[string]*smtptest.Server{"192.0.2.1": test.server})
				client := n.client(t, demand(test.level))
				if test.trust {
					client.Transport.(*postrider.Direct).TLS = &tls.Config{RootCAs: test.server.CA.Pool()}
				}
				receipt, err := client.Send(t.Context(), hello("bob@example.org"))
				if receipt == nil {
					t.Fatal(err)
				}
				r := receipt.Results[0]
				if got := postrider.Classify(r).Fate; got != test.fate || test.fate == "delivered" && (r.TLS != nil) != test.tls {
					t.Errorf("%s with TLS %v: %v", got, r.TLS != nil, r.Err)
				}
				if delivered := test.server.Count() > 0; delivered != (test.fate == "delivered") {
					t.Errorf("the server has %d messages", test.server.Count())
				}
			})
		})
	}
}

// "TLS-Required: No" waives what a policy asks; RequireTLS asks for what no policy vouches for here.
func TestDirectTLSWishes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &smtptest.Server{Extensions: []string{"PIPELINING"}}
		client := newInternet(t, map[string]*smtptest.Server{"192.0.2.1": srv}).client(t, demand(mx.Verified))
		m := hello("bob@example.org")
		m.Header = postrider.Header{{Name: "TLS-Required", Value: "No"}}
		if _, err := client.Send(t.Context(), m); err != nil {
			t.Errorf("TLS-Required: No: %v", err)
		}
		raw := "From: a@example.com\r\nTLS-Required: no\r\n\r\n"
		if _, err := client.SendRaw(t.Context(), "a@example.com", []string{"bob@example.org"}, strings.NewReader(raw)); err != nil {
			t.Errorf("raw TLS-Required: No: %v", err)
		}
		m = hello("bob@example.org")
		m.RequireTLS = true
		if _, err := client.Send(t.Context(), m); err == nil {
			t.Error("RequireTLS was delivered without TLS")
		}
		if srv.Count() != 2 {
			t.Errorf("%d messages arrived", srv.Count())
		}
	})
}

// A body that fails while it is being sent drops the connection: half a message is never ended.
func TestBodyFailsWhileSent(t *testing.T) {
	for _, extensions := range [][]string{nil, {"PIPELINING", "SIZE"}, {}} {
		synctest.Test(t, func(t *testing.T) {
			srv := &smtptest.Server{Extensions: extensions}
			n := newInternet(t, map[string]*smtptest.Server{"192.0.2.2": srv})
			broken := errors.New("disk on fire")
			for _, half := range []int{0, 1, 70, 5000, 400_000} {
				text := "From: a@example.com\r\n\r\n" + strings.Repeat(strings.Repeat("x", 68)+"\r\n", half/70)
				e := &smtp.Envelope{From: "a@example.com", To: smtp.Addresses("bob@plain.example"), Size: int64(len(text)) + 100, Open: func() (io.ReadCloser, error) {
					return io.NopCloser(io.MultiReader(strings.NewReader(text), iotest.ErrReader(broken))), nil
				}}
				r := n.client(t).Transport.Deliver(t.Context(), e)[0]
				if r.Err == nil || errors.Is(r.Err, smtp.ErrUnsure) || !errors.Is(r.Err, broken) {
					t.Errorf("%d octets: %v", half, r.Err)
				}
			}
			if srv.Count() > 0 {
				t.Errorf("%d cut messages were accepted", srv.Count())
			}
		})
	}
}

// The caller's context ends the wait at once.
func TestDirectCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newInternet(t, map[string]*smtptest.Server{"192.0.2.1": greet(smtptest.Hang)})
		ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
		defer cancel()
		start := time.Now()
		_, err := n.client(t).Send(ctx, hello("bob@example.org"))
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, postrider.ErrTemporary) || time.Since(start) != 90*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

// Without a trusted resolver DANE protects nothing; an event says so, once.
func TestDirectNoticesInertDANE(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newInternet(t, map[string]*smtptest.Server{"192.0.2.1": {}, "192.0.2.2": {}})
		var events sink
		client := n.client(t)
		client.Events = &events
		d := client.Transport.(*postrider.Direct)
		// The policies of a zero Direct, over the zone of this test.
		opened, err := postrider.Open("direct://")
		if err != nil {
			t.Fatal(err)
		}
		d.Router.Policies = opened.Transport.(*postrider.Direct).Router.Policies[:1]
		for range 2 {
			if _, err := client.Send(t.Context(), hello("bob@example.org", "bob@other.example")); err != nil {
				t.Fatal(err)
			}
		}
		notices := 0
		for _, e := range events.events {
			if e.Type == postrider.EventNotice {
				notices++
				if !strings.Contains(e.Reason, "DANE") || e.Time.IsZero() {
					t.Errorf("%+v", e)
				}
			}
		}
		if notices != 1 {
			t.Errorf("%d notices: %+v", notices, events.events)
		}
	})
}
