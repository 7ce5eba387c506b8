package mx

import (
	"context"
	"crypto/tls"
	"net/netip"

	"github.com/miekg/dns"
)

// Resolver answers DNS questions. The AD bit of an answer is believed only when the
// router is told to trust the resolver.
type Resolver interface {
	Exchange(ctx context.Context, q *dns.Msg) (*dns.Msg, error)
}

// Policy demands more safety of a route: it may remove hosts and raise Demand, and never the
// reverse.
type Policy interface {
	Apply(ctx context.Context, r *Route) error
}

// Router finds the hosts that take mail for a domain. The zero value asks the servers of
// /etc/resolv.conf and refuses addresses that are not on the public Internet. It keeps what it has
// learned for the TTL of the answers, an hour at most, in up to 64 MB, and what policies ask in 8 MB more.
// It is safe for concurrent use; its fields must not change after the first call.
type Router struct {
	// Resolver answers. Nil: a DNS over /etc/resolv.conf.
	Resolver Resolver
	// Policies tighten the routes, in their order.
	Policies []Policy
	// TrustAD believes the AD bit of the Resolver's answers (RFC 4035 s. 4.9.3): the way to it must be
	// as safe as the resolver. False: what the Resolver says of itself, see Trusted.
	TrustAD bool
	// Allow are address ranges that are dialled though they are not on the public Internet. None: the
	// addresses of a domain that point to loopback, private, link-local, multicast or reserved
	// ranges are refused, for they would turn its mail against the sender's own network.
	Allow []netip.Prefix
	// Self are this host's own names: it and all hosts of equal or worse preference are cut from
	// a route (RFC 5321 s. 5.1).
	Self []string
	// Network is "ip", "ip4" or "ip6". Empty: "ip".
	Network string
	// Port is the port of all hosts. Zero: 25.
	Port uint16

	asked answers
}

// Route is the way to a domain.
type Route struct {
	// Domain is the asked domain as A-labels, in lower case, without final dot.
	// An address literal is in brackets.
	Domain string
	// Canonical is the name that Domain is an alias of (CNAME); Domain itself when it is none.
	Canonical string
	// Hosts are to be tried in this order.
	Hosts []Host
	// Implicit says that the domain has no MX record and its own address is used (RFC 5321 s. 5.1).
	Implicit bool
	// Authentic says that the MX answer, or its absence, was authenticated by DNSSEC and that the resolver
	// is trusted.
	Authentic bool
	// Notes say in words how the route came about, for people.
	Notes []string
	// Resolver is the one that answered, behind a cache: policies ask it for what else they need. Trusted says that
	// the AD bit of its answers is believed.
	Resolver Resolver
	Trusted  bool
	// Allow is the router's: what policies dial for the domain's sake is guarded alike, see Guard.
	Allow []netip.Prefix
	// Findings are what the policies found, for reports.
	Findings []Finding
}

// Host is one mail exchanger.
type Host struct {
	// Name is in A-labels and lower case, without final dot; an address literal is in brackets.
	Name       string
	Preference uint16
	// Canonical is the name at which Name's addresses are, where Name is an alias (CNAME); Name itself
	// when it is none (RFC 7672 s. 2.1.3).
	Canonical string
	// Addrs are to be tried in this order: families in turn, IPv6 first (RFC 8305 s. 4), within a
	// family as the resolver presented them (RFC 5321 s. 5.1).
	Addrs []netip.AddrPort
	// Authentic says that Name's address records were authenticated by DNSSEC.
	Authentic bool
	// Demand is the safety that is asked of the connection.
	Demand Demand
	// Err says why the host has no usable address. Nil when it has one. It is an *Error.
	Err error
}

// Demand is the safety that is asked of a connection to a host.
type Demand struct {
	Level Level
	// Names are the reference names that the certificate is verified for. Empty: the host's.
	Names []string
	// Verify decides on a finished handshake. Nil: the Level alone decides.
	Verify func(tls.ConnectionState) error
	// Why says in words which policy asks, for people and results; it is part of the key under which
	// connections are kept.
	Why string
}

// Level orders the safety of a connection: a policy may only raise it.
type Level int

// The levels.
const (
	Opportunistic Level = iota // STARTTLS when offered, whatever the certificate
	Encrypted                  // STARTTLS must be offered, whatever the certificate
	Verified                   // and the certificate must be valid for one of Names (RFC 8461)
	DANE                       // and Verify decides by TLSA records (RFC 7672)
)

// Error says why there is no route.
type Error struct {
	Domain string
	// Code and Status are the reply code and the enhanced status code that a server would give, such
	// as 556 and "5.1.10" for a null MX (RFC 7505).
	Code   int
	Status string
	Err    error
}

// Error is the domain, the cause and the status.
func (e *Error) Error() string { return e.Domain + ": " + e.Err.Error() + " (" + e.Status + ")" }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Temporary says that a later attempt may find a route.
func (e *Error) Temporary() bool { return e.Code < 500 }
