package spf

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"blitiri.com.ar/go/spf"
	"github.com/postrider/postrider/dkim"
)

// DNS asks the DNS. A *net.Resolver is one. Where a name or its records do not exist, the error is a *net.DNSError
// with IsNotFound, or there is none and the list is empty.
type DNS interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
	LookupIPAddr(ctx context.Context, host string) ([]net.IPAddr, error)
	LookupAddr(ctx context.Context, addr string) ([]string, error)
}

// Query is what a receiving server knows of a connection.
type Query struct {
	// IP is the address of the client.
	IP netip.Addr
	// Sender is the envelope sender. Empty: the null sender, for which "postmaster" at the Hello name
	// stands (RFC 7208 s. 2.4).
	Sender string
	// Hello is the name that the client said in EHLO.
	Hello string
}

// The limits of RFC 7208 s. 4.6.4.
const (
	MaxLookups = 10
	MaxVoids   = 2
)

// Result is the outcome of a check.
type Result struct {
	// Verdict is "pass", "fail", "softfail", "neutral", "none", "temperror" or "permerror".
	Verdict string
	// Err says which term matched, or what is wrong.
	Err error
	// Domain was asked about, and Record is what it publishes. Empty: nothing.
	Domain, Record string
	// Lookups are the terms that asked the DNS, of MaxLookups; Voids are those of them that found
	// nothing, of MaxVoids.
	Lookups, Voids int
}

// Check tells whether the client may send (RFC 7208 s. 4). A nil dns is the system's resolver.
func Check(ctx context.Context, dns DNS, q Query) Result {
	domain := q.Hello
	if at := strings.LastIndexByte(q.Sender, '@'); at >= 0 {
		domain = q.Sender[at+1:]
	}
	return run(ctx, dns, domain, q, spf.OverrideLookupLimit(MaxLookups), spf.OverrideVoidLookupLimit(MaxVoids))
}

// Cost finds how many lookups the record of a domain can ask for when nothing matches before its end. More
// than MaxLookups or MaxVoids make receivers answer "permerror" to some or all mail. It counts up to
// 100, and gives up there.
func Cost(ctx context.Context, dns DNS, domain string) Result {
	const most = 100
	nowhere := netip.AddrFrom4([4]byte{255, 255, 255, 255})
	return run(ctx, dns, domain, Query{IP: nowhere, Sender: "postmaster@" + domain, Hello: domain},
		spf.OverrideLookupLimit(most), spf.OverrideVoidLookupLimit(most))
}

func run(ctx context.Context, dns DNS, domain string, q Query, limits ...spf.Option) Result {
	if dns == nil {
		dns = net.DefaultResolver
	}
	c := &counter{DNS: dns, domain: domain}
	verdict, err := spf.CheckHostWithSender(net.IP(q.IP.Unmap().AsSlice()), q.Hello, q.Sender,
		append(limits, spf.WithContext(ctx), spf.WithResolver(c))...)
	r := Result{Verdict: string(verdict), Err: err, Domain: domain, Record: c.record, Lookups: c.lookups, Voids: c.voids}
	if verdict == spf.PermError {
		switch {
		case c.broken != nil:
			r.Err = c.broken
		case errors.Is(err, spf.ErrNoResult):
			r.Err = fmt.Errorf("%w at %s, which is included", err, c.last)
		}
	}
	return r
}

// AuthResult returns the verdict as it is written into an Authentication-Results field, for this sender.
func (r Result) AuthResult(sender string) dkim.AuthResult {
	a := dkim.AuthResult{Method: "spf", Result: r.Verdict, Properties: [][2]string{{"smtp.mailfrom", sender}}}
	if sender == "" {
		a.Properties = [][2]string{{"smtp.helo", r.Domain}}
	}
	if r.Err != nil && r.Verdict != "pass" {
		a.Reason = r.Err.Error()
	}
	return a
}
