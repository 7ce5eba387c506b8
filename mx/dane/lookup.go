package dane

import (
	"context"
	"strconv"
	"sync"

	"github.com/miekg/dns"

	"github.com/postrider/postrider/mx"
	"github.com/postrider/postrider/mx/internal/ask"
)

// maxRecords bounds the TLSA records that are looked at: more is a mistake or an attack.
const maxRecords = 64

// atOnce bounds how many hosts are asked about at the same time.
const atOnce = 8

// lookup asks one resolver whose AD bit is believed.
type lookup struct{ resolver mx.Resolver }

// answer is what is known of a host's TLSA records.
type answer struct {
	base    string // the TLSA base domain
	records []Record
	why     string // why there are none
	err     error  // they could not be had
}

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
	alias := h.Canonical != "" && h.Canonical != h.Name
	bases := []string{h.Name}
	switch {
	case h.Authentic && alias:
		bases = []string{h.Canonical, h.Name}
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
	reply, err := ask.Ask(ctx, l.resolver, "_"+strconv.Itoa(int(port))+"._tcp."+base, dns.TypeTLSA)
	switch {
	case err != nil:
		a.err = err
		return a
	case !reply.AD:
		a.why = "not applied: the answer about TLSA is not signed by DNSSEC"
		return a
	case len(reply.Records) == 0:
		a.why = "no TLSA records"
		return a
	}
	for _, rr := range reply.Records[:min(len(reply.Records), maxRecords)] {
		tlsa, ok := rr.(*dns.TLSA)
		if !ok {
			continue
		}
		record, err := FromRR(tlsa)
		if err != nil {
			a.err = err
			return a
		}
		a.records = append(a.records, record)
	}
	return a
}

// secureAlias says that the name is a CNAME that DNSSEC vouches for, whatever it points to. The AD
// bit covers a whole answer, so the CNAME is asked for alone (RFC 7672 s. 2.1.3).
func (l lookup) secureAlias(ctx context.Context, name string) bool {
	reply, err := ask.Ask(ctx, l.resolver, name, dns.TypeCNAME)
	return err == nil && reply.AD && len(reply.Records) > 0
}
