package tlsrpt

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/postrider/postrider/mx"
)

const (
	// maxPolicies, maxFailures and maxText bound what is kept apart of a domain and day; beyond them
	// sessions are counted in sum and policies shown in part.
	maxPolicies = 20
	maxFailures = 50
	maxText     = 100 // lines
	// maxSize bounds what all domains together may take, in octets, about: beyond it there is nothing new.
	maxSize = 64 << 20
)

// day is what is known of a domain on a day.
type day struct {
	domain string
	start  time.Time
	kinds  []*PolicyResult
	size   int // octets, about
}

// Record counts what one attempt to reach a domain came to: the findings of its policies and the
// connections that were made. Attempts for which the policies were waived are not recorded. A nil
// Reporter does nothing.
func (r *Reporter) Record(route *mx.Route, outcomes ...Outcome) {
	if r == nil || route == nil || route.Domain == "" || strings.HasPrefix(route.Domain, "[") {
		return
	}
	if len(outcomes) == 0 && !slices.ContainsFunc(route.Findings, func(f mx.Finding) bool { return f.Result != "" }) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	d := r.today(route.Domain)
	if d == nil {
		return
	}
	for _, f := range route.Findings {
		if f.Result == "" {
			continue
		}
		k := r.kind(d, policyOf(f))
		if !slices.ContainsFunc(outcomes, func(o Outcome) bool { return covers(f, o.Host) }) {
			k.Summary.Failed++ // no session will be counted for it
		}
		r.fail(d, k, Failure{Type: f.Result, Host: oneHost(f), Reason: clean(f.Reason)})
	}
	for _, o := range outcomes {
		r.count(d, route, o)
	}
}

// count adds one session under the policy that covers the host: DANE before MTA-STS.
func (r *Reporter) count(d *day, route *mx.Route, o Outcome) {
	policy := AppliedPolicy{Type: "no-policy-found", Domain: route.Domain}
	result, reason := o.result()
	for _, kind := range []string{"tlsa", "sts"} {
		i := slices.IndexFunc(route.Findings, func(f mx.Finding) bool { return f.Type == kind && covers(f, o.Host) })
		if i < 0 {
			continue
		}
		f := route.Findings[i]
		policy = policyOf(f)
		if kind == "sts" && !f.Enforced && result == "" {
			if !slices.Contains(f.Hosts, o.Host) {
				result, reason = ValidationFailure, "the host is not in the policy"
			} else if err := o.judge(r.Roots); err != nil {
				result, reason = Classify(err), clean(err.Error())
			}
		}
		break
	}
	k := r.kind(d, policy)
	if result == "" {
		k.Summary.Successful++
		return
	}
	k.Summary.Failed++
	r.fail(d, k, Failure{Type: string(result), Host: o.Host, Hello: clean(o.Hello), SendingIP: ip(o.Local), ReceivingIP: ip(o.Remote), Reason: reason})
}

// covers says that the policy applies to sessions with the host. An MTA-STS policy that could be had
// applies to all hosts of its domain.
func covers(f mx.Finding, host string) bool {
	if f.Type == "sts" {
		return len(f.Text) > 0
	}
	return slices.Contains(f.Hosts, host)
}

func oneHost(f mx.Finding) string {
	if len(f.Hosts) == 1 {
		return f.Hosts[0]
	}
	return ""
}

// policyOf is the policy as a report shows it.
func policyOf(f mx.Finding) AppliedPolicy {
	p := AppliedPolicy{Type: f.Type, Domain: f.Domain, Text: f.Text[:min(len(f.Text), maxText)], MX: f.MX[:min(len(f.MX), maxText)]}
	if f.Type == "tlsa" {
		p.MX = f.Hosts // the TLSA records of one host
	}
	return p
}

func ip(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.Unmap().WithZone("").String()
}

// kind finds or makes the counts of a policy. When there are too many, the last one takes it.
func (r *Reporter) kind(d *day, p AppliedPolicy) *PolicyResult {
	for _, k := range d.kinds {
		if k.Policy.Type == p.Type && k.Policy.Domain == p.Domain && slices.Equal(k.Policy.Text, p.Text) {
			return k
		}
	}
	cost := 200 + len(p.Domain)
	for _, line := range append(slices.Clone(p.Text), p.MX...) {
		cost += 32 + len(line)
	}
	if n := len(d.kinds); n == maxPolicies || !r.room(d, cost) {
		if n > 0 {
			return d.kinds[n-1]
		}
		p.Text, p.MX = nil, nil
	}
	k := &PolicyResult{Policy: AppliedPolicy{Type: p.Type, Domain: p.Domain, Text: slices.Clone(p.Text), MX: slices.Clone(p.MX)}}
	d.kinds = append(d.kinds, k)
	return k
}

// fail counts a failed session of a kind. When there are too many kinds, the last one takes it.
func (r *Reporter) fail(d *day, k *PolicyResult, f Failure) {
	for _, have := range k.Failures {
		f.Sessions = have.Sessions
		if *have == f {
			have.Sessions++
			return
		}
	}
	f.Sessions = 1
	if n := len(k.Failures); n == maxFailures || !r.room(d, 200+len(f.Host)+len(f.Hello)+len(f.Reason)) {
		if n > 0 {
			last := k.Failures[n-1]
			*last = Failure{Type: string(ValidationFailure), Sessions: last.Sessions + 1, Reason: "various"}
			return
		}
		f = Failure{Type: f.Type, Sessions: 1}
	}
	k.Failures = append(k.Failures, &f)
}

// room says whether there is room for so many octets, and takes it.
func (r *Reporter) room(d *day, size int) bool {
	if r.size+size > maxSize {
		return false
	}
	r.size += size
	d.size += size
	return true
}

// today finds or makes the counts of a domain and this day; nil when there are too many domains. The
// caller holds the lock.
func (r *Reporter) today(domain string) *day {
	start := time.Now().UTC().Truncate(24 * time.Hour)
	key := start.Format(time.DateOnly) + " " + domain
	if d := r.days[key]; d != nil {
		return d
	}
	limit := r.Limit
	if limit <= 0 {
		limit = 10000
	}
	d := &day{domain: domain, start: start}
	if len(r.days) >= limit || !r.room(d, 1000+len(domain)) {
		return nil
	}
	if r.days == nil {
		r.days = map[string]*day{}
	}
	r.days[key] = d
	return d
}
