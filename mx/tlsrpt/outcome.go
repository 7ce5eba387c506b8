package tlsrpt

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/netip"
	"strings"
	"time"
)

// Result is a result type (RFC 8460 s. 4.3). Empty: the session was as the policy wants it.
type Result string

// The result types that a connection can have. Policies add those of s. 4.3.2 by mx.Finding.
const (
	STARTTLSNotSupported Result = "starttls-not-supported"
	CertificateMismatch  Result = "certificate-host-mismatch"
	CertificateExpired   Result = "certificate-expired"
	CertificateUntrusted Result = "certificate-not-trusted"
	ValidationFailure    Result = "validation-failure"
)

// Outcome is how one connection to a host of a route went, as far as TLS is concerned.
// Connections that failed for other reasons, such as the network, are not recorded (s. 4.3.4).
type Outcome struct {
	// Host is the name of the host as in the route.
	Host string
	// Local and Remote are the addresses of the connection, Hello the name in the server's greeting. They
	// may be zero.
	Local, Remote netip.Addr
	Hello         string
	// TLS is the state of a finished handshake. Nil: there was none.
	TLS *tls.ConnectionState
	// Err is why the connection was not used: the error of the handshake or of the demand's
	// verification. Nil: it was used.
	Err error
	// NotOffered says that the server offered no STARTTLS.
	NotOffered bool
}

// Classify names what is wrong with a certificate or a handshake.
func Classify(err error) Result {
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &name):
		return CertificateMismatch
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return CertificateExpired
	case errors.As(err, &invalid), errors.As(err, &unknown):
		return CertificateUntrusted
	}
	return ValidationFailure
}

// result is what the report says of the outcome, with a reason.
func (o Outcome) result() (Result, string) {
	switch {
	case o.NotOffered:
		return STARTTLSNotSupported, ""
	case o.Err != nil:
		return Classify(o.Err), clean(o.Err.Error())
	case o.TLS == nil:
		return STARTTLSNotSupported, ""
	}
	return "", ""
}

// judge says whether the handshake would have satisfied an MTA-STS policy that is only being tested,
// where nobody has verified it.
func (o Outcome) judge(roots *x509.CertPool) error {
	if o.TLS == nil || len(o.TLS.PeerCertificates) == 0 {
		return nil
	}
	between := x509.NewCertPool()
	for _, c := range o.TLS.PeerCertificates[1:] {
		between.AddCert(c)
	}
	_, err := o.TLS.PeerCertificates[0].Verify(x509.VerifyOptions{
		DNSName: o.Host, Roots: roots, Intermediates: between, CurrentTime: time.Now(),
	})
	return err
}

// clean makes a short printable line of text that others wrote.
func clean(text string) string {
	text = strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return '?'
		}
		return c
	}, text)
	return text[:min(len(text), 200)]
}
