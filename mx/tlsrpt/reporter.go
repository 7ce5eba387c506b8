package tlsrpt

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/postrider/postrider/mx"
	"github.com/postrider/postrider/mx/internal/web"
)

// Reporter counts outcomes and sends reports of them. Nothing happens without one. It is safe for
// concurrent use; its fields must not change after the first call.
type Reporter struct {
	// Organization is the name of the sender, and Contact an address of his whose domain names him in
	// reports and signs them. Both are required.
	Organization, Contact string
	// Mail sends a finished message, with a null reverse-path or from the contact, signed with DKIM
	// and with the policies waived. Nil: domains that want mail get no report.
	Mail func(ctx context.Context, to string, message []byte) error
	// Resolver answers where reports go. Required for sending.
	Resolver mx.Resolver
	// Roots are the authorities for policies that are being tested. Nil: the system's.
	Roots *x509.CertPool
	// Limit is the number of domains that are counted on a day. Zero: 10000.
	Limit int

	// Dial makes connections for HTTPS, the address is an IP address with a port; Allow are ranges that are
	// dialled though they are not on the public Internet; TLS is the base of the configuration. Zero:
	// net.Dialer, none, the system's roots.
	Dial  func(ctx context.Context, network, address string) (net.Conn, error)
	Allow []netip.Prefix
	TLS   *tls.Config

	sending sync.Mutex // one Send at a time

	mu   sync.Mutex
	days map[string]*day
	size int // octets, about
}

const (
	// spread is the time after midnight over which reports are sent, so that not all senders of the world
	// report at once (RFC 8460 s. 4.1).
	spread = 4 * time.Hour
	// giveUp is how long sending is tried (RFC 8460 s. 5.5: up to 24 hours).
	giveUp = 24 * time.Hour
	// wait bounds one POST.
	wait = 30 * time.Second
)

// Send sends the reports that are due: of days that are over in UTC. Call it every hour or so. A
// report that no place takes stays for the next call until it is a day late; the error tells of it.
// Domains without TLSRPT record are forgotten silently.
func (r *Reporter) Send(ctx context.Context) error {
	if r == nil {
		return nil
	}
	if r.Resolver == nil || r.Organization == "" || !strings.Contains(r.Contact, "@") {
		return errors.New("tlsrpt: sending reports needs Resolver, Organization and Contact")
	}
	r.sending.Lock()
	defer r.sending.Unlock()
	var errs []error
	for key, d := range r.due() {
		if ctx.Err() != nil {
			return errors.Join(append(errs, ctx.Err())...)
		}
		err := r.sendDay(ctx, d)
		if err != nil {
			errs = append(errs, fmt.Errorf("tlsrpt: report to %s: %w", d.domain, err))
		}
		if err == nil || time.Since(d.start) > 24*time.Hour+spread+giveUp {
			r.forget(key)
		}
	}
	return errors.Join(errs...)
}

func (r *Reporter) forget(key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.size -= r.days[key].size
	delete(r.days, key)
}

// due returns the days that are over, each domain at its own time within the spread.
func (r *Reporter) due() map[string]*day {
	r.mu.Lock()
	defer r.mu.Unlock()
	due := map[string]*day{}
	for key, d := range r.days {
		h := fnv.New32a()
		h.Write([]byte(key))
		delay := 24*time.Hour + time.Duration(h.Sum32()%uint32(spread/time.Second))*time.Second
		if time.Since(d.start) >= delay {
			due[key] = d
		}
	}
	return due
}

// sendDay sends one report to all places that the domain names; one that takes it is enough.
func (r *Reporter) sendDay(ctx context.Context, d *day) error {
	uris, err := lookup(ctx, r.Resolver, d.domain)
	if err == errNoRecord {
		return nil
	}
	if err != nil {
		return err
	}
	report := r.report(d)
	var errs []error
	sent := false
	for _, u := range uris {
		if err := r.sendTo(ctx, u, report); err != nil {
			errs = append(errs, err)
			continue
		}
		sent = true
	}
	if sent {
		return nil
	}
	return errors.Join(errs...)
}

// report makes the report of a day that is over.
func (r *Reporter) report(d *day) *Report {
	report := &Report{
		Organization: r.Organization,
		Contact:      r.Contact,
		Domain:       d.domain,
		Policies:     d.kinds,
		Dates:        DateRange{d.start, d.start.Add(24*time.Hour - time.Second)},
	}
	report.ID = d.start.Format(time.DateOnly) + "." + rand.Text()[:16] + "@" + report.submitter()
	return report
}

// sendTo sends a report to one place.
func (r *Reporter) sendTo(ctx context.Context, u *url.URL, report *Report) error {
	if u.Scheme != "mailto" {
		return r.post(ctx, u, report)
	}
	if r.Mail == nil {
		return errors.New("the domain wants mail, and Reporter.Mail is nil")
	}
	to := mailbox(u)
	message, err := report.Message(to)
	if err != nil {
		return err
	}
	return r.Mail(ctx, to, message)
}

// post sends a report by HTTPS (RFC 8460 s. 5.4). The domain chose the host: the connection is guarded,
// and what it answers is not read.
func (r *Reporter) post(ctx context.Context, u *url.URL, report *Report) error {
	body, err := report.Gzip()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/tlsrpt+gzip")
	transport := web.Way{Resolver: r.Resolver, Dial: r.Dial, Allow: r.Allow, TLS: r.TLS}.Transport(u.Hostname())
	defer transport.CloseIdleConnections()
	response, err := transport.RoundTrip(request)
	if err != nil {
		return err
	}
	response.Body.Close()
	if response.StatusCode < 200 || response.StatusCode > 299 {
		return fmt.Errorf("%s answered %s", u.Host, response.Status)
	}
	return nil
}
