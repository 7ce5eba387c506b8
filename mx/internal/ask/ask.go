// Package ask puts the questions of the policies to an mx.Resolver and tells answers from failures.
package ask

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/miekg/dns"
)

// Resolver is mx.Resolver.
type Resolver interface {
	Exchange(ctx context.Context, q *dns.Msg) (*dns.Msg, error)
}

// maxChain bounds the CNAMEs that are followed.
const maxChain = 10

// Answer is what the DNS says about a name and a type: possibly nothing.
type Answer struct {
	// Records are of the asked type, at the end of the CNAME chain.
	Records []dns.RR
	// Name is the end of the chain, in lower case without final dot, and Aliases its length.
	Name    string
	Aliases int
	// AD is the bit of the answer.
	AD bool
}

// Ask exchanges one question. Only NOERROR and NXDOMAIN are answers: everything else is a bogus or
// broken zone and may hide records (RFC 4035 s. 5.5, RFC 7672 s. 2.1.1).
func Ask(ctx context.Context, r Resolver, name string, qtype uint16) (Answer, error) {
	q := new(dns.Msg)
	q.SetQuestion(dns.Fqdn(name), qtype)
	q.SetEdns0(1232, true)
	q.AuthenticatedData = true // RFC 6840 s. 5.7: asks for the AD bit
	reply, err := r.Exchange(ctx, q)
	what := name + " " + dns.TypeToString[qtype]
	switch {
	case err != nil:
		return Answer{}, fmt.Errorf("%s: %w", what, err)
	case reply == nil:
		return Answer{}, errors.New(what + ": no answer")
	case reply.Truncated:
		return Answer{}, errors.New(what + ": the answer is truncated")
	case reply.Rcode != dns.RcodeSuccess && reply.Rcode != dns.RcodeNameError:
		return Answer{}, errors.New(what + ": the answer is " + dns.RcodeToString[reply.Rcode])
	}
	a := Answer{Name: plain(name), AD: reply.AuthenticatedData}
	for next := ""; a.Aliases < maxChain; a.Aliases++ {
		if next = target(reply, a.Name); next == "" || qtype == dns.TypeCNAME {
			break
		}
		a.Name = next
	}
	for _, rr := range reply.Answer {
		if rr.Header().Rrtype == qtype && plain(rr.Header().Name) == a.Name {
			a.Records = append(a.Records, rr)
		}
	}
	return a, nil
}

// target returns where the name is an alias to.
func target(reply *dns.Msg, name string) string {
	for _, rr := range reply.Answer {
		if c, ok := rr.(*dns.CNAME); ok && plain(c.Hdr.Name) == name {
			return plain(c.Target)
		}
	}
	return ""
}

// plain is a name as mx writes it.
func plain(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// TXT returns the TXT records of a name, the strings of each joined.
func TXT(ctx context.Context, r Resolver, name string) ([]string, error) {
	a, err := Ask(ctx, r, name, dns.TypeTXT)
	var texts []string
	for _, rr := range a.Records {
		if txt, ok := rr.(*dns.TXT); ok {
			texts = append(texts, strings.Join(txt.Txt, ""))
		}
	}
	return texts, err
}

// Addresses returns the addresses of a name, IPv4 first. An error means that none could be had.
func Addresses(ctx context.Context, r Resolver, name string) ([]netip.Addr, error) {
	var addrs []netip.Addr
	var errs []error
	for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
		a, err := Ask(ctx, r, name, qtype)
		errs = append(errs, err)
		for _, rr := range a.Records {
			var addr netip.Addr
			ok := false
			switch rr := rr.(type) {
			case *dns.A:
				addr, ok = netip.AddrFromSlice(rr.A.To4())
			case *dns.AAAA:
				addr, ok = netip.AddrFromSlice(rr.AAAA.To16())
			}
			if ok {
				addrs = append(addrs, addr)
			}
		}
	}
	if len(addrs) > 0 {
		return addrs, nil
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return nil, errors.New(name + " has no address")
}
