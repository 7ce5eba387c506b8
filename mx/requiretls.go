package mx

import (
	"context"
	"errors"
	"slices"
)

// RequireTLS demands what a mail with REQUIRETLS needs of each host (RFC 8689 s. 4.2.1): its name
// must be vouched for, by DNSSEC or by the domain's MTA-STS policy, and its certificate must be
// valid for that name, or pass DANE. Hosts that cannot do so are cut. It is applied to the finished
// route of that one mail; whether the server offers REQUIRETLS, only the dialogue shows.
type RequireTLS struct{}

// Apply raises the demands. Where no host is left the error is final (550 5.7.30), unless a policy
// or a host could not be asked about now and may do later.
func (RequireTLS) Apply(_ context.Context, r *Route) error {
	const why = "REQUIRETLS"
	temporary := slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Result != "" })
	kept := make([]Host, 0, len(r.Hosts))
	usable := 0
	for _, h := range r.Hosts {
		switch {
		case h.Err != nil:
			var e *Error
			temporary = temporary || errors.As(h.Err, &e) && e.Temporary()
		case h.Demand.Level >= DANE:
			h.Demand.Raise(DANE, why)
			usable++
		case r.Authentic || r.vouched(h.Name):
			h.Demand.Raise(Verified, why)
			h.Demand.Names = []string{h.Name}
			usable++
		default:
			r.Notes = append(r.Notes, "REQUIRETLS: "+h.Name+" is not used: neither DNSSEC nor MTA-STS vouches for its name")
			continue
		}
		kept = append(kept, h)
	}
	r.Hosts = kept
	if usable > 0 {
		return nil
	}
	err := errors.New("REQUIRETLS: neither DNSSEC nor MTA-STS vouches for the name of a mail server of this domain")
	if temporary {
		return &Error{r.Domain, 451, "4.7.30", err}
	}
	return &Error{r.Domain, 550, "5.7.30", err}
}

// vouched says that an MTA-STS policy in force, enforced or being tested, names the host (RFC 8461 s. 4.1).
func (r *Route) vouched(host string) bool {
	return slices.ContainsFunc(r.Findings, func(f Finding) bool {
		return f.Type == "sts" && slices.Contains(f.Hosts, host)
	})
}
