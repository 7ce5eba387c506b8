package postrider

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/miekg/dns"
	"github.com/postrider/postrider/mx"
)

// asker puts the doctor's questions to an mx.Resolver. Its methods are those of net.Resolver that dkim,
// dmarc and spf want: what does not exist is a *net.DNSError with IsNotFound.
type asker struct{ mx.Resolver }

// records are those of one type, at the end of a chain of aliases.
func (a asker) records(ctx context.Context, name string, kind uint16) ([]dns.RR, error) {
	what := strings.TrimSuffix(name, ".")
	missing := &net.DNSError{Err: "no such record", Name: what, IsNotFound: true}
	if _, ok := dns.IsDomainName(name); !ok || name == "" || strings.Contains(what, "..") || what == "" {
		return nil, missing
	}
	q := new(dns.Msg)
	q.SetQuestion(escape(dns.Fqdn(name)), kind)
	q.SetEdns0(1232, false)
	reply, err := a.Exchange(ctx, q)
	switch {
	case err != nil:
		return nil, &net.DNSError{UnwrapErr: err, Err: err.Error(), Name: what, IsTemporary: true}
	case reply == nil || reply.Truncated:
		return nil, &net.DNSError{Err: "no whole answer", Name: what, IsTemporary: true}
	case reply.Rcode == dns.RcodeNameError:
		missing.Err = "no such name"
		return nil, missing
	case reply.Rcode != dns.RcodeSuccess:
		return nil, &net.DNSError{Err: "the answer is " + dns.RcodeToString[reply.Rcode], Name: what, IsTemporary: true}
	}
	var list []dns.RR
	for _, rr := range reply.Answer {
		if rr.Header().Rrtype == kind && len(list) < 200 {
			list = append(list, rr)
		}
	}
	if len(list) == 0 {
		return nil, missing
	}
	return list, nil
}

// LookupTXT joins the strings of each record.
func (a asker) LookupTXT(ctx context.Context, name string) ([]string, error) {
	list, err := a.records(ctx, name, dns.TypeTXT)
	var texts []string
	for _, rr := range list {
		texts = append(texts, unescape(strings.Join(rr.(*dns.TXT).Txt, "")))
	}
	return texts, err
}

// escape writes a name as the DNS library reads it from an answer: SPF can ask for names with odd octets.
func escape(name string) string {
	if !strings.ContainsAny(name, " ;@()$\"") {
		return name
	}
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		if strings.IndexByte(" ;@()$\"", name[i]) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(name[i])
	}
	return b.String()
}

// unescape undoes the escapes of a zone file (RFC 1035 s. 5.1), with which the DNS library writes octets.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		var n int
		if _, err := fmt.Sscanf(s[i:min(i+3, len(s))], "%03d", &n); err == nil && i+3 <= len(s) && n < 256 {
			b.WriteByte(byte(n))
			i += 2
		} else {
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

func (a asker) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	list, err := a.records(ctx, name, dns.TypeMX)
	var hosts []*net.MX
	for _, rr := range list {
		m := rr.(*dns.MX)
		hosts = append(hosts, &net.MX{Host: m.Mx, Pref: m.Preference})
	}
	return hosts, err
}

// LookupIPAddr finds the addresses of both families. One family that cannot be had is no matter as
// long as the other one is there.
func (a asker) LookupIPAddr(ctx context.Context, host string) ([]net.IPAddr, error) {
	four, err := a.records(ctx, host, dns.TypeA)
	six, err6 := a.records(ctx, host, dns.TypeAAAA)
	var addrs []net.IPAddr
	for _, rr := range four {
		addrs = append(addrs, net.IPAddr{IP: rr.(*dns.A).A})
	}
	for _, rr := range six {
		addrs = append(addrs, net.IPAddr{IP: rr.(*dns.AAAA).AAAA})
	}
	switch {
	case len(addrs) > 0:
		return addrs, nil
	case notFound(err):
		return nil, err6
	}
	return nil, err
}

// LookupAddr finds the names of an address in the reverse DNS.
func (a asker) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	name, err := dns.ReverseAddr(addr)
	if err != nil {
		return nil, &net.DNSError{Err: err.Error(), Name: addr, IsNotFound: true}
	}
	list, err := a.records(ctx, name, dns.TypePTR)
	var names []string
	for _, rr := range list {
		names = append(names, rr.(*dns.PTR).Ptr)
	}
	return names, err
}

// exists tells whether a name is in the DNS: all that counts is NXDOMAIN (RFC 8020).
func (a asker) exists(ctx context.Context, name string) (bool, error) {
	_, err := a.records(ctx, name, dns.TypeA)
	if e, ok := err.(*net.DNSError); ok && e.IsNotFound {
		return e.Err != "no such name", nil
	}
	return err == nil, err
}

// notFound tells that the DNS answered, and has nothing.
func notFound(err error) bool {
	e, ok := err.(*net.DNSError)
	return ok && e.IsNotFound
}

// addrs are the addresses of a host.
func (a asker) addrs(ctx context.Context, host string) ([]netip.Addr, error) {
	list, err := a.LookupIPAddr(ctx, host)
	var out []netip.Addr
	for _, ip := range list {
		if addr, ok := netip.AddrFromSlice(ip.IP); ok {
			out = append(out, addr.Unmap())
		}
	}
	return out, err
}
