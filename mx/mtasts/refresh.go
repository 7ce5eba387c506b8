package mtasts

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Refresh fetches the policies anew that are valid and a day old, so that a domain to which mail is
// rare does not lose its protection (RFC 8461 s. 3.3). Call it a few times a day; it works through
// the cache one by one and returns what went wrong. It needs Resolver.
func (p *Policy) Refresh(ctx context.Context) error {
	if p.Resolver == nil {
		return errors.New("mtasts: Refresh needs Policy.Resolver")
	}
	domains, err := p.cache().Domains()
	errs := []error{err}
	for _, domain := range domains {
		if ctx.Err() != nil {
			return errors.Join(append(errs, ctx.Err())...)
		}
		e := p.known(ctx, domain)
		if e == nil || time.Since(e.Fetched) < refreshAfter {
			continue
		}
		if _, failed := p.find(ctx, p.way(nil, nil), domain); failed != nil && e.Document.Mode != None {
			errs = append(errs, fmt.Errorf("mtasts: %s: %w", domain, failed))
		}
	}
	return errors.Join(errs...)
}
