package mtasts

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/postrider/postrider/mx"
	"github.com/postrider/postrider/mx/internal/journal"
	"github.com/postrider/postrider/mx/internal/web"
)

// Policy enforces MTA-STS on routes. The zero value is ready and forgets its policies at the end of
// the program: set Cache, for much of the protection lies in remembering (RFC 8461 s. 10.2). It comes
// after DANE, and it is safe for concurrent use; its fields must not change after the first call.
type Policy struct {
	// Cache keeps policies. Nil: in memory.
	Cache Cache
	// Resolver answers questions about policy hosts. Nil: the route's resolver.
	Resolver mx.Resolver
	// Dial makes connections to policy hosts, for proxies and source addresses; the address is an IP
	// address with a port. Nil: net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Allow are address ranges that are dialled though they are not on the public Internet. Nil: the route's.
	Allow []netip.Prefix
	// TLS is the base of the configuration for policy hosts. Nil: the system's roots, TLS 1.2 and up.
	TLS *tls.Config
	// Timeout bounds fetching one policy. Zero: 30 s.
	Timeout time.Duration
	// Port of the policy hosts. Zero: 443, which is the only right one outside of tests.
	Port uint16
	// Notice is told when a policy that is in force could not be refreshed or kept (RFC 8461
	// s. 3.3). Nil: slog.Default warns.
	Notice func(ctx context.Context, notice string)

	memory  File
	tried   journal.Journal[attempt]
	mu      sync.Mutex
	flights map[string]*flight
}

// Apply cuts hosts that an enforced policy does not name from the route, and demands that the others
// are verified. It fails temporarily when no host is left.
func (p *Policy) Apply(ctx context.Context, r *mx.Route) error {
	way := p.way(r.Resolver, r.Allow)
	if way.Resolver == nil || strings.HasPrefix(r.Domain, "[") {
		return nil // an address literal has no policy
	}
	e, failed := p.find(ctx, way, r.Domain)
	if failed != nil {
		r.Notes = append(r.Notes, "MTA-STS: "+failed.Error())
		r.Findings = append(r.Findings, mx.Finding{Type: "sts", Domain: r.Domain, Result: failed.result, Reason: failed.Error()})
	}
	if e == nil || e.Document.Mode == None {
		return nil
	}
	d := &e.Document
	finding := mx.Finding{Type: "sts", Domain: r.Domain, Text: d.Text(), MX: d.MX, Enforced: d.Mode == Enforce}
	if failed != nil {
		r.Findings = r.Findings[:len(r.Findings)-1] // one finding for one policy
		finding.Result, finding.Reason = failed.result, failed.Error()
	}
	for _, h := range r.Hosts {
		if d.Match(h.Name) {
			finding.Hosts = append(finding.Hosts, h.Name)
		}
	}
	why := fmt.Sprintf("MTA-STS: policy %s of %s, mode %s", e.ID, r.Domain, d.Mode)
	r.Notes = append(r.Notes, why)
	err := d.tighten(r, why)
	if err != nil && finding.Result == "" {
		finding.Result, finding.Reason = "validation-failure", err.Error() // RFC 8460 s. 4.3.3 has no name for it
	}
	r.Findings = append(r.Findings, finding)
	return err
}

// tighten does what the policy says to the hosts of a route.
func (d *Document) tighten(r *mx.Route, why string) error {
	kept := r.Hosts[:0:0]
	for _, h := range r.Hosts {
		switch {
		case h.Demand.Level >= mx.DANE:
			// DANE comes first: a host that passes it needs no more, and one that fails it must not pass
			// here instead (RFC 8461 s. 2).
			r.Notes = append(r.Notes, "MTA-STS: "+h.Name+" is left to DANE")
		case d.Mode == Testing:
			if !d.Match(h.Name) {
				r.Notes = append(r.Notes, "MTA-STS: "+h.Name+" is not in the policy, which is only being tested")
			}
		case !d.Match(h.Name):
			r.Notes = append(r.Notes, "MTA-STS: "+h.Name+" is not in the policy and is not used")
			continue
		default:
			h.Demand.Raise(mx.Verified, why)
			h.Demand.Names = []string{h.Name} // RFC 8461 s. 4.2
		}
		kept = append(kept, h)
	}
	r.Hosts = kept
	if len(kept) == 0 {
		return &mx.Error{Domain: r.Domain, Code: 451, Status: "4.7.5",
			Err: fmt.Errorf("no mail server is in the domain's MTA-STS policy (%s)", strings.Join(d.MX, ", "))}
	}
	return nil
}

// way is how policy hosts are reached, with what the policy leaves to the route.
func (p *Policy) way(resolver mx.Resolver, allow []netip.Prefix) web.Way {
	if p.Resolver != nil {
		resolver = p.Resolver
	}
	if p.Allow != nil {
		allow = p.Allow
	}
	return web.Way{Resolver: resolver, Dial: p.Dial, Allow: allow, TLS: p.TLS, Port: p.Port}
}

func (p *Policy) notice(ctx context.Context, text string) {
	if p.Notice != nil {
		p.Notice(ctx, text)
		return
	}
	slog.WarnContext(ctx, text)
}
