package mx

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// DNS asks recursive resolvers over the network: by UDP with EDNS0, by TCP where an answer is truncated
// or looks forged, or over TLS. The zero value asks the servers of /etc/resolv.conf. It keeps no answers:
// a Router does so itself, and Cache does for others. Sockets are reused. It is safe for concurrent use;
// its fields must not change after the first call.
type DNS struct {
	// Servers are asked in this order, each an IP address with or without port, such as "192.0.2.53" or
	// "[2001:db8::53]:5353"; the next one is asked when a server does not answer or fails. All should
	// know and validate the same. Empty: those of /etc/resolv.conf, which is read again when it changes.
	Servers []string
	// TLS asks over TLS, at port 853 unless Servers says otherwise (RFC 7858); certificates are verified
	// for ServerName, or where that is empty for the server's address. Nil: UDP and TCP.
	TLS *tls.Config
	// Timeout is for one try at one server. Zero: that of /etc/resolv.conf, or with Servers 5 seconds.
	Timeout time.Duration
	// Attempts is how often each server is tried. Zero: that of /etc/resolv.conf, or with Servers 2.
	Attempts int
	// Dial opens a connection; network is "udp" or "tcp". Nil: that of a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	system  systemServers
	once    sync.Once
	fixed   servers
	invalid error
	pool    socketPool

	mu        sync.Mutex
	preferred string    // the server that answered last, when it is not the first one
	since     time.Time // when it became that
}

// preference is how long a server is asked first after one before it failed.
const preference = time.Minute

// Trusted says whether the AD bit of r's answers is believed without the operator's word: that of a DNS
// whose servers are all on loopback addresses (or marked by "options trust-ad" in /etc/resolv.conf), of a
// Cache over one, and of any other resolver with a method Trusted that says so.
//
// What is left to trust: that a server on loopback validates itself. One that only hands on what
// others say, AD bit and all, lets whoever sits between it and them pretend that a domain is signed. Put
// such a server behind a Resolver of your own without a method Trusted.
func Trusted(r Resolver) bool {
	t, ok := r.(interface{ Trusted() bool })
	return ok && t.Trusted()
}

// Trusted says that all servers are on this machine, or marked as trusted in /etc/resolv.conf.
func (d *DNS) Trusted() bool {
	s, err := d.servers()
	return err == nil && s.trusted
}

// CloseIdle closes the sockets that no question uses. The DNS stays usable.
func (d *DNS) CloseIdle() { d.pool.closeAll() }

// Exchange asks a question. Its id is replaced on the wire, and EDNS0 is added where it has none. An answer
// is never truncated, and may say SERVFAIL where all servers do.
func (d *DNS) Exchange(ctx context.Context, q *dns.Msg) (*dns.Msg, error) {
	if len(q.Question) != 1 {
		return nil, errors.New("mx: a DNS message must ask one question")
	}
	s, err := d.servers()
	if err != nil {
		return nil, err
	}
	start := d.first(s.addrs)
	var failed *dns.Msg
	var problems errorList
	for range s.attempts {
		silent := false
		for i := range s.addrs {
			server := s.addrs[(start+i)%len(s.addrs)]
			answer, err := d.try(ctx, server, q, s.timeout)
			switch {
			case err == nil && (answer.Rcode == dns.RcodeSuccess || answer.Rcode == dns.RcodeNameError):
				if start+i > 0 {
					d.prefer(server, server == s.addrs[0])
				}
				return answer, nil
			case err == nil:
				failed = answer // SERVFAIL, REFUSED: another server may do better
				continue
			case ctx.Err() != nil:
				return nil, context.Cause(ctx)
			case over(ctx): // the socket's deadline was a moment faster than the context's
				return nil, context.DeadlineExceeded
			}
			silent = true
			problems = append(problems, err)
		}
		if !silent {
			break // all have answered, and will say the same again
		}
	}
	if failed != nil {
		return failed, nil
	}
	return nil, problems[max(0, len(problems)-len(s.addrs)):]
}

func over(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ok && !time.Now().Before(deadline)
}

// servers are the configured ones or those of the system.
func (d *DNS) servers() (servers, error) {
	port := "53"
	if d.TLS != nil {
		port = "853"
	}
	if len(d.Servers) == 0 {
		s := d.system.get(port)
		return d.adjust(s), nil
	}
	d.once.Do(func() {
		d.fixed = d.adjust(servers{timeout: defaultTimeout, attempts: defaultAttempts, trusted: true})
		for _, text := range d.Servers {
			addr, err := netip.ParseAddr(text)
			server := ""
			if err == nil {
				server = joinPort(addr, port)
			} else if withPort, err2 := netip.ParseAddrPort(text); err2 == nil {
				addr, server = withPort.Addr(), withPort.String()
			} else {
				d.invalid = fmt.Errorf("mx: DNS server %q is not an IP address with or without port", text)
				return
			}
			d.fixed.addrs = append(d.fixed.addrs, server)
			d.fixed.trusted = d.fixed.trusted && addr.Unmap().IsLoopback()
		}
	})
	return d.fixed, d.invalid
}

func (d *DNS) adjust(s servers) servers {
	if d.Timeout > 0 {
		s.timeout = d.Timeout
	}
	if d.Attempts > 0 {
		s.attempts = d.Attempts
	}
	return s
}

// first is the index of the server to begin with: the first one, unless it has failed lately.
func (d *DNS) first(addrs []string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.preferred == "" || time.Since(d.since) > preference {
		return 0
	}
	for i, addr := range addrs {
		if addr == d.preferred {
			return i
		}
	}
	return 0
}

func (d *DNS) prefer(server string, isFirst bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case isFirst:
		d.preferred = ""
	case d.preferred != server || time.Since(d.since) > preference:
		d.preferred, d.since = server, time.Now()
	}
}
