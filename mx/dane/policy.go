package dane

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"github.com/postrider/postrider/mx"
)

// Policy demands of each host what its TLSA records say (RFC 7672). The zero value is ready. It
// comes before every other policy, and it is safe for concurrent use.
type Policy struct {
	// Resolver answers the TLSA questions; the AD bit of its answers is believed where the route says
	// that the router trusts its own resolver. Nil: the route's resolver.
	Resolver mx.Resolver
	// Notice is called once, when a route shows that no AD bit is believed and that DANE therefore
	// protects nothing. Nil: slog.Default warns.
	Notice func(ctx context.Context, notice string)

	once sync.Once
}

// Apply raises the demands of the route's hosts. Its error is nil: a host whose TLSA records cannot
// be had gets Err, so that the next host can be tried (RFC 7672 s. 2.1.2).
func (p *Policy) Apply(ctx context.Context, r *mx.Route) error {
	resolver := p.Resolver
	if resolver == nil {
		resolver = r.Resolver
	}
	if !r.Trusted && !r.Authentic || resolver == nil {
		const inert = "DANE protects nothing: the resolver's AD bit is not trusted (it is, of a validating resolver on a loopback address or by TrustAD)"
		p.once.Do(func() { p.notice(ctx, inert) })
		r.Notes = append(r.Notes, "DANE: not applied: the resolver's AD bit is not trusted")
		return nil
	}
	if !r.Authentic {
		// Whoever can forge the MX records can name a host of his own (RFC 7672 s. 2.2.1).
		r.Notes = append(r.Notes, "DANE: not applied: the way to the hosts is not signed by DNSSEC")
		return nil
	}
	found := lookup{resolver}.hosts(ctx, r.Hosts)
	for i := range r.Hosts {
		if r.Hosts[i].Err == nil {
			demand(r, &r.Hosts[i], found[i])
		}
	}
	return nil
}

func (p *Policy) notice(ctx context.Context, text string) {
	if p.Notice != nil {
		p.Notice(ctx, text)
		return
	}
	slog.WarnContext(ctx, text)
}

// demand writes into the host what was found about it.
func demand(r *mx.Route, h *mx.Host, a answer) {
	finding := mx.Finding{Type: "tlsa", Domain: a.base, Hosts: []string{h.Name}, Enforced: true}
	if a.err != nil {
		h.Err = &mx.Error{Domain: h.Name, Code: 451, Status: "4.7.5", Err: fmt.Errorf("TLSA lookup: %w", a.err)}
		finding.Result, finding.Reason = "dnssec-invalid", a.err.Error()
		r.Findings = append(r.Findings, finding)
		return
	}
	if a.why != "" {
		r.Notes = append(r.Notes, "DANE: "+h.Name+": "+a.why)
	}
	if len(a.records) == 0 {
		return
	}
	var texts []string
	for _, record := range a.records {
		finding.Text = append(finding.Text, record.text())
		texts = append(texts, record.String())
	}
	why := "DANE: TLSA at " + a.base + ": " + strings.Join(texts, ", ")
	usable := Usable(a.records)
	if len(usable) == 0 {
		// RFC 7672 s. 2.2: TLS is certain to be there, how to authenticate it is not.
		finding.Result, finding.Reason = "tlsa-invalid", "no record is usable for SMTP"
		r.Findings = append(r.Findings, finding)
		h.Demand.Raise(mx.Encrypted, why+" (none usable: encryption without authentication)")
		return
	}
	r.Findings = append(r.Findings, finding)
	// RFC 7672 s. 3.2.2; the base domain is first, since it is also the name for SNI (s. 8.1).
	references := []string{a.base}
	for _, name := range []string{h.Name, r.Domain, r.Canonical} {
		if name != "" && !slices.Contains(references, name) {
			references = append(references, name)
		}
	}
	h.Demand.Raise(mx.DANE, why)
	h.Demand.Names = references
	h.Demand.Verify = func(state tls.ConnectionState) error { return Verify(state, usable, references) }
}
