package mx

import (
	"context"
	"errors"
	"fmt"
)

// tighten applies the policies and holds them to their word: each may take hosts away and ask for more
// safety, and none may do the reverse, whatever another has said.
func (r *Router) tighten(ctx context.Context, route *Route) error {
	for _, policy := range r.Policies {
		before := make(map[string]Demand, len(route.Hosts))
		for i := range route.Hosts {
			before[route.Hosts[i].Name] = route.Hosts[i].Demand
		}
		if err := policy.Apply(ctx, route); err != nil {
			return policyError(route.Domain, err)
		}
		for i := range route.Hosts {
			h := &route.Hosts[i]
			was, known := before[h.Name]
			if !known {
				return policyError(route.Domain, fmt.Errorf("%T added the host %s", policy, h.Name))
			}
			if h.Demand.Level < was.Level || h.Demand.Verify == nil && was.Verify != nil {
				return policyError(route.Domain, fmt.Errorf("%T lowered the demand for %s", policy, h.Name))
			}
		}
		if len(route.Hosts) == 0 {
			return policyError(route.Domain, fmt.Errorf("%T leaves no host", policy))
		}
		if err := unusable(route); err != nil {
			return err
		}
	}
	return nil
}

// policyError is temporary unless the policy says otherwise: a policy that cannot be had now, or hosts
// that do not meet it, may be mended before the mail expires.
func policyError(domain string, err error) error {
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	return &Error{domain, 451, "4.7.5", err}
}
