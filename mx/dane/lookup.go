package dane

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/miekg/dns"

	"github.com/postrider/postrider/mx"
)

// maxChain bounds the CNAMEs that are followed, maxRecords the TLSA records that are looked at:
// more is a mistake or an attack.
const (
	maxChain   = 10
	maxRecords = 64
)

// lookup asks one resolver whose AD bit is believed.
type lookup struct{ resolver mx.Resolver }

// answer is what is known of a host's TLSA records.
type answer struct {
	base    string // the TLSA base domain
	records []Record
	why     string // why there are none
	err     error  // they could not be had
}

// atOnce bounds how many hosts are asked about at the same time.
const atOnce = 8

// hosts finds the TLSA records of all hosts that can be used.
func (l lookup) hosts(ctx context.Context, hosts []mx.Host) []answer {
	found := make([]answer, len(hosts))
	var wait sync.WaitGroup
	places := make(chan struct{}, atOnce)
	for i := range hosts {
		if hosts[i].Err != nil {
			continue
		}
		wait.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			found[i] = l.host(ctx, &hosts[i])
		})
	}
	wait.Wait()
	return found
}

// host finds the TLSA records of a host (RFC 7672 s. 2.2.2, 2.2.3).
func (l lookup) host(ctx context.Context, h *mx.Host) answer {
	final, secure, alias := l.expand(ctx, h.Name)
	bases := []string{h.Name}
	switch {
	case h.Authentic && alias && secure:
		bases = []string{final, h.Name}
	case h.Authentic:
	case alias && l.secureAlias(ctx, h.Name):
		// The alias itself is signed though what it leads to is not: only the alias can have records.
	default:
		// Servers for unsigned zones are known to choke on TLSA questions: they are not asked.
		return answer{why: "not applied: its address is not signed by DNSSEC"}
	}
	a := answer{}
	for _, base := range bases {
		a = l.tlsa(ctx, base, port(h))
		if a.err != nil || len(a.records) > 0 {
			break // RFC 7672 s. 2.1.2: an error must not lead to the next, perhaps weaker, answer
		}
	}
	return a
}

// port returns the port of the host's addresses.
func port(h *mx.Host) uint16 {
	if len(h.Addrs) > 0 && h.Addrs[0].Port() != 0 {
		return h.Addrs[0].Port()
	}
	return 25
}

// tlsa asks for the TLSA records of one base domain.
func (l lookup) tlsa(ctx context.Context, base string, port uint16) answer {
	a := answer{base: base}
	name := dns.Fqdn("_" + strconv.Itoa(int(port)) + "._tcp." + base)
	reply, err := l.ask(ctx, name, dns.TypeTLSA)
	switch {
	case err != nil:
		a.err = err
		return a
	case !reply.AuthenticatedData:
		a.why = "not applied: the answer about TLSA is not signed by DNSSEC"
		return a
	}
	owner, _ := follow(reply, name)
	for _, rr := range reply.Answer {
		tlsa, ok := rr.(*dns.TLSA)
		if !ok || !sameName(rr.Header().Name, owner) {
			continue
		}
		record, err := FromRR(tlsa)
		if err != nil {
			a.err = err
			return a
		}
		if a.records = append(a.records, record); len(a.records) == maxRecords {
			break
		}
	}
	if len(a.records) == 0 {
		a.why = "no TLSA records"
	}
	return a
}

// expand follows the CNAMEs of a host and says whether the whole answer was secure. The router has
// asked the same, so the resolver answers from its cache.
func (l lookup) expand(ctx context.Context, name string) (final string, secure, alias bool) {
	for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
		reply, err := l.ask(ctx, dns.Fqdn(name), qtype)
		if err != nil {
			continue
		}
		owner, hops := follow(reply, dns.Fqdn(name))
		if hops > 0 {
			return plain(owner), reply.AuthenticatedData, true
		}
		if len(reply.Answer) > 0 {
			break
		}
	}
	return name, false, false
}

// secureAlias says that the name is a CNAME that DNSSEC vouches for, whatever it points to. The AD
// bit covers a whole answer, so the CNAME is asked for alone (RFC 7672 s. 2.1.3).
func (l lookup) secureAlias(ctx context.Context, name string) bool {
	reply, err := l.ask(ctx, dns.Fqdn(name), dns.TypeCNAME)
	if err != nil || !reply.AuthenticatedData {
		return false
	}
	for _, rr := range reply.Answer {
		if rr.Header().Rrtype == dns.TypeCNAME && sameName(rr.Header().Name, dns.Fqdn(name)) {
			return true
		}
	}
	return false
}

// nextHop returns the name that the route's domain is an alias of, and "" when it is none: it too
// is a reference name for DANE-TA (RFC 7672 s. 3.2.2).
func (l lookup) nextHop(ctx context.Context, r *mx.Route) string {
	reply, err := l.ask(ctx, dns.Fqdn(r.Domain), dns.TypeMX)
	if err != nil || !reply.AuthenticatedData {
		return ""
	}
	if owner, hops := follow(reply, dns.Fqdn(r.Domain)); hops > 0 {
		return plain(owner)
	}
	return ""
}

var errTruncated = errors.New("the answer is truncated")

// ask exchanges one question. Only NOERROR and NXDOMAIN are answers: everything else is a bogus or
// broken zone and may hide records (RFC 7672 s. 2.1.1).
func (l lookup) ask(ctx context.Context, name string, qtype uint16) (*dns.Msg, error) {
	q := new(dns.Msg)
	q.SetQuestion(name, qtype)
	q.SetEdns0(1232, true)
	q.AuthenticatedData = true // RFC 6840 s. 5.7: asks for the AD bit
	reply, err := l.resolver.Exchange(ctx, q)
	switch {
	case err != nil:
		return nil, err
	case reply == nil:
		return nil, errors.New("no answer")
	case reply.Truncated:
		return nil, errTruncated
	case reply.Rcode != dns.RcodeSuccess && reply.Rcode != dns.RcodeNameError:
		return nil, fmt.Errorf("%s for %s %s", dns.RcodeToString[reply.Rcode], name, dns.TypeToString[qtype])
	}
	return reply, nil
}

// follow walks the CNAMEs of an answer from the asked name and returns where they end.
func follow(reply *dns.Msg, name string) (owner string, hops int) {
	owner = name
	for hops < maxChain {
		next := ""
		for _, rr := range reply.Answer {
			if c, ok := rr.(*dns.CNAME); ok && sameName(c.Hdr.Name, owner) {
				next = c.Target
				break
			}
		}
		if next == "" {
			break
		}
		owner = next
		hops++
	}
	return owner, hops
}

func sameName(a, b string) bool { return strings.EqualFold(dns.Fqdn(a), dns.Fqdn(b)) }

// plain is a name as mx writes it: lower case, without final dot.
func plain(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }
