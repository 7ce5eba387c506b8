package dane_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"

	"github.com/miekg/dns"

	"github.com/postrider/postrider/mx"
	"github.com/postrider/postrider/mx/dane"
	"github.com/postrider/postrider/mx/mxtest"
)

func ExamplePolicy() {
	zone := mxtest.MustParse(`
		mail.example.test. A 192.0.2.1
		_25._tcp.mail.example.test. TLSA 3 1 1 aabbccddeeff00112233445566778899aabbccddeeff00112233445566778899
	`)
	zone.Authenticate("example.test")
	route := &mx.Route{ // what mx.Router finds for a signed domain
		Domain: "example.test", Resolver: zone, Trusted: true, Authentic: true,
		Hosts: []mx.Host{{Name: "mail.example.test", Authentic: true}},
	}
	err := new(dane.Policy).Apply(context.Background(), route)
	fmt.Println(route.Hosts[0].Demand.Level, err)
	fmt.Println(route.Hosts[0].Demand.Why)
	// Output:
	// dane <nil>
	// DANE: TLSA at mail.example.test: 3 1 1 aabbccddeeff00112233445566778899...
}

func ExampleRecord() {
	rr, _ := dns.NewRR("_25._tcp.mail.example.test. TLSA 1 1 1 aabb")
	record, err := dane.FromRR(rr.(*dns.TLSA))
	fmt.Println(record, err, len(dane.Usable([]dane.Record{record})))
	// Output: 1 1 1 aabb <nil> 0
}

func ExampleError() {
	err := dane.Verify(tls.ConnectionState{}, nil, nil)
	var e *dane.Error
	fmt.Println(errors.As(err, &e), e.Temporary(), e.Err)
	// Output: true true the server showed no certificate
}
