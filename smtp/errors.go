package smtp

import (
	"errors"
	"fmt"
	"net/netip"
)

// ErrTLS says that a connection would not have been as safe as the Server asks: STARTTLS is not
// offered, the handshake failed, or the certificate or Server.Verify refused it. Nothing was sent.
// What a later attempt meets may differ, so policies treat it as temporary (RFC 8461 s. 5, RFC 7672 s. 2.2).
var ErrTLS = errors.New("smtp: TLS is not as demanded")

// ErrNoSTARTTLS says, beside ErrTLS, that the server does not offer STARTTLS.
var ErrNoSTARTTLS = errors.New("the server does not offer STARTTLS")

// ErrClosed says that the Pool was closed before the mail was sent.
var ErrClosed = errors.New("smtp: pool is closed")

// ConnError says that a connection failed, was given up, or could not be made. Unless it wraps
// ErrUnsure the mail was not accepted, and a later attempt may succeed. Context errors and
// time limits (os.ErrDeadlineExceeded) are in its chain.
type ConnError struct {
	Phase Phase
	Host  string
	Addr  netip.AddrPort
	Err   error
}

func (e *ConnError) Error() string {
	return fmt.Sprintf("%s: %s: %v", e.Host, e.Phase, e.Err)
}

// Unwrap returns the cause.
func (e *ConnError) Unwrap() error { return e.Err }

// Temporary says that a later attempt may succeed; for ErrUnsure that is not known.
func (e *ConnError) Temporary() bool { return !errors.Is(e.Err, ErrUnsure) }

// EnvelopeError says that an envelope cannot be sent as it is, to any server (Host is empty) or to
// this one, which lacks an extension that the message needs. Nothing was sent.
type EnvelopeError struct {
	// Status is the enhanced status code that a server would give (RFC 3463).
	Status EnhancedCode
	// Extension is the EHLO keyword that the server lacks or that sets the limit. Empty: none.
	Extension string
	Host      string
	Err       error
}

func (e *EnvelopeError) Error() string {
	if e.Host == "" {
		return "smtp: " + e.Err.Error()
	}
	return e.Host + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *EnvelopeError) Unwrap() error { return e.Err }

// Temporary is true when the cause may pass: a source that could not be read.
func (e *EnvelopeError) Temporary() bool { return e.Status[0] == 4 }

func envelopeError(status EnhancedCode, format string, args ...any) *EnvelopeError {
	return &EnvelopeError{Status: status, Err: fmt.Errorf(format, args...)}
}

func lacks(extension string, status EnhancedCode, format string, args ...any) *EnvelopeError {
	return &EnvelopeError{Status: status, Extension: extension, Err: fmt.Errorf(format, args...)}
}

// withHost names the server in an error about an envelope.
func withHost(err error, host string) error {
	var e *EnvelopeError
	if errors.As(err, &e) {
		e.Host = host
	}
	return err
}

// as is errors.As for a type.
func as[T error](err error) (target T, ok bool) {
	ok = errors.As(err, &target)
	return target, ok
}
