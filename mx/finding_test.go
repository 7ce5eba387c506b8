package mx_test

import (
	"context"
	"fmt"
	"net/netip"
	"testing"

	"github.com/postrider/postrider/mx"
	"github.com/postrider/postrider/mx/mxtest"
)

// policyFunc is a policy made of a function.
type policyFunc func(ctx context.Context, r *mx.Route) error

func (f policyFunc) Apply(ctx context.Context, r *mx.Route) error { return f(ctx, r) }

func ExampleDemand_Raise() {
	var d mx.Demand
	d.Raise(mx.Verified, "MTA-STS")
	d.Raise(mx.Encrypted, "memory")
	fmt.Println(d.Level, "because of", d.Why)
	// Output: verified because of MTA-STS; memory
}

func ExampleGuard() {
	fmt.Println(mx.Guard(netip.MustParseAddr("127.0.0.1"), nil))
	fmt.Println(mx.Guard(netip.MustParseAddr("127.0.0.1"), []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}))
	// Output:
	// the address 127.0.0.1 is refused: it is loopback, not on the public Internet
	// <nil>
}

// A policy gets what it needs to ask further, and what it notes stays with its route.
func TestRouteForPolicies(t *testing.T) {
	zone := mxtest.MustParse(world)
	allow := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	n := 0
	router := &mx.Router{Resolver: zone, TrustAD: true, Allow: allow, Policies: []mx.Policy{
		policyFunc(func(_ context.Context, r *mx.Route) error {
			if r.Resolver == nil || !r.Trusted || len(r.Allow) != 1 {
				t.Errorf("route %+v", r)
			}
			n++
			r.Notes = append(r.Notes, fmt.Sprint(n))
			return nil
		}),
	}}
	var notes []string
	for range 2 {
		route, err := router.Route(context.Background(), "example.test")
		if err != nil {
			t.Fatal(err)
		}
		notes = append(notes, route.Notes[len(route.Notes)-1])
	}
	if fmt.Sprint(notes) != "[1 2]" {
		t.Errorf("notes %q", notes)
	}
}
