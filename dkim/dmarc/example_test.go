package dmarc_test

import (
	"context"
	"fmt"

	"github.com/postrider/postrider/dkim/dmarc"
)

// Which record applies to a subdomain, and whose it is.
func ExampleDiscovery() {
	resolver := dmarc.Resolver{LookupTXT: func(_ context.Context, name string) ([]string, error) {
		if name == "_dmarc.example.com" {
			return []string{"v=DMARC1; p=reject; sp=quarantine"}, nil
		}
		return nil, nil
	}}
	var found dmarc.Discovery
	found, err := resolver.Discover(context.Background(), "news.example.com")
	fmt.Println(found.Domain, "of", found.Organization, "by", found.At, err)
	// Output: news.example.com of example.com by example.com <nil>
}
