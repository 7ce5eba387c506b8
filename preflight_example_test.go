package postrider_test

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/postrider/postrider"
	"github.com/postrider/postrider/mx/mxtest"
)

// A domain that can receive nothing cannot send: before the first mail, the doctor says so.
func ExampleDoctor_sendsOnly() {
	doctor := &postrider.Doctor{
		Resolver: mxtest.MustParse(`example.com. MX 0 .`),
		Sources:  []netip.Addr{netip.MustParseAddr("192.0.2.25")},
		Hello:    "mail.example.com",
	}
	report, err := doctor.Preflight(context.Background(), "news@example.com")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, f := range report.Findings {
		if f.Rule == "mx-null" {
			fmt.Println(f.Severity, f.Rule)
		}
	}
	for _, j := range report.Judgements {
		fmt.Println(j.Receiver, j.Result)
	}
	// Output:
	// failure mx-null
	// Gmail refused
	// Yahoo refused
	// Microsoft refused
	// Apple refused
}
