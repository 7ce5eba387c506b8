package mtasts

import (
	"context"
	"errors"
	"time"

	"github.com/postrider/postrider/mx/internal/ask"
	"github.com/postrider/postrider/mx/internal/web"
)

const (
	// refreshAfter is the age at which a policy is fetched anew although it is valid, so that keeping it
	// from being fetched just before it expires gains nothing (RFC 8461 s. 3.3, 10.2).
	refreshAfter = 24 * time.Hour
	// pauseFailed and pauseFetched bound how often one policy host is asked, also when somebody
	// changes the id all the time (RFC 8461 s. 3.3).
	pauseFailed  = 5 * time.Minute
	pauseFetched = time.Minute
)

// attempt is the last try to fetch a policy.
type attempt struct {
	at     time.Time
	entry  *Entry
	failed *failure
}

// flight is a fetch that several callers wait for.
type flight struct {
	done   chan struct{}
	entry  *Entry
	failed *failure
}

// find returns the policy that is in force for a domain, and what is wrong with the domain's
// policy. Either may be nil.
func (p *Policy) find(ctx context.Context, way web.Way, domain string) (*Entry, *failure) {
	if !isPattern("mta-sts." + domain) {
		return nil, nil
	}
	known := p.known(ctx, domain)
	id := ""
	txts, err := ask.TXT(ctx, way.Resolver, "_mta-sts."+domain)
	if err == nil {
		id, err = chooseRecord(txts)
	}
	switch {
	case err == errNoRecord:
		return known, nil // until it expires, and not renewed: the domain may have given it up
	case known == nil && err != nil:
		return nil, &failure{"sts-policy-invalid", err} // RFC 8461 s. 3.1: as if there were no policy
	case known != nil && (err != nil || id == known.ID) && time.Since(known.Fetched) < refreshAfter:
		return known, nil
	case err != nil:
		id = known.ID
	}
	fresh, failed := p.renew(ctx, way, domain, id)
	if fresh != nil {
		return fresh, failed
	}
	if known != nil && failed != nil && known.Document.Mode != None {
		p.notice(ctx, "MTA-STS: the policy of "+domain+" is in force until "+known.Expires().UTC().Format(time.RFC3339)+" and could not be refreshed: "+failed.Error())
	}
	return known, failed
}

// known returns the cached policy if it is valid now.
func (p *Policy) known(ctx context.Context, domain string) *Entry {
	e, err := p.cache().Get(domain)
	if err != nil {
		p.notice(ctx, "MTA-STS: the cache cannot be read: "+err.Error())
	}
	if e == nil || !time.Now().Before(e.Expires()) || time.Until(e.Fetched) > time.Hour {
		return nil
	}
	return e
}

func (p *Policy) cache() Cache {
	if p.Cache != nil {
		return p.Cache
	}
	return &p.memory
}

// renew fetches a policy and keeps it, unless that was tried a short while ago. Callers for the
// same domain share one fetch, which goes on when one of them gives up.
func (p *Policy) renew(ctx context.Context, way web.Way, domain, id string) (*Entry, *failure) {
	p.mu.Lock()
	f := p.flights[domain]
	if f == nil {
		last, ok, _ := p.tried.Get(domain)
		since := time.Since(last.at)
		if ok && last.failed != nil && since < pauseFailed || ok && last.failed == nil && since < pauseFetched {
			p.mu.Unlock()
			return last.entry, last.failed
		}
		f = &flight{done: make(chan struct{})}
		if p.flights == nil {
			p.flights = map[string]*flight{}
		}
		p.flights[domain] = f
		go p.fly(context.WithoutCancel(ctx), f, way, domain, id)
	}
	p.mu.Unlock()
	select {
	case <-f.done:
		return f.entry, f.failed
	case <-ctx.Done():
		return nil, &failure{"sts-policy-fetch-error", ctx.Err()}
	}
}

// fly fetches for all who wait.
func (p *Policy) fly(ctx context.Context, f *flight, way web.Way, domain, id string) {
	d, err := p.fetch(ctx, way, domain)
	if err != nil && !errors.As(err, &f.failed) {
		f.failed = &failure{"sts-policy-fetch-error", err}
	}
	if d != nil {
		f.entry = &Entry{ID: id, Document: *d, Fetched: time.Now()}
		if err := p.cache().Put(domain, *f.entry); err != nil {
			p.notice(ctx, "MTA-STS: the policy of "+domain+" cannot be kept: "+err.Error())
		}
	}
	p.mu.Lock()
	p.tried.Put(domain, attempt{time.Now(), f.entry, f.failed})
	delete(p.flights, domain)
	p.mu.Unlock()
	close(f.done)
}
