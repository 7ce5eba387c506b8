package dmarc_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"

	"github.com/postrider/postrider/dkim"
	"github.com/postrider/postrider/dkim/dmarc"
)

// zone is lines of a name and the text of its record. "!" as text is a DNS that does not answer. It keeps
// what was asked.
type zone struct {
	text  string
	mu    sync.Mutex
	asked []string
}

var errDown = errors.New("SERVFAIL")

func (z *zone) lookup(_ context.Context, name string) ([]string, error) {
	z.mu.Lock()
	z.asked = append(z.asked, name)
	z.mu.Unlock()
	var list []string
	for line := range strings.Lines(z.text) {
		n, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		if n != name {
			continue
		}
		if text == "!" {
			return nil, errDown
		}
		list = append(list, text)
	}
	if list == nil {
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	return list, nil
}

// missing lists the domains that do not exist.
func (z *zone) resolver(missing ...string) dmarc.Resolver {
	return dmarc.Resolver{LookupTXT: z.lookup, Exists: func(_ context.Context, domain string) (bool, error) {
		if domain == "down.example.com" {
			return false, errDown
		}
		return !slices.Contains(missing, domain), nil
	}}
}

func passed(domains ...string) []dkim.Verification {
	var list []dkim.Verification
	for _, d := range domains {
		list = append(list, dkim.Verification{Result: dkim.Pass, Domain: d})
	}
	return list
}
