package mxtest_test

import (
	"context"
	"fmt"

	"github.com/miekg/dns"

	"github.com/postrider/postrider/mx/mxtest"
)

func ExampleZone() {
	zone := mxtest.MustParse(`
		example.test.     MX 10 mail.example.test.
		mail.example.test. A 192.0.2.1
	`)
	answer, err := zone.Exchange(context.Background(), new(dns.Msg).SetQuestion("example.test.", dns.TypeMX))
	fmt.Println(answer.Answer[0], err)
	// Output: example.test.	3600	IN	MX	10 mail.example.test. <nil>
}

func ExampleFault() {
	zone := mxtest.MustParse("example.test. MX 10 mail.example.test.")
	zone.Fail("example.test", mxtest.Fault{Type: dns.TypeMX, Rcode: dns.RcodeServerFailure, Times: 1})
	for range 2 {
		answer, _ := zone.Exchange(context.Background(), new(dns.Msg).SetQuestion("example.test.", dns.TypeMX))
		fmt.Println(dns.RcodeToString[answer.Rcode])
	}
	// Output:
	// SERVFAIL
	// NOERROR
}

func ExampleServer() {
	zone := mxtest.MustParse("mail.example.test. A 192.0.2.1")
	server, err := zone.Listen("127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	answer, err := dns.Exchange(new(dns.Msg).SetQuestion("mail.example.test.", dns.TypeA), server.Addr)
	fmt.Println(answer.Answer[0], err)
	// Output: mail.example.test.	3600	IN	A	192.0.2.1 <nil>
}
