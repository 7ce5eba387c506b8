package spf_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/postrider/postrider/dkim/spf"
)

// records answers TXT questions from a map, and leaves the rest to a resolver.
type records struct {
	*net.Resolver
	txt map[string]string
}

func (r records) LookupTXT(_ context.Context, name string) ([]string, error) {
	if text, ok := r.txt[name]; ok {
		return []string{text}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

// Any resolver will do: a *net.Resolver, or one of one's own.
func ExampleDNS() {
	var dns spf.DNS = records{txt: map[string]string{"example.com": "v=spf1 ip4:192.0.2.0/24 -all"}}
	r := spf.Check(context.Background(), dns, spf.Query{IP: netip.MustParseAddr("203.0.113.9"), Sender: "ada@example.com", Hello: "mail.example.com"})
	fmt.Println(r.Verdict)
	// Output: fail
}

// What is wrong with a record, before it is published.
func ExampleSyntaxError() {
	err := spf.Validate("v=spf1 ip4:192.0.2.256 -all")
	if wrong, ok := errors.AsType[*spf.SyntaxError](err); ok {
		fmt.Println(wrong.Term)
	}
	// Output: ip4:192.0.2.256
}
