package dmarc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/postrider/postrider/dkim"
	"golang.org/x/net/idna"
)

// Resolver asks the DNS. The zero value uses the system's resolver. It is safe for concurrent use when its
// functions are.
type Resolver struct {
	// LookupTXT finds TXT records. Nil: the system's resolver.
	LookupTXT dkim.LookupTXT
	// Exists tells whether a domain exists: false where the DNS answers NXDOMAIN, and only there (RFC 9989
	// s. 3.2.13). It decides whether np applies. Nil: every domain is taken to exist.
	Exists func(ctx context.Context, domain string) (bool, error)
}

// Discovery is what the DNS says about a domain.
type Discovery struct {
	// Domain is the author's domain, in A-labels and lower case; Organization is the domain of its
	// organisation.
	Domain, Organization string
	// Record is the record that applies, and At is the domain that publishes it. At is empty where there is no
	// record: then DMARC does not apply.
	Record Record
	At     string
}

// Discover finds the record for an author's domain and the domain of its organisation (RFC 9989
// s. 4.10). An error means that the name is none, or that the DNS did not answer.
func (r Resolver) Discover(ctx context.Context, domain string) (Discovery, error) {
	w := walker{lookup: r.lookup(), answers: map[string]*Record{}}
	return w.discover(ctx, domain)
}

func (r Resolver) lookup() dkim.LookupTXT {
	if r.LookupTXT == nil {
		return net.DefaultResolver.LookupTXT
	}
	return r.LookupTXT
}

// walker walks trees and remembers what it was told: the walks of one message meet in the same domains.
type walker struct {
	lookup  dkim.LookupTXT
	answers map[string]*Record // nil: there is no record
}

// found is a record on the way up.
type found struct {
	domain string
	record Record
}

// record returns the record of exactly this domain.
func (w *walker) record(ctx context.Context, domain string) (*Record, error) {
	if r, ok := w.answers[domain]; ok {
		return r, nil
	}
	list, err := w.lookup(ctx, "_dmarc."+domain)
	var notFound *net.DNSError
	if err != nil && !(errors.As(err, &notFound) && notFound.IsNotFound) {
		return nil, fmt.Errorf("dmarc: look up _dmarc.%s: %w", domain, err)
	}
	var one *Record
	n := 0
	for _, text := range list {
		if r, err := ParseRecord(text); err == nil {
			one = &r
			n++
		}
	}
	if n > 1 {
		one = nil // several are as good as none (s. 4.10 step 2)
	}
	w.answers[domain] = one
	return one, nil
}

// walk returns the records from a domain up to the root, the longest name first (RFC 9989 s. 4.10).
func (w *walker) walk(ctx context.Context, domain string) ([]found, error) {
	var list []found
	for d := domain; d != ""; d = parent(d) {
		r, err := w.record(ctx, d)
		if err != nil {
			return nil, err
		}
		if r == nil {
			continue
		}
		list = append(list, found{d, *r})
		if r.PSD == "y" || r.PSD == "n" {
			break
		}
	}
	return list, nil
}

// parent is the next name of a walk. Long names are cut to seven labels, so that nobody can make us ask
// more than eight times.
func parent(domain string) string {
	const most = 7
	labels := strings.Split(domain, ".")
	if len(labels) > most {
		return strings.Join(labels[len(labels)-most:], ".")
	}
	return strings.Join(labels[1:], ".")
}

// organization selects the domain of the organisation from the records of a walk (s. 4.10.2).
func organization(start string, list []found) string {
	for _, f := range list {
		switch {
		case f.record.PSD == "n":
			return f.domain
		case f.record.PSD == "y" && f.domain != start:
			return below(start, f.domain)
		}
	}
	if len(list) > 0 {
		return list[len(list)-1].domain
	}
	return start
}

// below is the name on the way from start that is one label longer than suffix.
func below(start, suffix string) string {
	rest := strings.TrimSuffix(start, "."+suffix)
	return rest[strings.LastIndexByte(rest, '.')+1:] + "." + suffix
}

func (w *walker) discover(ctx context.Context, domain string) (Discovery, error) {
	name, err := domainName(domain)
	if err != nil {
		return Discovery{}, err
	}
	d := Discovery{Domain: name}
	list, err := w.walk(ctx, name)
	if err != nil {
		return d, err
	}
	d.Organization = organization(name, list)
	// The domain's own record comes first, then that of the organisation, then that of the public
	// suffix (s. 4.10.1). Others on the way count for nothing.
	for _, f := range list {
		if f.domain == name || f.domain == d.Organization || f.record.PSD == "y" {
			d.Record, d.At = f.record, f.domain
			break
		}
	}
	return d, nil
}

func (w *walker) organization(ctx context.Context, domain string) (string, error) {
	list, err := w.walk(ctx, domain)
	return organization(domain, list), err
}

// domainName returns a name in A-labels and lower case (RFC 9989 s. 5.3.1).
func domainName(s string) (string, error) {
	d, err := idna.Lookup.ToASCII(strings.TrimSuffix(s, "."))
	d = strings.ToLower(d)
	if err != nil || d == "" || len(d) > 253 || strings.Contains(d, "..") || d[0] == '.' || strings.ContainsAny(d, " \t\r\n;\\\"") {
		return "", fmt.Errorf("dmarc: %.260q is not a domain name", s)
	}
	return d, nil
}
