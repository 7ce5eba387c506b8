package postrider

import (
	"context"
	"fmt"
	"strings"

	"github.com/postrider/postrider/dkim/dmarc"
	"github.com/postrider/postrider/mx/tlsrpt"
	"github.com/postrider/postrider/smtp"
)

// transport: mail must travel over TLS.
func (x *examination) transport(context.Context) {
	x.settle("tls", good)
	for _, r := range x.way.relay {
		if r.Security == smtp.Plaintext {
			x.add("tls-relay", SeverityWarning, "Gmail", fmt.Sprintf("mail goes to the relay %s in plaintext", r.Host), "set Relay.Security to smtp.StartTLS or smtp.ImplicitTLS")
		}
	}
	if len(x.way.direct) > 0 {
		x.add("tls-pass", SeverityPass, "Gmail", "mail is sent over TLS wherever the receiver offers it", "")
	}
}

// inbound: the records that protect mail on its way to the domain, bounces and answers too.
func (x *examination) inbound(ctx context.Context) {
	d := x.report.Domain
	sts, err := x.only(ctx, "_mta-sts."+d, "v=STSv1")
	switch {
	case err != nil:
		x.trouble("MTA-STS of "+d, err)
	case len(sts) == 0:
		x.add("mta-sts-missing", SeverityNotice, "RFC 8461", d+" has no MTA-STS record: mail to it can be read on the way",
			"serve a policy at https://mta-sts."+d+"/.well-known/mta-sts.txt, and publish "+txtRecord("_mta-sts."+d, "v=STSv1; id=1;"))
	case len(sts) > 1 || !strings.Contains(sts[0], "id="):
		x.add("mta-sts-malformed", SeverityWarning, "RFC 8461", fmt.Sprintf("the MTA-STS record of %s is not valid: %q", d, sts), "publish as the only record: "+txtRecord("_mta-sts."+d, "v=STSv1; id=1;"))
	default:
		x.add("mta-sts-pass", SeverityPass, "", d+" has an MTA-STS record", "")
	}
	rpt, err := x.only(ctx, "_smtp._tls."+d, "v=TLSRPTv1")
	remedy := txtRecord("_smtp._tls."+d, "v=TLSRPTv1; rua=mailto:postmaster@"+d)
	switch {
	case err != nil:
		x.trouble("TLSRPT of "+d, err)
		return
	case len(rpt) == 0:
		x.add("tlsrpt-missing", SeverityNotice, "RFC 8460", d+" has no TLSRPT record: nobody tells when TLS to it fails", "publish "+remedy)
		return
	}
	if _, err := tlsrpt.ParseRecord(rpt[0]); err != nil || len(rpt) > 1 {
		x.add("tlsrpt-malformed", SeverityWarning, "RFC 8460", fmt.Sprintf("the TLSRPT record of %s is not valid: %q", d, rpt), "publish as the only record: "+remedy)
		return
	}
	x.add("tlsrpt-pass", SeverityPass, "", d+" has a TLSRPT record", "")
}

// only finds the records that begin with a version.
func (x *examination) only(ctx context.Context, name, version string) ([]string, error) {
	texts, err := x.dns.LookupTXT(ctx, name)
	if err != nil && !notFound(err) {
		return nil, err
	}
	var list []string
	for _, text := range texts {
		if strings.HasPrefix(strings.ReplaceAll(text, " ", ""), version) {
			list = append(list, text)
		}
	}
	return list, nil
}

// bimi: a logo beside the mail. It is shown only for domains whose policy is enforced.
func (x *examination) bimi(ctx context.Context) {
	d := x.report.Domain
	list, err := x.only(ctx, "default._bimi."+d, "v=BIMI1")
	if err != nil || len(list) == 0 {
		if err != nil {
			x.trouble("BIMI of "+d, err)
			return
		}
		x.add("bimi-missing", SeverityNotice, "", d+" has no BIMI record: no logo is shown beside its mail", "publish "+txtRecord("default._bimi."+d, "v=BIMI1; l=https://"+d+"/logo.svg; a="))
		return
	}
	logo := ""
	for part := range strings.SplitSeq(list[0], ";") {
		name, value, _ := strings.Cut(part, "=")
		if strings.TrimSpace(name) == "l" {
			logo = strings.TrimSpace(value)
		}
	}
	v, err := dmarc.Resolver{LookupTXT: x.dns.LookupTXT}.Discover(ctx, d)
	switch {
	case len(list) > 1 || logo != "" && !strings.HasPrefix(logo, "https://"):
		x.add("bimi-malformed", SeverityNotice, "", fmt.Sprintf("the BIMI record of %s is not valid: %q", d, list), "publish as the only record: "+txtRecord("default._bimi."+d, "v=BIMI1; l=https://"+d+"/logo.svg; a="))
	case err == nil && v.Record.Policy != dmarc.Reject && v.Record.Policy != dmarc.Quarantine:
		x.add("bimi-policy", SeverityNotice, "", d+" has a BIMI record, but logos are shown only under p=quarantine or p=reject", "strengthen the DMARC policy")
	default:
		x.add("bimi-pass", SeverityPass, "", d+" has a BIMI record", "")
	}
}

// sample: what receivers demand of the messages themselves.
func (x *examination) sample(context.Context) {
	m := x.doctor.Sample
	if m == nil {
		if x.doctor.Bulk {
			x.add("unsubscribe-unknown", SeverityNotice, "Gmail, Yahoo, RFC 8058", "no Sample was given: whether bulk mail can be left with one click is not known", "set Doctor.Sample to a mail as it will be sent")
		}
		x.settle("unsubscribe", good)
		return
	}
	bulk := *m
	if x.doctor.Bulk {
		bulk.Priority = PriorityBulk
	}
	x.settle("unsubscribe", good)
	for _, f := range bulk.Lint() {
		x.report.Findings = append(x.report.Findings, f)
		if strings.HasPrefix(f.Rule, "unsubscribe-") && f.Severity == SeverityFailure {
			x.settle("unsubscribe", bad, f.Rule)
		}
	}
	if m.Unsubscribe != nil && m.Unsubscribe.URL != "" && x.facts["dkim"].state == bad {
		x.add("unsubscribe-unsigned", SeverityFailure, "Gmail, Yahoo, RFC 8058", "one-click unsubscribing counts only in mail with a valid DKIM signature over its fields (RFC 8058 s. 4)", "mend what the findings on DKIM say")
		x.settle("unsubscribe", bad, "unsubscribe-unsigned")
	}
}
