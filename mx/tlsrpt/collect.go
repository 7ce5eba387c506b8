package tlsrpt

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/postrider/postrider/mx"
)

const (
	// maxPolicies and maxFailures bound what is kept apart of a domain and day; beyond them sessions are
	// counted in sum.
	maxPolicies = 50
	maxFailures = 100
)

// day is what is known of a domain on a day.
type day struct {
	domain string
	start  time.Time
	kinds  []*PolicyResult
	tries  int // to send it
}

// Record counts what one attempt to reach a domain came to: the findings of its policies and the
// connections that were made. Attempts for which the policies were waived are not recorded. A nil
// Reporter does nothing.
func (r *Reporter) Record(route *mx.Route, outcomes ...Outcome) {
	if r == nil || route == nil || route.Domain == "" || strings.HasPrefix(route.Domain, "[") {
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
		k := d.kind(policyOf(f))
		if !slices.ContainsFunc(outcomes, func(o Outcome) bool { return covers(f, o.Host) }) {
			k.Summary.Failed++ // no session will be counted for it
		}
		k.fail(Failure{Type: f.Result, Host: oneHost(f), Reason: clean(f.Reason)})
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
	k := d.kind(policy)
	if result == "" {
		k.Summary.Successful++
		return
	}
	k.Summary.Failed++
	k.fail(Failure{Type: string(result), Host: o.Host, Hello: clean(o.Hello), SendingIP: ip(o.Local), ReceivingIP: ip(o.Remote), Reason: reason})
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

func policyOf(f mx.Finding) AppliedPolicy {
	return AppliedPolicy{Type: f.Type, Text: f.Text, Domain: f.Domain, MX: f.MX}
}

func ip(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.Unmap().WithZone("").String()
}

// kind finds or makes the counts of a policy.
func (d *day) kind(p AppliedPolicy) *PolicyResult {
	for _, k := range d.kinds {
		if k.Policy.Type == p.Type && k.Policy.Domain == p.Domain && slices.Equal(k.Policy.Text, p.Text) {
			return k
		}
	}
	k := &PolicyResult{Policy: AppliedPolicy{Type: p.Type, Domain: p.Domain, Text: slices.Clone(p.Text), MX: slices.Clone(p.MX)}}
	if len(d.kinds) == maxPolicies {
		return d.kinds[maxPolicies-1]
	}
	d.kinds = append(d.kinds, k)
	return k
}

// fail counts a failed session of a kind.
func (k *PolicyResult) fail(f Failure) {
	for _, have := range k.Failures {
		f.Sessions = have.Sessions
		if *have == f {
			have.Sessions++
			return
		}
	}
	f.Sessions = 1
	if len(k.Failures) == maxFailures { // the last one gathers the rest
		last := k.Failures[maxFailures-1]
		*last = Failure{Type: string(ValidationFailure), Sessions: last.Sessions + 1, Reason: "various"}
		return
	}
	k.Failures = append(k.Failures, &f)
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
	if len(r.days) >= limit {
		return nil
	}
	if r.days == nil {
		r.days = map[string]*day{}
	}
	d := &day{domain: domain, start: start}
	r.days[key] = d
	return d
}
