package mx

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// Cache keeps the answers of a Resolver for their TTL (an hour at most; RFC 2308 for negative ones, five
// minutes at most) and asks once where many ask the same at the same time. The zero value asks the
// servers of /etc/resolv.conf. It is safe for concurrent use; its fields must not change after the first
// call.
type Cache struct {
	// Resolver answers what is not kept. Nil: a DNS over /etc/resolv.conf.
	Resolver Resolver
	// Size bounds the memory for answers, in octets; those that expire soonest make room. Zero: 32 MB.
	Size int

	once   sync.Once
	system DNS
	memo   memo[question, packet]
}

// question is what makes two questions equal: also the bits that change the answer.
type question struct {
	name          string
	qtype, qclass uint16
	bits          byte
}

// packet is an answer in wire format, which is smaller than a dns.Msg and cannot be changed by who gets it.
type packet struct {
	octets []byte
	life   time.Duration
}

const (
	bitRD = 1 << iota
	bitCD
	bitAD
	bitDO
	bitEDNS
)

func (c *Cache) resolver() Resolver {
	c.once.Do(func() {
		c.memo.limit = c.Size
		if c.Size == 0 {
			c.memo.limit = 32 << 20
		}
		c.memo.cost = func(q question, p packet) int { return 128 + len(q.name) + len(p.octets) }
	})
	if c.Resolver == nil {
		return &c.system
	}
	return c.Resolver
}

// Trusted says what the Resolver says of itself.
func (c *Cache) Trusted() bool { return Trusted(c.resolver()) }

// Exchange answers from memory or asks the Resolver. The TTLs of a kept answer have shrunk by its age.
func (c *Cache) Exchange(ctx context.Context, q *dns.Msg) (*dns.Msg, error) {
	resolver := c.resolver()
	if len(q.Question) != 1 || q.Opcode != dns.OpcodeQuery {
		return resolver.Exchange(ctx, q)
	}
	p, left, err := c.memo.do(ctx, keyOf(q), func(ctx context.Context) (p packet, life time.Duration, err error) {
		a, err := resolver.Exchange(ctx, q)
		if err != nil {
			return p, 0, err
		}
		compressed := *a
		compressed.Compress = true
		octets, err := compressed.Pack()
		if err != nil {
			return p, 0, err
		}
		life = lifeOf(q, a)
		return packet{bytes.Clone(octets), life}, life, nil
	})
	if err != nil {
		return nil, err
	}
	a := new(dns.Msg)
	if err := a.Unpack(p.octets); err != nil {
		return nil, err
	}
	age := p.life - left
	a.Id = q.Id
	if len(a.Question) == 1 {
		a.Question[0].Name = q.Question[0].Name // in the asker's upper and lower case
	}
	for _, section := range [][]dns.RR{a.Answer, a.Ns, a.Extra} {
		for _, rr := range section {
			if h := rr.Header(); h.Rrtype != dns.TypeOPT {
				h.Ttl -= min(h.Ttl, uint32(age/time.Second))
			}
		}
	}
	return a, nil
}

func keyOf(q *dns.Msg) question {
	key := question{name: strings.ToLower(q.Question[0].Name), qtype: q.Question[0].Qtype, qclass: q.Question[0].Qclass}
	set := func(is bool, bit byte) {
		if is {
			key.bits |= bit
		}
	}
	set(q.RecursionDesired, bitRD)
	set(q.CheckingDisabled, bitCD)
	set(q.AuthenticatedData, bitAD)
	if opt := q.IsEdns0(); opt != nil {
		set(true, bitEDNS)
		set(opt.Do(), bitDO)
	}
	return key
}

// lifeOf is how long an answer may be kept; zero for what must not be kept: failures, truncated
// answers, answers to another question, and negative ones without SOA record (RFC 2308 s. 5).
func lifeOf(q, msg *dns.Msg) time.Duration {
	if checkAnswer(q, msg) != nil {
		return 0
	}
	life := maxLife
	positive := false
	for _, rr := range msg.Answer {
		h := rr.Header()
		life = min(life, ttlOf(h))
		positive = positive || h.Rrtype == q.Question[0].Qtype || q.Question[0].Qtype == dns.TypeANY
	}
	if positive && msg.Rcode == dns.RcodeSuccess {
		return life
	}
	if !hasType(msg.Ns, dns.TypeSOA) {
		return 0
	}
	return min(life, negativeLife(msg))
}
