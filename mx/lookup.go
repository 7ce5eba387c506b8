package mx

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

const (
	// ednsSize is the largest answer asked for over UDP: it travels unfragmented everywhere (RFC 9715 s. 3).
	ednsSize = 1232
	// maxAliases bounds how many CNAMEs lead from a name to its records.
	maxAliases = 10
	// maxLife bounds how long an answer is kept, whatever its TTL.
	maxLife = time.Hour
	// maxNegative bounds how long "no such name" and "no such record" are kept (RFC 2308 s. 5 lets the
	// keeper choose): for mail they mean a bounce, so a repaired zone should be seen soon.
	maxNegative = 5 * time.Minute
	// bareNegative is how long a negative answer without SOA record is kept. RFC 2308 s. 5 advises
	// against keeping it, lest servers feed it to each other for ever; we end the chain.
	bareNegative = 10 * time.Second
)

// newQuestion makes a question. Where the resolver is trusted it asks for authenticated data, in both
// ways: AD (RFC 6840 s. 5.7), and DO for resolvers that know only that. Elsewhere the bit would
// mean nothing and the signatures would only cost octets.
func newQuestion(name string, qtype uint16, trusted bool) *dns.Msg {
	q := &dns.Msg{Question: []dns.Question{{Name: name, Qtype: qtype, Qclass: dns.ClassINET}}}
	q.Id = newID()
	q.RecursionDesired = true
	q.AuthenticatedData = trusted
	q.SetEdns0(ednsSize, trusted)
	return q
}

// answer is what the DNS says about a name and a type.
type answer struct {
	records   []dns.RR      // of the asked type, at name
	name      string        // the last name of the CNAME chain, absolute
	aliases   int           // the chain's length
	missing   bool          // the name does not exist (NXDOMAIN), surely
	authentic bool          // all of it was authenticated, and the resolver is trusted
	life      time.Duration // how long it may be kept
}

// lookup asks and follows CNAMEs. Only records that the chain leads to count: whatever else is in the
// answer may come from anybody. An error means that nothing is known (RFC 5321 s. 5.1: try later).
func lookup(ctx context.Context, r Resolver, trusted bool, name string, qtype uint16) (answer, error) {
	a := answer{name: dns.CanonicalName(name), authentic: trusted, life: maxLife}
	for {
		start := a.name
		q := newQuestion(start, qtype, trusted)
		msg, err := r.Exchange(ctx, q)
		if err != nil {
			return a, err
		}
		if err := checkAnswer(q, msg); err != nil {
			return a, err
		}
		a.authentic = a.authentic && msg.AuthenticatedData
		if err := a.read(msg, qtype); err != nil {
			return a, err
		}
		// Some forwarders answer with the alias alone: then its target is asked for.
		if len(a.records) > 0 || a.missing || hasType(msg.Ns, dns.TypeSOA) {
			return a, nil
		}
		if hasType(msg.Ns, dns.TypeNS) {
			return a, errors.New("the resolver refers to other servers") // RFC 2308 s. 2.2: not "no data"
		}
		if a.name == start {
			return a, nil
		}
	}
}

// checkAnswer refuses what is no answer to q, and answers that say that they know nothing.
func checkAnswer(q, a *dns.Msg) error {
	switch {
	case a == nil:
		return errors.New("the resolver gave no answer")
	case !a.Response || len(a.Question) > 1 || len(a.Question) == 1 && !sameQuestion(q.Question[0], a.Question[0]):
		return errors.New("the answer is to another question")
	case a.Truncated:
		return errors.New("the answer is truncated")
	case a.Rcode == dns.RcodeSuccess || a.Rcode == dns.RcodeNameError:
		return nil
	}
	return fmt.Errorf("the resolver answers %s", rcodeText(a.Rcode))
}

func rcodeText(code int) string {
	if s, ok := dns.RcodeToString[code]; ok {
		return s
	}
	return fmt.Sprintf("code %d", code)
}

func sameQuestion(a, b dns.Question) bool {
	return a.Qtype == b.Qtype && a.Qclass == b.Qclass && sameName(a.Name, b.Name)
}

func sameName(a, b string) bool { return len(a) == len(b) && strings.EqualFold(a, b) }

// read follows the chain of CNAMEs through the answer section and takes the records at its end.
func (a *answer) read(msg *dns.Msg, qtype uint16) error {
	for {
		var target string
		var ttl time.Duration
		for _, rr := range msg.Answer {
			h := rr.Header()
			if h.Class != dns.ClassINET || !sameName(h.Name, a.name) {
				continue
			}
			if h.Rrtype == qtype {
				a.records = append(a.records, rr)
				a.life = min(a.life, ttlOf(h))
			} else if alias, ok := rr.(*dns.CNAME); ok {
				target, ttl = alias.Target, ttlOf(h)
			}
		}
		if len(a.records) > 0 || target == "" {
			break
		}
		if a.aliases++; a.aliases > maxAliases {
			return errors.New("the chain of aliases (CNAME) is too long or a loop")
		}
		a.name = dns.CanonicalName(target)
		a.life = min(a.life, ttl)
	}
	if msg.Rcode == dns.RcodeNameError {
		if len(a.records) > 0 {
			return errors.New("the answer contradicts itself: records for a name that does not exist")
		}
		a.missing = true
	}
	if len(a.records) == 0 {
		a.life = min(a.life, negativeLife(msg))
	}
	return nil
}

// ttlOf is a record's TTL. One with the high bit set means zero (RFC 2181 s. 8).
func ttlOf(h *dns.RR_Header) time.Duration {
	if h.Ttl > 1<<31-1 {
		return 0
	}
	return time.Duration(h.Ttl) * time.Second
}

// negativeLife is how long a negative answer may be kept (RFC 2308 s. 5).
func negativeLife(msg *dns.Msg) time.Duration {
	for _, rr := range msg.Ns {
		if soa, ok := rr.(*dns.SOA); ok {
			return min(maxNegative, ttlOf(&soa.Hdr), time.Duration(soa.Minttl)*time.Second)
		}
	}
	return bareNegative
}

func hasType(rrs []dns.RR, rrtype uint16) bool {
	return slices.ContainsFunc(rrs, func(rr dns.RR) bool { return rr.Header().Rrtype == rrtype })
}
