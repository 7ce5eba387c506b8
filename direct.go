package postrider

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/postrider/postrider/mx"
	"github.com/postrider/postrider/mx/tlsrpt"
	"github.com/postrider/postrider/smtp"
)

// Direct is a Transport that delivers to the mail exchangers of the recipients' domains. The zero
// value is ready. Its fields are not changed after the first use.
//
// The recipients of one domain share one transaction. The hosts of a domain are tried in their
// order until one takes part in a dialogue: a host that cannot be reached, that refuses at the
// greeting, or whose TLS is not what its domain promises, gives way to the next
// (RFC 5321 s. 5.1). A reply to MAIL, RCPT or the message is the domain's answer, except for a 421 (s. 3.8).
type Direct struct {
	// Hello is the name said in EHLO: it should be this host's name, as its reverse DNS has
	// it. Empty: the system's host name.
	Hello string
	// Router finds the hosts and says what TLS they are held to. Nil: a router over /etc/resolv.conf with
	// DANE (where a validating resolver is trusted), MTA-STS, and a memory by which a host that took TLS
	// once is not served in plaintext later.
	Router *mx.Router
	// State is a folder in which the policies of that default router keep what they know of domains, so that
	// a restart forgets no promise. One process uses it at a time. Empty: they forget at the end of the program.
	State string
	// TLS is the base of the TLS configuration. Nil: the system's roots, used where a policy
	// demands a valid certificate.
	TLS *tls.Config
	// Pool makes and keeps the connections. Nil: one of its own.
	Pool *smtp.Pool
	// Reports counts how TLS went, for reports to the domains (RFC 8460): somebody calls its Send every
	// hour. Nil: nothing is counted.
	Reports *tlsrpt.Reporter

	once   sync.Once
	router *mx.Router
	pool   *smtp.Pool
}

const (
	mostHosts   = 8  // hosts of a domain tried in one attempt
	mostDomains = 16 // domains of an envelope served at once
)

func (d *Direct) init() {
	d.router, d.pool = d.Router, d.Pool
	if d.router == nil {
		dns := &mx.DNS{}
		d.router = &mx.Router{Resolver: dns, Policies: policies(d.TLS, d.State, dns)}
	}
	if d.pool == nil {
		d.pool = &smtp.Pool{Hello: d.Hello}
	}
}

// Deliver finds the way to each domain of the recipients and delivers there.
func (d *Direct) Deliver(ctx context.Context, e *smtp.Envelope) []smtp.Result {
	d.once.Do(d.init)
	results := make([]smtp.Result, len(e.To))
	free := make(chan struct{}, mostDomains)
	var wait sync.WaitGroup
	for domain, at := range byDomain(e.To) {
		free <- struct{}{}
		wait.Go(func() {
			defer func() { <-free }()
			for i, r := range d.deliverDomain(ctx, domain, portion(e, at)) {
				results[at[i]] = r
			}
		})
	}
	wait.Wait()
	return results
}

// Close ends the connections after the transactions in flight have ended or ctx has.
func (d *Direct) Close(ctx context.Context) error {
	d.once.Do(d.init)
	return d.pool.Close(ctx)
}

// byDomain groups the recipients' positions by domain.
func byDomain(to []smtp.Recipient) map[string][]int {
	groups := make(map[string][]int)
	for i, r := range to {
		domain := strings.ToLower(r.Address[strings.LastIndexByte(r.Address, '@')+1:])
		groups[domain] = append(groups[domain], i)
	}
	return groups
}

// portion is the envelope with only the recipients at these positions.
func portion(e *smtp.Envelope, at []int) *smtp.Envelope {
	if len(at) == len(e.To) {
		return e
	}
	p := *e
	p.To = make([]smtp.Recipient, len(at))
	for i, j := range at {
		p.To[i] = e.To[j]
	}
	return &p
}

// deliverDomain asks the hosts of one domain until all recipients have their answer.
func (d *Direct) deliverDomain(ctx context.Context, domain string, e *smtp.Envelope) []smtp.Result {
	route, err := d.route(ctx, domain, e)
	if err != nil {
		d.report(e, route, nil)
		return smtp.Failed(e, smtp.PhaseRoute, "", err)
	}
	var seen outcomes
	defer func() { d.report(e, route, seen) }()
	results := make([]smtp.Result, len(e.To))
	open := make([]int, len(e.To)) // positions without an answer
	for i := range open {
		open[i] = i
	}
	tried := 0
	for _, host := range route.Hosts {
		if tried == mostHosts || len(open) == 0 || tried > 0 && ctx.Err() != nil {
			break
		}
		tried++
		open = d.deliverHost(ctx, route.Domain, &host, e, results, open, &seen)
	}
	if tried == 0 {
		return smtp.Failed(e, smtp.PhaseRoute, "", &mx.Error{Domain: domain, Code: 451, Status: "4.4.4", Err: errNoHost})
	}
	return results
}

// route finds the hosts. REQUIRETLS asks for more than the domain does (RFC 8689 s. 4.2.1); "TLS-Required: No"
// waives what the domain asks (s. 3).
func (d *Direct) route(ctx context.Context, domain string, e *smtp.Envelope) (*mx.Route, error) {
	if e.TLSOptional {
		return d.router.Lookup(ctx, domain)
	}
	route, err := d.router.Route(ctx, domain)
	if err == nil && e.RequireTLS {
		err = mx.RequireTLS{}.Apply(ctx, route)
	}
	return route, err
}

// tell lets policies that learn from connections know how this one went.
func (d *Direct) tell(ctx context.Context, domain string, r smtp.Result) {
	if !r.Addr.IsValid() || r.Phase == smtp.PhaseConnect || r.Phase == smtp.PhaseGreeting || r.Phase == smtp.PhaseTLS {
		return
	}
	for _, p := range d.router.Policies {
		if learner, ok := p.(interface {
			Record(ctx context.Context, name, host string, state *tls.ConnectionState)
		}); ok {
			learner.Record(ctx, domain, r.Host, r.TLS)
		}
	}
}

var errNoHost = errors.New("the route has no host")

// deliverHost asks one host for the recipients in open and returns those that the next host shall
// be asked for.
func (d *Direct) deliverHost(ctx context.Context, domain string, host *mx.Host, e *smtp.Envelope, results []smtp.Result, open []int, seen *outcomes) []int {
	p := portion(e, open)
	var now []smtp.Result
	if host.Err != nil {
		now = smtp.Failed(p, smtp.PhaseRoute, host.Name, host.Err)
	} else {
		now = d.pool.Deliver(ctx, d.server(host), p)
		d.tell(ctx, domain, now[0])
		seen.add(host, now[0])
	}
	var next []int
	for i, r := range now {
		at := open[i]
		// What one host says for good does not stand against another that may be reached later.
		if before := results[at]; before.Err == nil || Classify(before).Fate == FatePermanent || Classify(r).Fate != FatePermanent || !askNext(r) {
			results[at] = r
		}
		if askNext(r) {
			next = append(next, at)
		}
	}
	return next
}

// askNext says whether the next host of the domain is to be asked after this result.
func askNext(r smtp.Result) bool {
	if r.Err == nil || errors.Is(r.Err, smtp.ErrUnsure) {
		return false
	}
	switch r.Phase {
	case smtp.PhaseRoute, smtp.PhaseConnect, smtp.PhaseGreeting, smtp.PhaseHello, smtp.PhaseTLS:
		return true
	case smtp.PhaseMail, smtp.PhaseRcpt, smtp.PhaseData:
		// 421: the server goes away (RFC 5321 s. 3.8). No reply: the connection was lost.
		return r.Reply.Code == 421 || r.Reply.Code == 0 && Classify(r).Fate == FateTemporary
	}
	return false
}

// server says how to connect to a host, as its demand asks.
func (d *Direct) server(host *mx.Host) *smtp.Server {
	s := &smtp.Server{Host: host.Name, Addrs: host.Addrs, TLS: d.TLS, Policy: fmt.Sprint(host.Demand.Level, " ", host.Demand.Why)}
	switch host.Demand.Level {
	case mx.Opportunistic:
		s.Security = smtp.Opportunistic
	case mx.Encrypted:
		s.Security = smtp.Encrypted
	case mx.Verified:
		s.Security = smtp.Encrypted
		s.Verify = d.verifyNames(host)
	default:
		s.Security = smtp.Encrypted
	}
	if len(host.Demand.Names) > 0 {
		s.ServerName = host.Demand.Names[0] // with DANE the TLSA base domain (RFC 7672 s. 8.1)
	}
	if demand := host.Demand.Verify; demand != nil {
		names := s.Verify
		s.Verify = func(cs tls.ConnectionState) error {
			if names != nil {
				if err := names(cs); err != nil {
					return err
				}
			}
			return demand(cs)
		}
	}
	return s
}

// verifyNames asks for a certificate that is valid for one of the demanded names.
func (d *Direct) verifyNames(host *mx.Host) func(tls.ConnectionState) error {
	names := host.Demand.Names
	if len(names) == 0 {
		names = []string{host.Name}
	}
	return func(cs tls.ConnectionState) error {
		if len(cs.PeerCertificates) == 0 {
			return errors.New("the server sent no certificate")
		}
		opts := x509.VerifyOptions{Intermediates: x509.NewCertPool()}
		if d.TLS != nil {
			opts.Roots = d.TLS.RootCAs
			if d.TLS.Time != nil {
				opts.CurrentTime = d.TLS.Time()
			}
		}
		for _, c := range cs.PeerCertificates[1:] {
			opts.Intermediates.AddCert(c)
		}
		var errs []error
		for _, opts.DNSName = range names {
			_, err := cs.PeerCertificates[0].Verify(opts)
			if err == nil {
				return nil
			}
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	}
}

func portString(port uint16) string { return strconv.Itoa(int(port)) }
