package mx_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/postrider/postrider/mx"
	"github.com/postrider/postrider/mx/mxtest"
)

func TestRequireTLS(t *testing.T) {
	temporary := &mx.Error{Domain: "mx1.a.test", Code: 451, Status: "4.7.5", Err: errors.New("SERVFAIL")}
	final := &mx.Error{Domain: "mx1.a.test", Code: 550, Status: "5.4.4", Err: errors.New("loopback")}
	dane := mx.Demand{Level: mx.DANE, Names: []string{"base.test"}, Why: "DANE"}
	sts := mx.Finding{Type: "sts", Hosts: []string{"mx1.a.test"}}
	unfetched := mx.Finding{Type: "sts", Result: "sts-policy-fetch-error"}
	for _, c := range []struct {
		name  string
		route mx.Route
		want  string // "host level names" for each host, or the status
	}{
		{"signed", mx.Route{Authentic: true, Hosts: []mx.Host{{Name: "mx1.a.test"}, {Name: "mx2.a.test"}}},
			"mx1.a.test verified mx1.a.test|mx2.a.test verified mx2.a.test"},
		{"DANE", mx.Route{Authentic: true, Hosts: []mx.Host{{Name: "mx1.a.test", Demand: dane}}}, "mx1.a.test dane base.test"},
		{"MTA-STS", mx.Route{Findings: []mx.Finding{sts}, Hosts: []mx.Host{{Name: "mx1.a.test"}, {Name: "mx2.a.test"}}}, "mx1.a.test verified mx1.a.test"},
		{"unsigned", mx.Route{Hosts: []mx.Host{{Name: "mx1.a.test"}}}, "5.7.30"},
		{"a valid certificate is no proof of the name", mx.Route{Hosts: []mx.Host{{Name: "mx1.a.test", Demand: mx.Demand{Level: mx.Verified}}}}, "5.7.30"},
		{"address literal", mx.Route{Hosts: []mx.Host{{Name: "[9.0.0.1]"}}}, "5.7.30"},
		{"policy host down", mx.Route{Findings: []mx.Finding{unfetched}, Hosts: []mx.Host{{Name: "mx1.a.test"}}}, "4.7.30"},
		{"bogus TLSA", mx.Route{Authentic: true, Hosts: []mx.Host{{Name: "mx1.a.test", Err: temporary}}}, "4.7.30"},
		{"refused address", mx.Route{Authentic: true, Hosts: []mx.Host{{Name: "mx1.a.test", Err: final}}}, "5.7.30"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			if err := (mx.RequireTLS{}).Apply(context.Background(), &c.route); err != nil {
				var e *mx.Error
				if !errors.As(err, &e) || e.Temporary() != strings.HasPrefix(e.Status, "4") {
					t.Fatalf("%#v", err)
				}
				got = []string{e.Status}
			} else {
				for _, h := range c.route.Hosts {
					if !strings.Contains(h.Demand.Why, "REQUIRETLS") {
						t.Errorf("%s: why is %q", h.Name, h.Demand.Why)
					}
					got = append(got, fmt.Sprint(h.Name, " ", h.Demand.Level, " ", strings.Join(h.Demand.Names, ",")))
				}
			}
			if s := strings.Join(got, "|"); s != c.want {
				t.Errorf("got %s, want %s", s, c.want)
			}
		})
	}
}

// Lookup is the way of mail with "TLS-Required: No": a policy that would stop the mail is not asked.
func TestLookupWaivesPolicies(t *testing.T) {
	refuse := policyFunc(func(_ context.Context, r *mx.Route) error {
		r.Findings = append(r.Findings, mx.Finding{Type: "sts"})
		return errors.New("no")
	})
	router := &mx.Router{Resolver: mxtest.MustParse(world), Policies: []mx.Policy{refuse}}
	if route, err := router.Route(context.Background(), "example.test"); err == nil || len(route.Findings) != 1 {
		t.Errorf("Route: %+v, %v, want an error and what was found", route, err)
	}
	route, err := router.Lookup(context.Background(), "example.test")
	if err != nil || len(route.Hosts) != 2 || route.Hosts[0].Demand.Level != mx.Opportunistic {
		t.Errorf("Lookup: %+v, %v", route, err)
	}
}

func ExampleRequireTLS() {
	route := &mx.Route{Domain: "example.com", Authentic: true, Hosts: []mx.Host{{Name: "mx1.example.com"}}}
	err := mx.RequireTLS{}.Apply(context.Background(), route)
	fmt.Println(route.Hosts[0].Demand.Level, err)
	// Output: verified <nil>
}
