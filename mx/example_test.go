package mx_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/miekg/dns"

	"github.com/postrider/postrider/mx"
	"github.com/postrider/postrider/mx/mxtest"
)

// zone stands for the DNS in the examples.
var zone = mxtest.MustParse(`
	example.test.      MX 10 mx1.example.test.
	example.test.      MX 20 mx2.example.test.
	mx1.example.test.  A     10.0.0.1
	mx1.example.test.  AAAA  fd00::1
	quiet.test.        MX 0  .
`)

func Example() {
	router := &mx.Router{
		Resolver: zone, // nil asks the servers of /etc/resolv.conf
		Allow:    []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")},
	}
	route, err := router.Route(context.Background(), "Example.test")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, host := range route.Hosts {
		fmt.Println(host.Preference, host.Name, host.Addrs, host.Demand.Level, host.Err)
	}
	// Output:
	// 10 mx1.example.test [[fd00::1]:25 10.0.0.1:25] opportunistic <nil>
	// 20 mx2.example.test [] opportunistic mx2.example.test: the host does not exist (5.4.4)
}

func ExampleRouter_Route() {
	router := &mx.Router{Resolver: zone}
	_, err := router.Route(context.Background(), "quiet.test")
	fmt.Println(err)
	var e *mx.Error
	if errors.As(err, &e) {
		fmt.Println(e.Code, e.Status, e.Temporary())
	}
	// Output:
	// quiet.test: the domain takes no mail (null MX) (5.1.10)
	// 556 5.1.10 false
}

func ExampleRoute_String() {
	router := &mx.Router{Resolver: zone, Network: "ip4", Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	route, err := router.Route(context.Background(), "example.test")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(route)
	// Output:
	// example.test: by MX, not authenticated: the resolver is not trusted to validate DNSSEC
	//      10 mx1.example.test
	//         10.0.0.1:25
	//         opportunistic: TLS where it is offered, with whatever certificate (no policy asks for more)
	//      20 mx2.example.test
	//         cannot be used: mx2.example.test: the host does not exist (5.4.4)
}

// onlyEncrypted is a policy: it may take hosts away and raise demands.
type onlyEncrypted struct{}

func (onlyEncrypted) Apply(ctx context.Context, r *mx.Route) error {
	for i := range r.Hosts {
		r.Hosts[i].Demand.Raise(mx.Encrypted, "house rule")
	}
	return nil
}

func ExamplePolicy() {
	router := &mx.Router{
		Resolver: zone,
		Policies: []mx.Policy{onlyEncrypted{}},
		Allow:    []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
	}
	route, err := router.Route(context.Background(), "example.test")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(route.Hosts[0].Demand.Level, route.Hosts[0].Demand.Why)
	// Output: encrypted house rule
}

func ExampleDNS() {
	server, err := zone.Listen("127.0.0.1:0") // a name server for the example
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()

	resolver := &mx.DNS{Servers: []string{server.Addr}}
	answer, err := resolver.Exchange(context.Background(), new(dns.Msg).SetQuestion("mx1.example.test.", dns.TypeA))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(answer.Answer[0].(*dns.A).A, mx.Trusted(resolver))
	// Output: 10.0.0.1 true
}

func ExampleCache() {
	zone := mxtest.MustParse("example.test. MX 10 mx1.example.test.")
	cache := &mx.Cache{Resolver: zone}
	for range 3 {
		if _, err := cache.Exchange(context.Background(), new(dns.Msg).SetQuestion("example.test.", dns.TypeMX)); err != nil {
			fmt.Println(err)
		}
	}
	fmt.Println(zone.Asked())
	// Output: [example.test. MX]
}

// What policies found tells why a route is as it is.
func ExampleFinding() {
	route := &mx.Route{Domain: "example.test", Findings: []mx.Finding{
		{Type: "sts", Domain: "example.test", Enforced: true, Hosts: []string{"mx1.example.test"}},
		{Type: "tlsa", Domain: "mx1.example.test", Result: "dnssec-invalid", Reason: "the answer is bogus"},
	}}
	for _, f := range route.Findings {
		fmt.Printf("%s %v %q\n", f.Type, f.Enforced, f.Result)
	}
	// Output:
	// sts true ""
	// tlsa false "dnssec-invalid"
}
