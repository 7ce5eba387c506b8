package postrider

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"

	"github.com/postrider/postrider/smtp"
)

// Relay is a Transport that hands all mail to one server: a smarthost, a provider's submission
// service (RFC 6409), or a local delivery agent. Its fields are not changed after the first use.
type Relay struct {
	// Host is the server's name. It is what the certificate is verified for.
	Host string
	// Port is the server's port. Zero: 587, or 465 with ImplicitTLS (RFC 8314), or 24 with LMTP.
	Port uint16
	// Security says how much TLS is demanded. Zero: STARTTLS is required and the certificate verified.
	Security smtp.Security
	// Auth logs in. Nil: no AUTH.
	Auth *smtp.Auth
	// LMTP speaks RFC 2033. With a Host that begins with "/" it is a Unix socket.
	LMTP bool
	// TLS is the base of the TLS configuration. Nil: the system's roots.
	TLS *tls.Config
	// Hello is the name said in EHLO. Empty: this host's name.
	Hello string
	// Pool makes and keeps the connections. Nil: one of the relay's own.
	Pool *smtp.Pool

	once sync.Once
	pool *smtp.Pool
	to   smtp.Server
}

// Deliver hands the envelope to the server.
func (r *Relay) Deliver(ctx context.Context, e *smtp.Envelope) []smtp.Result {
	r.once.Do(r.init)
	if r.Host == "" { // an empty host would mean this machine to the dialer
		return smtp.Failed(e, smtp.PhaseLocal, "", errors.New("Relay.Host is empty"))
	}
	return r.pool.Deliver(ctx, &r.to, e)
}

func (r *Relay) init() {
	r.pool = r.Pool
	if r.pool == nil {
		r.pool = &smtp.Pool{Hello: r.Hello}
	}
	port := r.Port
	switch {
	case port != 0:
	case r.LMTP:
		port = 24
	case r.Security == smtp.ImplicitTLS:
		port = 465
	default:
		port = 587
	}
	network := "tcp"
	if r.LMTP && len(r.Host) > 0 && r.Host[0] == '/' {
		network = "unix"
	}
	r.to = smtp.Server{Host: r.Host, Port: port, Network: network, Security: r.Security, TLS: r.TLS, Auth: r.Auth, LMTP: r.LMTP}
}

// Close ends the relay's connections after the transactions in flight have ended or ctx has.
func (r *Relay) Close(ctx context.Context) error {
	r.once.Do(r.init)
	return r.pool.Close(ctx)
}

// String names the server.
func (r *Relay) String() string {
	r.once.Do(r.init)
	return net.JoinHostPort(r.Host, portString(r.to.Port))
}
