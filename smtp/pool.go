package smtp

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"time"
)

// Server says where and how to connect. It is a value: two equal Servers share connections.
type Server struct {
	// Host is the name of the server: it is dialled when Addrs is empty, it is the name
	// that the certificate is verified for, and it stands in the results.
	Host string
	// Addrs are the resolved addresses with ports, raced by RFC 8305. Empty: Host and Port are
	// dialled.
	Addrs []netip.AddrPort
	// Port is used with Host. Zero: 25, or 465 with ImplicitTLS.
	Port uint16
	// Network is "tcp", "tcp4", "tcp6" or "unix" (Host is then the path). Empty: "tcp".
	Network string

	// Security says how much TLS is demanded. Zero: STARTTLS is required and verified.
	Security Security
	// TLS is the base of the TLS configuration. Nil: the system's roots, TLS 1.2 and up. ServerName
	// is Host unless it is set.
	TLS *tls.Config
	// Verify decides on the connection before the second EHLO, in addition to the verification of
	// certificates that Security asks for. Nil: nothing more is asked.
	Verify func(tls.ConnectionState) error
	// Policy distinguishes connections that were made under different Verify or TLS values in
	// the pool: two Servers that are alike but for Policy never share a connection.
	Policy string

	// Auth logs in. Nil: no AUTH.
	Auth *Auth
	// LMTP speaks RFC 2033: LHLO, and one final reply for each recipient.
	LMTP bool
}

// Security says how much TLS is demanded of a server.
type Security int

// The zero value is the safe one for a relay and for submission.
const (
	// StartTLS demands STARTTLS and a valid certificate.
	StartTLS Security = iota
	// ImplicitTLS begins with a TLS handshake (RFC 8314) and demands a valid certificate.
	ImplicitTLS
	// Encrypted demands STARTTLS, whatever the certificate; Server.Verify may ask for more.
	Encrypted
	// Opportunistic takes STARTTLS when it is offered, whatever the certificate, and goes on in
	// plaintext on a new connection when the handshake fails (RFC 7435).
	Opportunistic
	// Plaintext never uses TLS.
	Plaintext
)

// Pool delivers envelopes over connections that it keeps for the next mail. The zero value is
// ready. It is safe for concurrent use.
type Pool struct {
	// Hello is the name said in EHLO (RFC 5321 s. 4.1.1.1). Empty: the host's name when it is fully
	// qualified, else the address literal of the connection.
	Hello string
	// Dial makes connections. Nil: net.Dialer. A proxy, a source address or a test's pipe goes here.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Timeouts bound the waiting. Zero fields take the values of RFC 5321 s. 4.5.3.2.
	Timeouts Timeouts
}

// Timeouts bound each wait of a dialogue. Zero fields take the values of RFC 5321 s. 4.5.3.2.
type Timeouts struct {
	Connect  time.Duration // 30 s (RFC 5321 gives none)
	Greeting time.Duration // 5 min
	Command  time.Duration // 5 min: EHLO, STARTTLS, AUTH, MAIL, RCPT
	Data     time.Duration // 2 min: the 354
	Block    time.Duration // 3 min: each write of message octets
	Final    time.Duration // 10 min: the reply after the last octet
}

// Deliver sends one envelope to the server and returns one result for each recipient, in
// their order.
func (p *Pool) Deliver(ctx context.Context, s *Server, e *Envelope) []Result {
	return Failed(e, PhaseLocal, s.Host, errors.New("smtp: not built yet"))
}

// Close waits for transactions in flight until ctx ends, says QUIT on idle connections and closes
// them. The pool is not used after it.
func (p *Pool) Close(ctx context.Context) error { return nil }
