package memory

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"sync"
	"time"

	"github.com/postrider/postrider/mx"
	"github.com/postrider/postrider/mx/internal/journal"
)

// Policy demands what was seen before. The zero value remembers until the program ends. It is
// safe for concurrent use; its fields must not change after the first call.
type Policy struct {
	// Path is the file that survives restarts; one process uses it at a time. Empty: none.
	Path string
	// Limit is the number of domains; beyond it the one that had no mail for the longest time is
	// forgotten. Zero: 65536.
	Limit int
	// Keep is how long a sighting counts. Zero: 30 days.
	Keep time.Duration
	// Level is the most that is demanded: mx.Encrypted, or mx.Verified, which is also what zero means.
	Level mx.Level
	// Roots are the authorities of which a certificate must be to count as valid. Nil: the system's.
	Roots *x509.CertPool
	// Notice is told when the file cannot be read or written. Nil: slog.Default warns.
	Notice func(ctx context.Context, notice string)

	once    sync.Once
	mu      sync.Mutex // one change at a time
	journal journal.Journal[domain]
}

// Sighting is what was seen of a server, to the day.
type Sighting struct {
	// Encrypted is when it last took TLS, and Verified when its certificate was last valid for its
	// name. Zero: never, or too long ago to count.
	Encrypted time.Time `json:"encrypted"`
	Verified  time.Time `json:"verified,omitzero"`
}

// domain is what is known of a domain's servers by name.
type domain map[string]Sighting

// maxHosts bounds the servers that are remembered of a domain.
const maxHosts = 20

// fine is the precision of sightings: neither the file grows nor is a certificate checked with each mail.
const fine = 24 * time.Hour

func (p *Policy) open() *journal.Journal[domain] {
	p.once.Do(func() { p.journal.Path, p.journal.Limit = p.Path, p.Limit })
	return &p.journal
}

// Apply raises the demands of a route to what was seen before. Its error is nil.
func (p *Policy) Apply(ctx context.Context, r *mx.Route) error {
	known := p.recall(ctx, r.Domain)
	if len(known) == 0 {
		return nil
	}
	for i := range r.Hosts {
		h := &r.Hosts[i]
		level, why := p.demand(known, h.Name)
		if level <= h.Demand.Level {
			continue
		}
		h.Demand.Raise(level, why)
		if level == mx.Verified {
			h.Demand.Names = []string{h.Name}
		}
	}
	return nil
}

// Record remembers a connection to a server of a domain, with the names as in the route. A nil state
// is plaintext, of which there is nothing to remember. The certificate is checked here, so that a
// handshake which accepted any certificate counts for what it was worth.
func (p *Policy) Record(ctx context.Context, name, host string, state *tls.ConnectionState) {
	if state == nil || !state.HandshakeComplete || len(state.PeerCertificates) == 0 || name == "" || host == "" {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	hosts, now := p.recall(ctx, name), time.Now().Truncate(time.Second)
	s := hosts[host]
	if now.Sub(s.Encrypted) < fine {
		return
	}
	s.Encrypted = now
	if p.Level != mx.Encrypted && p.valid(state, host) {
		s.Verified = now
	}
	if hosts == nil {
		hosts = domain{}
	}
	hosts[host] = s
	hosts.bound()
	if err := p.open().Put(name, hosts); err != nil {
		p.notice(ctx, "memory: "+name+" cannot be remembered: "+err.Error())
	}
}

// valid says that the certificate is valid for the host.
func (p *Policy) valid(state *tls.ConnectionState, host string) bool {
	between := x509.NewCertPool()
	for _, c := range state.PeerCertificates[1:] {
		between.AddCert(c)
	}
	_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{
		DNSName: host, Roots: p.Roots, Intermediates: between, CurrentTime: time.Now(),
	})
	return err == nil
}

// Known returns what is remembered of a domain's servers and counts now, by their names.
func (p *Policy) Known(name string) map[string]Sighting {
	return p.recall(context.Background(), name)
}

// Forget decides that the domain may be served as if it were seen for the first time.
func (p *Policy) Forget(name string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open().Delete(name)
}

// recall returns a copy of what counts now.
func (p *Policy) recall(ctx context.Context, name string) domain {
	all, ok, err := p.open().Get(name)
	if err != nil {
		p.notice(ctx, "memory: it cannot be read: "+err.Error())
	}
	if !ok {
		return nil
	}
	keep := p.Keep
	if keep <= 0 {
		keep = 30 * 24 * time.Hour
	}
	fresh := domain{}
	for host, s := range all {
		if time.Since(s.Verified) > keep+fine {
			s.Verified = time.Time{}
		}
		if time.Since(s.Encrypted) <= keep+fine {
			fresh[host] = s
		}
	}
	return fresh
}

// demand says how safe a connection to the host must be, given what is known of the domain's hosts.
func (p *Policy) demand(known domain, host string) (level mx.Level, why string) {
	s, ok := known[host]
	switch {
	case !ok:
		return mx.Encrypted, "memory: the domain's servers have offered TLS"
	case s.Verified.IsZero() || p.Level == mx.Encrypted:
		return mx.Encrypted, "memory: the server took TLS on " + s.Encrypted.UTC().Format(time.DateOnly)
	}
	return mx.Verified, "memory: the server's certificate was valid on " + s.Verified.UTC().Format(time.DateOnly)
}

// bound forgets the servers that were not seen for the longest time.
func (d domain) bound() {
	for len(d) > maxHosts {
		oldest := ""
		for host, s := range d {
			if oldest == "" || s.Encrypted.Before(d[oldest].Encrypted) {
				oldest = host
			}
		}
		delete(d, oldest)
	}
}

func (p *Policy) notice(ctx context.Context, text string) {
	if p.Notice != nil {
		p.Notice(ctx, text)
		return
	}
	slog.WarnContext(ctx, text)
}
