package postrider

import (
	"context"
	"fmt"
	"strings"

	"github.com/postrider/postrider/dkim"
	"github.com/postrider/postrider/dkim/dmarc"
)

const dmarcBy = "Gmail, Yahoo, Microsoft, Apple"

// dmarc: is there a policy, and does SPF or DKIM pass for the author's domain?
func (x *examination) dmarc(ctx context.Context) {
	for _, name := range []string{"dmarc", "aligned", "policy", "quarantine"} {
		x.settle(name, good)
	}
	r := dmarc.Resolver{LookupTXT: x.dns.LookupTXT, Exists: x.dns.exists}
	m := dmarc.Message{From: x.report.Domain}
	if x.facts["spf"].state == good {
		m.SPF = x.spfDomain
	}
	for _, v := range x.verified {
		if v.counts {
			m.DKIM = append(m.DKIM, v.Verification)
		}
	}
	v := r.Evaluate(ctx, m)
	switch {
	case v.Result == "temperror":
		x.trouble("DMARC of "+x.report.Domain, v.Err)
		for _, name := range []string{"dmarc", "aligned", "policy"} {
			x.settle(name, unknown, "dns-trouble")
		}
		return
	case v.At == "":
		x.noDMARC(ctx, v)
		return
	case v.Record.Policy == "":
		x.add("dmarc-malformed", SeverityFailure, dmarcBy, fmt.Sprintf("the record of %s has no valid policy, and does nothing: %q", v.At, x.dmarcText(ctx, v.At)), x.dmarcRemedy(v.At))
		x.settle("dmarc", bad, "dmarc-malformed")
		x.settle("aligned", bad, "dmarc-malformed")
		return
	}
	x.dmarcRecord(v)
	x.alignment(v)
}

// noDMARC tells why there is no record.
func (x *examination) noDMARC(ctx context.Context, v dmarc.Verdict) {
	severity := SeverityWarning
	if x.doctor.Bulk {
		severity = SeverityFailure
	}
	rule, evidence := "dmarc-missing", fmt.Sprintf("neither %s nor a domain above it has a DMARC record", x.report.Domain)
	texts, _ := x.dns.LookupTXT(ctx, "_dmarc."+x.report.Domain)
	n := 0
	for _, text := range texts {
		if _, err := dmarc.ParseRecord(text); err == nil {
			n++
		}
	}
	switch {
	case n > 1:
		rule, evidence = "dmarc-multiple", fmt.Sprintf("%s has %d DMARC records, which counts as none: %q", x.report.Domain, n, texts)
	case len(texts) > 0:
		rule, evidence = "dmarc-malformed", fmt.Sprintf(`what %s publishes is no DMARC record: it must begin with "v=DMARC1": %q`, x.report.Domain, texts)
	}
	x.add(rule, severity, dmarcBy, evidence, x.dmarcRemedy(v.Organization))
	x.settle("dmarc", bad, rule)
	x.settle("aligned", bad, rule)
}

func (x *examination) dmarcText(ctx context.Context, domain string) string {
	texts, _ := x.dns.LookupTXT(ctx, "_dmarc."+domain)
	return strings.Join(texts, " ")
}

func (x *examination) dmarcRemedy(domain string) string {
	if domain == "" {
		domain = x.report.Domain
	}
	r := dmarc.Record{Policy: dmarc.None, Aggregate: []string{"mailto:postmaster@" + domain}}
	return "publish as the only record: " + txtRecord("_dmarc."+domain, r.String())
}

// dmarcRecord looks at the policy itself.
func (x *examination) dmarcRecord(v dmarc.Verdict) {
	text := fmt.Sprintf("the DMARC record of %s", v.At)
	better := func(change func(r *dmarc.Record)) string {
		r := v.Record
		change(&r)
		return "publish instead: " + txtRecord("_dmarc."+v.At, r.String())
	}
	if v.Record.Policy == dmarc.None {
		x.add("dmarc-policy-none", SeverityNotice, "", text+" asks for nothing (p=none): others can use the name",
			"once the reports show that all mail passes, "+better(func(r *dmarc.Record) { r.Policy = dmarc.Quarantine }))
	}
	if v.Record.Testing {
		x.add("dmarc-testing", SeverityNotice, "RFC 9989", text+" is in test mode (t=y): its policy is applied one step weaker", better(func(r *dmarc.Record) { r.Testing = false }))
	}
	if len(v.Record.Aggregate) == 0 {
		x.add("dmarc-no-reports", SeverityNotice, "RFC 9989", text+" asks for no reports: nobody will see what fails",
			better(func(r *dmarc.Record) { r.Aggregate = []string{"mailto:postmaster@" + v.At} }))
	}
}

// alignment tells whether mail passes, by what, and what happens to it otherwise.
func (x *examination) alignment(v dmarc.Verdict) {
	var by []string
	if v.DKIM {
		by = append(by, "DKIM")
	}
	if v.SPF {
		by = append(by, "SPF")
	}
	policy := fmt.Sprintf("p=%s of %s", v.Record.Policy, v.At)
	switch {
	case len(by) > 0:
		x.add("dmarc-pass", SeverityPass, dmarcBy, fmt.Sprintf("DMARC passes by %s (%s)", strings.Join(by, " and "), policy), "")
		if v.SPF && !v.DKIM {
			x.add("dmarc-spf-only", SeverityNotice, "RFC 9989", "DMARC passes by SPF alone: mail that is forwarded fails", "sign with a key of "+x.report.Domain)
		}
	case x.facts["spf"].state == unknown || x.facts["dkim"].state == unknown:
		because := append(x.facts["spf"].because, x.facts["dkim"].because...)
		for _, name := range []string{"aligned", "policy", "quarantine"} {
			x.settle(name, unknown, because...)
		}
	default:
		x.add("dmarc-unaligned", SeverityFailure, dmarcBy, fmt.Sprintf("mail from %s fails DMARC (%s): neither DKIM nor SPF passes for a domain of %s", x.report.Domain, policy, v.Organization),
			x.alignRemedy(v))
		x.settle("aligned", bad, "dmarc-unaligned")
		switch v.Policy {
		case dmarc.Reject:
			x.settle("policy", bad, "dmarc-unaligned")
		case dmarc.Quarantine:
			x.settle("quarantine", bad, "dmarc-unaligned")
		}
	}
}

func (x *examination) alignRemedy(v dmarc.Verdict) string {
	for _, s := range x.verified {
		if s.Result == dkim.Pass && s.counts {
			return fmt.Sprintf("sign with a key of %s, not of %s", x.report.Domain, s.Domain)
		}
	}
	return "mend what the findings on SPF and DKIM say"
}
