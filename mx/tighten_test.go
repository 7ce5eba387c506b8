package mx_test

import (
	"context"
	"crypto/tls"
	"errors"
	"testing"

	"github.com/postrider/postrider/mx"
	"github.com/postrider/postrider/mx/mxtest"
)

// Policies are held to "may only tighten", whatever they do.
func TestPoliciesMayOnlyTighten(t *testing.T) {
	raise := policyFunc(func(_ context.Context, r *mx.Route) error {
		for i := range r.Hosts {
			r.Hosts[i].Demand.Raise(mx.DANE, "test")
			r.Hosts[i].Demand.Verify = func(tls.ConnectionState) error { return nil }
		}
		return nil
	})
	const good = "10 mx1.example.test [2600::1]:25 9.0.0.1:25 | 20 mx2.example.test [2600::2]:25 9.0.0.2:25 9.0.0.3:25"
	for name, c := range map[string]struct {
		apply func(r *mx.Route) error
		want  string
	}{
		"nothing":        {func(r *mx.Route) error { return nil }, good},
		"removes a host": {func(r *mx.Route) error { r.Hosts = r.Hosts[:1]; return nil }, "10 mx1.example.test [2600::1]:25 9.0.0.1:25"},
		"lowers":         {func(r *mx.Route) error { r.Hosts[1].Demand.Level = mx.Verified; return nil }, "451 4.7.5 mx_test.policyFunc lowered the demand for mx2.example.test"},
		"drops Verify":   {func(r *mx.Route) error { r.Hosts[0].Demand.Verify = nil; return nil }, "451 4.7.5 mx_test.policyFunc lowered the demand for mx1.example.test"},
		"adds a host": {func(r *mx.Route) error { r.Hosts = append(r.Hosts, mx.Host{Name: "evil.test"}); return nil },
			"451 4.7.5 mx_test.policyFunc added the host evil.test"},
		"renames a host":   {func(r *mx.Route) error { r.Hosts[0].Name = "evil.test"; return nil }, "451 4.7.5 mx_test.policyFunc added the host evil.test"},
		"removes all":      {func(r *mx.Route) error { r.Hosts = nil; return nil }, "451 4.7.5 mx_test.policyFunc leaves no host"},
		"fails":            {func(r *mx.Route) error { return errors.New("no policy") }, "451 4.7.5 no policy"},
		"fails its way":    {func(r *mx.Route) error { return &mx.Error{Code: 550, Status: "5.7.10", Err: errors.New("never")} }, "550 5.7.10 never"},
		"marks one broken": {func(r *mx.Route) error { r.Hosts[0].Err = errors.New("bad"); return nil }, "10 mx1.example.test [2600::1]:25 9.0.0.1:25 bad | 20 mx2.example.test [2600::2]:25 9.0.0.2:25 9.0.0.3:25"},
		"marks all broken": {func(r *mx.Route) error {
			for i := range r.Hosts {
				r.Hosts[i].Err = &mx.Error{Domain: r.Hosts[i].Name, Code: 451, Status: "4.7.5", Err: errors.New("bad")}
			}
			return nil
		}, "451 4.7.5 no host can be used: mx1.example.test: bad (4.7.5); mx2.example.test: bad (4.7.5)"},
	} {
		t.Run(name, func(t *testing.T) {
			router := &mx.Router{Resolver: mxtest.MustParse(world), Policies: []mx.Policy{
				raise, policyFunc(func(_ context.Context, r *mx.Route) error { return c.apply(r) }),
			}}
			for range 2 { // the second time from memory, which the policy must not have changed
				if got := brief(router.Route(t.Context(), "example.test")); got != c.want {
					t.Errorf("got  %s\nwant %s", got, c.want)
				}
			}
		})
	}
}
