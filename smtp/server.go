package smtp

import (
	"crypto/tls"
	"net"
	"net/netip"
	"slices"
	"strconv"
)

// Server says where and how to connect. It is a value: connections are shared by equal Servers. TLS and
// Auth are equal when they are the same pointer, Verify when both have one or none; Addrs in any
// order.
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
	// ServerName is the name that is asked for in the handshake (SNI) and that the certificate is verified
	// for. Empty: that of TLS, or else Host.
	ServerName string
	// Verify decides on the connection before the second EHLO, in addition to the verification of
	// certificates that Security asks for. Nil: nothing more is asked.
	Verify func(tls.ConnectionState) error
	// Policy distinguishes connections that were made under different Verify functions in the pool: two
	// Servers that are alike but for Policy never share a connection.
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

func (s *Server) network() string {
	if s.Network == "" {
		return "tcp"
	}
	return s.Network
}

func (s *Server) port() uint16 {
	switch {
	case s.Port != 0:
		return s.Port
	case s.Security == ImplicitTLS:
		return 465
	}
	return 25
}

// address is what is dialled when there are no Addrs.
func (s *Server) address() string {
	if s.network() == "unix" {
		return s.Host
	}
	return net.JoinHostPort(s.Host, strconv.Itoa(int(s.port())))
}

// serverKey is what two Servers have in common that share connections.
type serverKey struct {
	host, name, network, policy, addrs string
	security                           Security
	port                               uint16
	lmtp, verify                       bool
	tls                                *tls.Config
	auth                               *Auth
}

func (s *Server) key() serverKey {
	return serverKey{host: s.Host, name: s.ServerName, network: s.network(), policy: s.Policy, addrs: addrsKey(s.Addrs), security: s.Security,
		port: s.port(), lmtp: s.LMTP, verify: s.Verify != nil, tls: s.TLS, auth: s.Auth}
}

func addrsKey(addrs []netip.AddrPort) string {
	if !slices.IsSortedFunc(addrs, netip.AddrPort.Compare) {
		addrs = slices.Clone(addrs)
		slices.SortFunc(addrs, netip.AddrPort.Compare)
	}
	b := make([]byte, 0, 64)
	for _, a := range addrs {
		b = a.AppendTo(b)
		b = append(b, ' ')
	}
	return string(b)
}
