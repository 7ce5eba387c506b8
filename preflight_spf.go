package postrider

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/postrider/postrider/dkim/spf"
)

const spfBy = "Gmail, Yahoo, Microsoft, Apple"

// spf: may the addresses that mail leaves from send for the envelope sender's domain, and can receivers find
// out within the limits?
func (x *examination) spf(ctx context.Context) {
	cost := spf.Cost(ctx, x.dns, x.spfDomain)
	x.spfCost(cost)
	switch {
	case cost.Verdict == "none":
		x.add("spf-missing", SeverityFailure, spfBy, x.spfDomain+" has no SPF record", "publish "+txtRecord(x.spfDomain, x.spfRecord("v=spf1 -all")))
		x.settle("spf", bad, "spf-missing")
		return
	case cost.Verdict == "temperror":
		x.trouble("SPF of "+x.spfDomain, cost.Err)
		x.settle("spf", unknown, "dns-trouble")
		return
	case cost.Verdict == "permerror":
		x.spfMalformed(ctx, cost)
		x.settle("spf", bad, "spf-malformed")
		return
	case len(x.report.Sources) == 0:
		rule := "source-unknown"
		if len(x.way.relay) > 0 {
			rule = "source-relay"
		}
		x.settle("spf", unknown, rule)
		return
	}
	x.settle("spf", good)
	for _, source := range x.report.Sources {
		x.spfOf(ctx, source, cost)
	}
	x.spfHello(ctx)
}

// spfCost: more than the limits makes "permerror" of any verdict.
func (x *examination) spfCost(c spf.Result) {
	if c.Lookups > spf.MaxLookups {
		x.add("spf-lookups", SeverityFailure, "RFC 7208", fmt.Sprintf("the SPF record of %s asks for %d lookups, and receivers stop after %d: %s", x.spfDomain, c.Lookups, spf.MaxLookups, c.Record),
			"replace a, mx and include by ip4 and ip6 where the addresses are known")
	} else if c.Lookups >= spf.MaxLookups-1 {
		x.add("spf-lookups-near", SeverityNotice, "RFC 7208", fmt.Sprintf("the SPF record of %s asks for %d of %d lookups", x.spfDomain, c.Lookups, spf.MaxLookups),
			"an included domain that adds one may break it: replace a, mx and include by ip4 and ip6 where the addresses are known")
	}
	if c.Voids > spf.MaxVoids {
		x.add("spf-voids", SeverityWarning, "RFC 7208", fmt.Sprintf("%d terms of the SPF record of %s name what does not exist, and receivers stop after %d: %s", c.Voids, x.spfDomain, spf.MaxVoids, c.Record),
			"take out the names that do not exist")
	}
	if fields := strings.Fields(strings.ToLower(c.Record)); len(fields) > 1 {
		switch fields[len(fields)-1] {
		case "all", "+all":
			x.add("spf-open", SeverityWarning, spfBy, fmt.Sprintf("the SPF record of %s lets everybody send: %s", x.spfDomain, c.Record), `end the record with "-all" or "~all"`)
		}
	}
}

// spfMalformed tells what is wrong with a record that nobody can evaluate.
func (x *examination) spfMalformed(ctx context.Context, c spf.Result) {
	var records []string
	list, _ := x.dns.LookupTXT(ctx, x.spfDomain)
	for _, text := range list {
		if strings.HasPrefix(strings.ToLower(text), "v=spf1") {
			records = append(records, text)
		}
	}
	var syntax *spf.SyntaxError
	switch {
	case len(records) > 1:
		x.add("spf-malformed", SeverityFailure, spfBy, fmt.Sprintf("%s has %d SPF records, and there must be one: %q", x.spfDomain, len(records), records), "join them into one record")
	case errors.As(c.Err, &syntax):
		x.add("spf-malformed", SeverityFailure, spfBy, fmt.Sprintf("a term in the SPF record of %s is wrong: %v", x.spfDomain, syntax), fmt.Sprintf("mend or take out %q", syntax.Term))
	default:
		x.add("spf-malformed", SeverityFailure, spfBy, fmt.Sprintf("the SPF record of %s cannot be evaluated: %v", x.spfDomain, c.Err), "mend the record, or that of a domain that it includes")
	}
}

func (x *examination) spfOf(ctx context.Context, source netip.Addr, cost spf.Result) {
	r := spf.Check(ctx, x.dns, spf.Query{IP: source, Sender: x.path, Hello: x.report.Hello})
	what := fmt.Sprintf("SPF of %s says %q for %s", x.spfDomain, r.Verdict, source)
	switch r.Verdict {
	case "pass":
		x.add("spf-pass", SeverityPass, spfBy, fmt.Sprintf("%s, with %d of %d lookups", what, r.Lookups, spf.MaxLookups), "")
	case "temperror":
		x.trouble(what, r.Err)
		x.unsure("spf")
	case "permerror":
		rule := "spf-malformed"
		if cost.Lookups > spf.MaxLookups {
			rule = "spf-lookups"
		} else if cost.Voids > spf.MaxVoids {
			rule = "spf-voids"
		} else {
			x.spfMalformed(ctx, r)
		}
		x.settle("spf", bad, rule)
	default:
		x.add("spf-"+r.Verdict, SeverityFailure, spfBy, fmt.Sprintf("%s: %s", what, r.Record), "publish instead: "+txtRecord(x.spfDomain, x.spfRecord(r.Record)))
		x.settle("spf", bad, "spf-"+r.Verdict)
	}
}

// spfHello: bounces that we send have the null sender, for which the EHLO name stands (RFC 7208 s. 2.4).
func (x *examination) spfHello(ctx context.Context) {
	for _, source := range x.report.Sources {
		r := spf.Check(ctx, x.dns, spf.Query{IP: source, Hello: x.report.Hello})
		switch r.Verdict {
		case "fail", "softfail", "permerror":
			x.add("spf-hello", SeverityWarning, "RFC 7208", fmt.Sprintf("SPF of the EHLO name %s says %q for %s: %s", x.report.Hello, r.Verdict, source, r.Record),
				"publish "+txtRecord(x.report.Hello, "v=spf1 a -all"))
			return
		case "temperror":
			x.trouble("SPF of the EHLO name "+x.report.Hello, r.Err)
			return
		}
	}
}

// spfRecord adds the sources to a record that lacks them.
func (x *examination) spfRecord(record string) string {
	if len(x.report.Sources) == 0 {
		return strings.Replace(record, "v=spf1", "v=spf1 mx", 1)
	}
	terms := record[:min(len("v=spf1"), len(record))]
	for _, a := range x.report.Sources {
		if r := a.Unmap(); r.Is4() {
			terms += " ip4:" + r.String()
		} else {
			terms += " ip6:" + r.String()
		}
	}
	return terms + record[min(len("v=spf1"), len(record)):]
}

// txtRecord is a line of a zone file.
func txtRecord(name, text string) string { return fmt.Sprintf("%s. IN TXT %q", name, text) }
