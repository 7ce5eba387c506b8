package mx

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	// maxHosts bounds the hosts of a route, the best ones: a domain cannot make us ask, or dial, more.
	maxHosts = 20
	// maxAddrs bounds the addresses of a host and family.
	maxAddrs = 8
	// patience bounds the questions for one route, whatever the resolver and the caller's context.
	patience = 30 * time.Second
	// half is how long a host's addresses are kept when the question for one family failed.
	half = 10 * time.Second
)

// answers are what a router has learned, in a form that is small to keep and quick to read. Domains
// and hosts are kept apart, for many domains share their hosts.
type answers struct {
	once     sync.Once
	resolver Resolver // for what the router itself asks and keeps
	shared   Resolver // for what policies ask: a Cache over it
	system   DNS      // where Router.Resolver is nil
	cache    Cache    // where Router.Resolver is no Cache
	hosts    memo[string, exchanges]
	addrs    memo[string, addresses]
}

// exchanges is what MX says about a domain.
type exchanges struct {
	hosts     []exchange // by preference; without MX records the domain itself
	canonical string
	implicit  bool
	authentic bool
	notes     []string
	err       *Error // permanent: there is no way
}

type exchange struct {
	name       string
	preference uint16
}

// addresses is what A and AAAA say about a host.
type addresses struct {
	addrs     []netip.Addr
	canonical string
	authentic bool
	err       *Error // permanent: there is no address
}

func (a *answers) init(resolver Resolver) {
	a.once.Do(func() {
		if resolver == nil {
			resolver = &a.system
		}
		a.resolver, a.shared = resolver, resolver
		if _, ok := resolver.(*Cache); !ok {
			a.cache.Resolver, a.cache.Size = resolver, 8<<20
			a.shared = &a.cache
		}
		// What the entries cost was measured: 32 octets in the map, the entry, and what hangs on it.
		a.hosts.limit, a.addrs.limit = 31<<20, 27<<20
		a.hosts.cost = func(domain string, x exchanges) int {
			n := 32 + 96 + len(domain) + 8
			for _, h := range x.hosts {
				n += 24 + len(h.name) + 8
			}
			for _, note := range x.notes {
				n += 16 + len(note) + 8
			}
			return n
		}
		a.addrs.cost = func(host string, x addresses) int {
			return 32 + 80 + 24*len(x.addrs) // the name is shared with exchanges
		}
	})
}

// bounded gives a context an end, unless it has one that is near enough or the resolver ends by itself: a
// timer costs as much as all else that a route takes besides its questions.
func (a *answers) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := a.resolver.(*DNS); ok {
		return ctx, func() {}
	}
	if end, ok := ctx.Deadline(); ok && time.Until(end) <= patience {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, patience)
}

// exchangesOf asks for a domain's MX records. Its errors are temporary; what is permanent is in the
// answer.
func (r *Router) exchangesOf(ctx context.Context, domain string) (exchanges, error) {
	domain = strings.Clone(domain) // it may be part of a whole message
	x, _, err := r.asked.hosts.do(ctx, domain, func(ctx context.Context) (x exchanges, life time.Duration, err error) {
		resolver, trusted := r.resolver()
		a, err := lookup(ctx, resolver, trusted, dns.Fqdn(domain), dns.TypeMX)
		if err != nil {
			return x, 0, fmt.Errorf("the MX lookup failed: %w", err)
		}
		return r.exchanges(domain, a), a.life, nil
	})
	return x, err
}

// exchanges reads an answer for MX (RFC 5321 s. 5.1, RFC 7505).
func (r *Router) exchanges(domain string, a answer) exchanges {
	x := exchanges{canonical: domain, authentic: a.authentic}
	if a.aliases > 0 {
		x.canonical = strings.TrimSuffix(a.name, ".")
		x.notes = append(x.notes, "the domain is an alias (CNAME) of "+x.canonical)
	}
	if a.missing {
		x.err = &Error{domain, 550, "5.1.2", errors.New("the domain does not exist")}
		return x
	}
	if len(a.records) == 0 {
		x.implicit = true
		x.hosts = []exchange{{name: domain}}
		if r.isSelf(domain) || r.isSelf(x.canonical) {
			x.err = &Error{domain, 554, "5.4.6", errors.New("mail loops: the domain is this host itself")}
		}
		return x
	}
	for _, rr := range a.records {
		host := rr.(*dns.MX)
		name := strings.ToLower(strings.TrimSuffix(host.Mx, "."))
		if name == "" {
			continue // "." means no mail, but only alone (RFC 7505 s. 3)
		}
		x.hosts = append(x.hosts, exchange{name, host.Preference})
	}
	if len(x.hosts) == 0 {
		x.err = &Error{domain, 556, "5.1.10", errors.New("the domain takes no mail (null MX)")}
		return x
	}
	if len(x.hosts) < len(a.records) {
		x.notes = append(x.notes, `an MX record with host "." beside others is ignored`)
	}
	x.sort()
	r.cut(domain, &x)
	return x
}

// sort orders hosts by preference, by chance among equals so that the bound cuts no host always, and
// drops repeated names.
func (x *exchanges) sort() {
	rand.Shuffle(len(x.hosts), func(i, j int) { x.hosts[i], x.hosts[j] = x.hosts[j], x.hosts[i] })
	slices.SortStableFunc(x.hosts, func(a, b exchange) int { return cmp.Compare(a.preference, b.preference) })
	seen := make(map[string]bool, len(x.hosts))
	x.hosts = slices.DeleteFunc(x.hosts, func(h exchange) bool {
		again := seen[h.name]
		seen[h.name] = true
		return again
	})
}

// cut takes this host and those that are no better off the list (RFC 5321 s. 5.1), then what is beyond
// the bound.
func (r *Router) cut(domain string, x *exchanges) {
	self := slices.IndexFunc(x.hosts, func(h exchange) bool { return r.isSelf(h.name) })
	if self >= 0 {
		preference, name := x.hosts[self].preference, x.hosts[self].name
		keep := slices.IndexFunc(x.hosts, func(h exchange) bool { return h.preference == preference })
		x.notes = append(x.notes, fmt.Sprintf("%s is this host: %d hosts of preference %d and worse are left out",
			name, len(x.hosts)-keep, preference))
		x.hosts = x.hosts[:keep]
		if keep == 0 {
			x.err = &Error{domain, 554, "5.4.6", fmt.Errorf("mail loops: this host, %s, is the domain's best MX", name)}
		}
	}
	if len(x.hosts) > maxHosts {
		x.notes = append(x.notes, fmt.Sprintf("of %d MX hosts the best %d are used", len(x.hosts), maxHosts))
		x.hosts = x.hosts[:maxHosts]
	}
	x.hosts = slices.Clip(x.hosts)
}

func (r *Router) isSelf(name string) bool {
	return slices.ContainsFunc(r.Self, func(self string) bool {
		return strings.EqualFold(strings.TrimSuffix(self, "."), name)
	})
}

// addressesOf asks for a host's addresses. Its errors are temporary.
func (r *Router) addressesOf(ctx context.Context, host string) (addresses, error) {
	x, _, err := r.asked.addrs.do(ctx, host, func(ctx context.Context) (x addresses, life time.Duration, err error) {
		if err := checkName(host); err != nil {
			return addresses{canonical: host, err: &Error{host, 550, "5.4.4", err}}, maxLife, nil
		}
		return r.askAddresses(ctx, host)
	})
	return x, err
}

// family is the answer for one address family.
type family struct {
	answer
	addrs []netip.Addr
	err   error
}

// askAddresses asks for A and AAAA at the same time, as far as Network wants them.
func (r *Router) askAddresses(ctx context.Context, host string) (addresses, time.Duration, error) {
	resolver, trusted := r.resolver()
	ask := func(qtype uint16, f *family) {
		f.answer, f.err = lookup(ctx, resolver, trusted, dns.Fqdn(host), qtype)
		for _, rr := range f.records {
			var addr netip.Addr
			switch rr := rr.(type) {
			case *dns.A:
				addr, _ = netip.AddrFromSlice(rr.A.To4())
			case *dns.AAAA:
				addr, _ = netip.AddrFromSlice(rr.AAAA.To16())
			}
			if addr.IsValid() && !slices.Contains(f.addrs, addr) {
				f.addrs = append(f.addrs, addr)
			}
		}
	}
	var six, four family
	var families []*family
	var wg sync.WaitGroup
	if r.Network != "ip4" {
		families = append(families, &six)
		wg.Go(func() { ask(dns.TypeAAAA, &six) })
	}
	if r.Network != "ip6" {
		families = append(families, &four)
		ask(dns.TypeA, &four)
	}
	wg.Wait()
	return r.addresses(host, families)
}

// addresses joins the answers of the families. A family whose question failed counts only where the
// others have no address.
func (r *Router) addresses(host string, families []*family) (x addresses, life time.Duration, err error) {
	x.canonical, x.authentic, life = host, true, maxLife
	var refused error
	missing := false
	for _, f := range families {
		if f.err != nil {
			err = fmt.Errorf("the address lookup failed: %w", f.err)
			life = min(life, half)
			continue
		}
		life = min(life, f.life)
		x.authentic = x.authentic && f.authentic
		missing = missing || f.missing
		if f.aliases > 0 {
			x.canonical = strings.TrimSuffix(f.name, ".")
		}
		allowed := f.addrs[:0]
		for _, addr := range f.addrs {
			if err := Guard(addr, r.Allow); err != nil {
				refused = err
			} else if len(allowed) < maxAddrs {
				allowed = append(allowed, addr)
			}
		}
		f.addrs = allowed
	}
	x.addrs = interleave(families)
	switch {
	case len(x.addrs) > 0:
		return x, life, nil
	case err != nil:
		return x, 0, err
	case refused != nil:
		x.err = &Error{host, 550, "5.4.4", refused}
	case missing:
		x.err = &Error{host, 550, "5.4.4", errors.New("the host does not exist")}
	case r.Network == "ip4" || r.Network == "ip6":
		x.err = &Error{host, 550, "5.4.4", errors.New("the host has no IPv" + r.Network[2:] + " address")}
	default:
		x.err = &Error{host, 550, "5.4.4", errors.New("the host has no address")}
	}
	return x, life, nil
}

// interleave takes from each family in turn.
func interleave(families []*family) []netip.Addr {
	n := 0
	for _, f := range families {
		n += len(f.addrs)
	}
	addrs := make([]netip.Addr, 0, n)
	for i := 0; len(addrs) < n; i++ {
		for _, f := range families {
			if i < len(f.addrs) {
				addrs = append(addrs, f.addrs[i])
			}
		}
	}
	return addrs
}
