package mxtest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/miekg/dns"
)

// Zone is a set of DNS records with which questions are answered. The zero value knows no name. It is
// safe for concurrent use.
type Zone struct {
	mu     sync.Mutex
	nodes  map[string]map[uint16][]dns.RR // by canonical name; an empty map is an empty non-terminal
	signed []string
	faults []*Fault
	asked  []string
}

// Parse reads a zone file (RFC 1035 s. 5.1). Names that do not end in a dot are relative to $ORIGIN,
// which is the root unless the text sets it; the TTL is an hour unless the text sets it. Indentation that
// all lines share does not count, so that the text can stand indented in Go source.
func Parse(text string) (*Zone, error) {
	z := new(Zone)
	if err := z.Load(text); err != nil {
		return nil, err
	}
	return z, nil
}

// MustParse is Parse for text that is known to be right; it panics where it is not.
func MustParse(text string) *Zone {
	z, err := Parse(text)
	if err != nil {
		panic(err)
	}
	return z
}

// Load replaces all records by those of the text, and nothing where the text has an error. Faults and
// authenticated domains stay.
func (z *Zone) Load(text string) error {
	nodes := make(map[string]map[uint16][]dns.RR)
	p := dns.NewZoneParser(strings.NewReader(dedent(text)), ".", "")
	p.SetDefaultTTL(3600)
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		h := rr.Header()
		name := dns.CanonicalName(h.Name)
		if nodes[name] == nil {
			nodes[name] = make(map[uint16][]dns.RR)
		}
		nodes[name][h.Rrtype] = append(nodes[name][h.Rrtype], rr)
	}
	if err := p.Err(); err != nil {
		return fmt.Errorf("mxtest: %w", err)
	}
	// Every name between a record and the root exists, though it has no records (RFC 4592 s. 2.2.2).
	for _, name := range slices.Collect(maps.Keys(nodes)) {
		for p := parent(name); p != "."; p = parent(p) {
			if nodes[p] == nil {
				nodes[p] = make(map[uint16][]dns.RR)
			}
		}
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	z.nodes = nodes
	return nil
}

// dedent takes away the white space that all lines begin with: in a zone file it would mean "the same
// owner as above".
func dedent(text string) string {
	lines := strings.Split(text, "\n")
	common, first := "", true
	for _, line := range lines {
		rest := strings.TrimLeft(line, " \t")
		if strings.TrimSpace(rest) == "" {
			continue
		}
		indent := line[:len(line)-len(rest)]
		if first {
			common, first = indent, false
		}
		for !strings.HasPrefix(indent, common) {
			common = common[:len(common)-1]
		}
	}
	for i, line := range lines {
		lines[i] = strings.TrimPrefix(line, common)
	}
	return strings.Join(lines, "\n")
}

// parent is the name without its first label; the root is its own parent.
func parent(name string) string {
	i, end := dns.NextLabel(name, 0)
	if end || i >= len(name) {
		return "."
	}
	return name[i:]
}

// Authenticate lets answers about the domains and everything below carry the AD bit, where the
// question asks for it by AD or DO (RFC 6840 s. 5.7) and no part of the answer comes from elsewhere.
func (z *Zone) Authenticate(domains ...string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	for _, d := range domains {
		z.signed = append(z.signed, dns.CanonicalName(d))
	}
}

// Asked lists the questions so far, each as "example.com. MX", in the order of their arrival.
func (z *Zone) Asked() []string {
	z.mu.Lock()
	defer z.mu.Unlock()
	return slices.Clone(z.asked)
}

// maxChain bounds how many CNAMEs an answer follows.
const maxChain = 64

// answer makes the answer that a recursive resolver would give. The caller holds the lock.
func (z *Zone) answer(q *dns.Msg) *dns.Msg {
	a := new(dns.Msg).SetReply(q)
	a.RecursionAvailable = true
	if len(q.Question) != 1 {
		a.Rcode = dns.RcodeFormatError
		return a
	}
	question := q.Question[0]
	name := dns.CanonicalName(question.Name)
	authentic := true
	seen := make(map[string]bool)
	for range maxChain {
		seen[name] = true
		authentic = authentic && z.isSigned(name)
		records, exists := z.lookup(name)
		found := records[question.Qtype]
		if question.Qtype == dns.TypeANY {
			for _, rrs := range records {
				found = append(slices.Clip(found), rrs...)
			}
		}
		for _, rr := range found {
			rr = dns.Copy(rr)
			rr.Header().Name = name
			a.Answer = append(a.Answer, rr)
		}
		if len(found) > 0 {
			break
		}
		alias := records[dns.TypeCNAME]
		if len(alias) == 0 {
			if !exists {
				a.Rcode = dns.RcodeNameError // RFC 6604 s. 3: the code tells of the chain's last name
			}
			a.Ns = append(a.Ns, z.authority(name)...)
			break
		}
		rr := dns.Copy(alias[0]).(*dns.CNAME)
		rr.Hdr.Name = name
		a.Answer = append(a.Answer, rr)
		name = dns.CanonicalName(rr.Target)
		if seen[name] {
			break // a loop: the answer shows it and ends
		}
	}
	wanted := q.AuthenticatedData
	if opt := q.IsEdns0(); opt != nil {
		a.SetEdns0(1232, opt.Do())
		wanted = wanted || opt.Do()
	}
	a.AuthenticatedData = wanted && authentic
	return a
}

// lookup finds the records of a name, those of a wildcard that covers it, or says that the name does
// not exist (RFC 4592 s. 3.3.1: only the closest encloser's wildcard counts).
func (z *Zone) lookup(name string) (records map[uint16][]dns.RR, exists bool) {
	if records, ok := z.nodes[name]; ok {
		return records, true
	}
	for p := parent(name); ; p = parent(p) {
		wild := "*." + p
		if p == "." {
			wild = "*."
		}
		if records, ok := z.nodes[wild]; ok {
			return records, true
		}
		if _, ok := z.nodes[p]; ok || p == "." {
			return nil, false
		}
	}
}

// authority is the SOA record of the zone that holds name, for negative answers (RFC 2308 s. 3).
func (z *Zone) authority(name string) []dns.RR {
	for ; ; name = parent(name) {
		if soa := z.nodes[name][dns.TypeSOA]; len(soa) > 0 {
			return []dns.RR{dns.Copy(soa[0])}
		}
		if name == "." {
			return nil
		}
	}
}

func (z *Zone) isSigned(name string) bool {
	return slices.ContainsFunc(z.signed, func(d string) bool { return dns.IsSubDomain(d, name) })
}
