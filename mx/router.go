package mx

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
)

// Route finds the hosts for a domain, given as U-labels or A-labels or as an address literal
// in brackets. A route has at least one host with an address. The error is an *Error. When it was
// the policies that left no host, the route comes beside the error, for what they found is reported.
func (r *Router) Route(ctx context.Context, domain string) (*Route, error) {
	route, err := r.Lookup(ctx, domain)
	if err != nil {
		return nil, err
	}
	if err := r.tighten(ctx, route); err != nil {
		return route, err
	}
	return route, nil
}

// Lookup is Route without the policies, for mail whose sender waives them: "TLS-Required: No"
// (RFC 8689 s. 3).
func (r *Router) Lookup(ctx context.Context, domain string) (*Route, error) {
	r.asked.init(r.Resolver)
	if r.Network != "" && r.Network != "ip" && r.Network != "ip4" && r.Network != "ip6" {
		return nil, &Error{domain, 451, "4.3.5", fmt.Errorf("mx: Router.Network is %q, not ip, ip4 or ip6", r.Network)}
	}
	name, literal, err := parseDomain(domain)
	if err != nil {
		return nil, &Error{printable(domain[:min(len(domain), 260)]), 550, "5.1.2", err}
	}
	if literal.IsValid() {
		return r.toAddress(literal)
	}
	route, err := r.toDomain(ctx, name)
	if err != nil {
		return nil, err
	}
	return route, nil
}

// resolver is the one for the router's own questions.
func (r *Router) resolver() (resolver Resolver, trusted bool) {
	resolver = r.asked.resolver
	return resolver, r.TrustAD || Trusted(resolver)
}

// newRoute is a route with what policies need.
func (r *Router) newRoute(domain, canonical string) *Route {
	_, trusted := r.resolver()
	return &Route{Domain: domain, Canonical: canonical, Resolver: r.asked.shared, Trusted: trusted, Allow: r.Allow}
}

func (r *Router) port() uint16 {
	if r.Port == 0 {
		return 25
	}
	return r.Port
}

// toAddress is the route to an address literal.
func (r *Router) toAddress(addr netip.Addr) (*Route, error) {
	domain := "[" + addr.String() + "]"
	host := Host{Name: domain, Canonical: domain, Addrs: []netip.AddrPort{netip.AddrPortFrom(addr, r.port())}}
	if addr.Is6() {
		domain = "[IPv6:" + addr.String() + "]"
	}
	if err := Guard(addr, r.Allow); err != nil {
		return nil, &Error{domain, 550, "5.4.4", err}
	}
	if r.Network == "ip4" && !addr.Unmap().Is4() || r.Network == "ip6" && addr.Unmap().Is4() {
		return nil, &Error{domain, 550, "5.4.4", errors.New("the address is refused: only IPv" + r.Network[2:] + " is used")}
	}
	route := r.newRoute(domain, domain)
	route.Hosts = []Host{host}
	return route, nil
}

// toDomain is the route by MX, or without MX records by the domain's own addresses.
func (r *Router) toDomain(ctx context.Context, domain string) (*Route, error) {
	x, _, known := r.asked.hosts.get(domain)
	if !known {
		var cancel context.CancelFunc
		ctx, cancel = r.asked.bounded(ctx)
		defer cancel()
		var err error
		if x, err = r.exchangesOf(ctx, domain); err != nil {
			return nil, &Error{domain, 451, "4.4.3", err}
		}
	}
	if x.err != nil {
		failed := *x.err
		return nil, &failed
	}
	route := r.newRoute(domain, x.canonical)
	route.Hosts = make([]Host, len(x.hosts))
	route.Implicit, route.Authentic = x.implicit, x.authentic
	route.Notes = slices.Clip(x.notes) // policies append to it, and it is kept
	for i, h := range x.hosts {
		route.Hosts[i] = Host{Name: h.name, Preference: h.preference}
	}
	shuffleEquals(route.Hosts)
	r.findAddresses(ctx, route.Hosts)
	return route, unusable(route)
}

// shuffleEquals spreads the load over hosts of equal preference (RFC 5321 s. 5.1).
func shuffleEquals(hosts []Host) {
	for start := 0; start < len(hosts); {
		end := start + 1
		for end < len(hosts) && hosts[end].Preference == hosts[start].Preference {
			end++
		}
		equals := hosts[start:end]
		if len(equals) > 1 {
			rand.Shuffle(len(equals), func(i, j int) { equals[i], equals[j] = equals[j], equals[i] })
		}
		start = end
	}
}

// findAddresses fills in the hosts' addresses: those that are known, then all others at the same time.
func (r *Router) findAddresses(ctx context.Context, hosts []Host) {
	var few [8]addresses // on the stack, in the usual case
	found := few[:]
	if len(hosts) > len(few) {
		found = make([]addresses, len(hosts))
	}
	missing, n := 0, 0
	for i := range hosts {
		var ok bool
		if found[i], _, ok = r.asked.addrs.get(hosts[i].Name); !ok {
			missing++
		}
		n += len(found[i].addrs)
	}
	if missing > 0 {
		n = r.askMissing(ctx, hosts, found)
	}
	all := make([]netip.AddrPort, 0, n)
	for i := range hosts {
		h, x := &hosts[i], &found[i]
		start := len(all)
		for _, addr := range x.addrs {
			all = append(all, netip.AddrPortFrom(addr, r.port()))
		}
		h.Addrs = all[start:len(all):len(all)]
		h.Canonical, h.Authentic = x.canonical, x.authentic
		if x.err != nil {
			failed := *x.err
			h.Err = &failed
		}
	}
}

// askMissing asks for the addresses of the hosts that are not known, and counts all addresses.
func (r *Router) askMissing(ctx context.Context, hosts []Host, found []addresses) (n int) {
	ctx, cancel := r.asked.bounded(ctx)
	defer cancel()
	asked := make([]addresses, len(hosts)) // found must not be shared with goroutines, or it leaves the stack
	var wg sync.WaitGroup
	for i := range hosts {
		if found[i].canonical != "" {
			asked[i] = found[i]
			continue
		}
		ask := func() {
			x, err := r.addressesOf(ctx, hosts[i].Name)
			if err != nil {
				x = addresses{canonical: hosts[i].Name, err: &Error{hosts[i].Name, 451, "4.4.3", err}}
			}
			asked[i] = x
		}
		if i < len(hosts)-1 {
			wg.Go(ask)
		} else {
			ask()
		}
	}
	wg.Wait()
	for i := range asked {
		n += len(asked[i].addrs)
	}
	copy(found, asked)
	return n
}

// unusable says why no host of a route has an address; nil when one has. As long as one host may have
// an address later, the error is temporary.
func unusable(route *Route) error {
	for i := range route.Hosts {
		if route.Hosts[i].Err == nil {
			return nil
		}
	}
	var all errorList
	failed := Error{Domain: route.Domain, Code: 550, Status: "5.4.4"}
	for i := range route.Hosts {
		h := &route.Hosts[i]
		var e *Error
		if errors.As(h.Err, &e) && e.Temporary() {
			failed.Code, failed.Status = e.Code, e.Status
		}
		all = append(all, h.Err)
	}
	if len(all) == 1 && route.Implicit {
		failed.Err = fmt.Errorf("the domain has no MX record, and as a host: %w", errors.Unwrap(all[0]))
	} else {
		failed.Err = fmt.Errorf("no host can be used: %w", all)
	}
	return &failed
}

// errorList is several errors in one line.
type errorList []error

func (l errorList) Error() string {
	words := make([]string, len(l))
	for i, err := range l {
		words[i] = err.Error()
	}
	return strings.Join(words, "; ")
}

func (l errorList) Unwrap() []error { return l }
