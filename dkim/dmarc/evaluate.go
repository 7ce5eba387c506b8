package dmarc

import (
	"context"

	"github.com/postrider/postrider/dkim"
)

// Message is what was found out about a message before.
type Message struct {
	// From is the domain of the one author in the From field.
	From string
	// SPF is the domain of the envelope sender, if SPF passed for it. Empty: it did not. A pass for the HELO name
	// does not count (RFC 9989 s. 4.4.2).
	SPF string
	// DKIM are the verdicts on its signatures.
	DKIM []dkim.Verification
}

// Verdict is the result of an evaluation.
type Verdict struct {
	Discovery
	// Result is "pass", "fail", "none" (no record applies), or "temperror" (the DNS did not answer, see Err).
	Result string
	Err    error
	// Policy is what the domain wants done where the result is "fail": with p, sp, np and t
	// taken into account. Otherwise it is empty.
	Policy Policy
	// SPF and DKIM tell which of them was aligned and passed.
	SPF, DKIM bool
}

// Evaluate judges a message (RFC 9989 s. 5.3).
func (r Resolver) Evaluate(ctx context.Context, m Message) Verdict {
	w := walker{lookup: r.lookup(), answers: map[string]*Record{}}
	var v Verdict
	if v.Discovery, v.Err = w.discover(ctx, m.From); v.Err != nil {
		v.Result = "temperror"
		if v.Domain == "" {
			v.Result = "none" // the author's domain is no domain
		}
		return v
	}
	if v.At == "" || v.Record.Policy == "" {
		v.Result = "none"
		return v
	}
	// A pass needs one aligned domain: that the DNS does not answer for another is no matter then.
	var failed error
	if m.SPF != "" {
		v.SPF, failed = w.aligned(ctx, &v.Discovery, m.SPF, v.Record.StrictSPF)
	}
	for _, s := range m.DKIM {
		if v.DKIM || s.Result != dkim.Pass || s.Testing {
			continue
		}
		ok, err := w.aligned(ctx, &v.Discovery, s.Domain, v.Record.StrictDKIM)
		if v.DKIM = ok; err != nil {
			failed = err
		}
	}
	switch {
	case v.SPF || v.DKIM:
		v.Result = "pass"
		return v
	case failed != nil:
		v.Result, v.Err = "temperror", failed
		return v
	}
	v.Result = "fail"
	if v.Policy, v.Err = r.policy(ctx, &v.Discovery); v.Err != nil {
		v.Result = "temperror"
	}
	return v
}

// aligned tells whether a domain that passed is the author's (s. 4.10.2).
func (w *walker) aligned(ctx context.Context, d *Discovery, domain string, strict bool) (bool, error) {
	name, err := domainName(domain)
	if err != nil {
		return false, nil
	}
	if name == d.Domain || strict {
		return name == d.Domain, nil
	}
	org, err := w.organization(ctx, name)
	return err == nil && org == d.Organization, err
}

// policy finds what applies to the author's domain (s. 4.7, 4.10.1).
func (r Resolver) policy(ctx context.Context, d *Discovery) (Policy, error) {
	p := d.Record.Policy
	if d.At != d.Domain {
		if d.Record.Subdomains != "" {
			p = d.Record.Subdomains
		}
		if d.Record.Nonexistent != "" && r.Exists != nil {
			exists, err := r.Exists(ctx, d.Domain)
			if err != nil {
				return "", err
			}
			if !exists {
				p = d.Record.Nonexistent
			}
		}
	}
	if d.Record.Testing {
		switch p {
		case Reject:
			return Quarantine, nil
		case Quarantine:
			return None, nil
		}
	}
	return p, nil
}

// AuthResult returns the verdict as it is written into an Authentication-Results field.
func (v Verdict) AuthResult() dkim.AuthResult {
	r := dkim.AuthResult{Method: "dmarc", Result: v.Result, Properties: [][2]string{{"header.from", v.Domain}}}
	if v.Err != nil {
		r.Reason = v.Err.Error()
	}
	return r
}
