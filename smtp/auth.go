package smtp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-sasl"
)

// Auth is an identity at a relay (RFC 4954). Of the mechanisms that the server offers and the fields
// allow, the safest is used:
//
//	EXTERNAL                          Certificate
//	OAUTHBEARER, XOAUTH2              Token
//	SCRAM-SHA-256-PLUS, SCRAM-SHA-256, SCRAM-SHA-1, PLAIN, LOGIN   Password
//	CRAM-MD5                          Password, and only when Mechanisms names it
//
// Nothing is tried twice: a server that refuses the best mechanism is not asked for the next one,
// for many count failures. The fields are set before the first use and not changed after it.
// It is safe for concurrent use and is shared by pointer, so that all connections of an identity
// share one token.
type Auth struct {
	// Username and Password are sent as they are by PLAIN and LOGIN and prepared by SASLprep
	// (RFC 4013) for SCRAM.
	Username, Password string
	// Identity is whom to act as (authorization identity). Empty: the user itself.
	Identity string
	// Token returns a bearer token and when it expires. It is called when there is none or the
	// last one ends within a minute, once for all who wait for it, with a context that ends
	// after a minute. A zero expiry: the token is used for the logins that wait for it now.
	Token func(ctx context.Context) (token string, expiry time.Time, err error)
	// Certificate is shown in the TLS handshake and used with EXTERNAL.
	Certificate *tls.Certificate

	// Mechanisms limits the mechanisms, and is the order in which they are preferred.
	// Nil: the list above.
	Mechanisms []string
	// AllowPlaintext lets secrets go over a connection without TLS, where anyone on the way
	// can read them. Zero: AUTH without TLS is an error, on loopback too.
	AllowPlaintext bool

	mu     sync.Mutex
	bearer bearer
	scram  scramClients
}

// mechanisms in the order of their safety. CRAM-MD5 is weak without TLS and useless with it.
var mechanisms = []string{sasl.External, sasl.OAuthBearer, xoauth2, scramSHA256Plus, scramSHA256, scramSHA1, sasl.Plain, sasl.Login}

// choose picks the mechanism for a connection. offered are the words of the AUTH keyword; cs is nil
// without TLS.
func (a *Auth) choose(ctx context.Context, offered []string, host string, port uint16, cs *tls.ConnectionState) (mech string, c sasl.Client, err error) {
	if cs == nil && !a.AllowPlaintext {
		return "", nil, errPlaintextAuth
	}
	if strings.ContainsRune(a.Username+a.Password+a.Identity, 0) {
		return "", nil, errors.New("smtp: NUL in user name, password or identity")
	}
	preferred := a.Mechanisms
	if preferred == nil {
		preferred = mechanisms
	}
	for _, m := range preferred {
		m = strings.ToUpper(m)
		if a.able(m, cs) && offers(offered, m) {
			c, err = a.client(ctx, m, offered, host, port, cs)
			return m, c, err
		}
	}
	return "", nil, fmt.Errorf("%w: the server offers %q", errNoMechanism, clip(strings.Join(offered, " "), 200))
}

var (
	errPlaintextAuth = errors.New("smtp: no AUTH over a connection without TLS: demand TLS, or set Auth.AllowPlaintext")
	errNoMechanism   = errors.New("smtp: no AUTH mechanism that the credentials fit")
)

// able says whether there are credentials for the mechanism.
func (a *Auth) able(mech string, cs *tls.ConnectionState) bool {
	switch mech {
	case sasl.External:
		// Named in Mechanisms, the certificate may as well come from Server.TLS.
		return cs != nil && (a.Certificate != nil || a.Mechanisms != nil)
	case sasl.OAuthBearer, xoauth2:
		return a.Token != nil
	case scramSHA256Plus:
		return a.Password != "" && cs != nil
	case scramSHA256, scramSHA1, sasl.Plain:
		return a.Password != ""
	case sasl.Login, cramMD5:
		return a.Password != "" && a.Identity == "" // they have no place for it
	}
	return false
}

func (a *Auth) client(ctx context.Context, mech string, offered []string, host string, port uint16, cs *tls.ConnectionState) (sasl.Client, error) {
	switch mech {
	case sasl.External:
		return sasl.NewExternalClient(a.Identity), nil
	case sasl.OAuthBearer, xoauth2:
		token, err := a.token(ctx)
		if err != nil {
			return nil, fmt.Errorf("smtp: no token: %w", err)
		}
		return a.bearerClient(mech, token, host, port)
	case sasl.Plain:
		return sasl.NewPlainClient(a.Identity, a.Username, a.Password), nil
	case sasl.Login:
		return &loginClient{answers: []string{a.Username, a.Password}}, nil
	case cramMD5:
		return &cramClient{user: a.Username, password: a.Password}, nil
	}
	return a.scramClient(mech, offered, cs)
}

// certificate adds the client certificate to a configuration that is the caller's own.
func (a *Auth) certificate(config *tls.Config) {
	if a != nil && a.Certificate != nil {
		config.Certificates = append(slices.Clip(config.Certificates), *a.Certificate)
	}
}

// clip bounds text that came from a server.
func clip(s string, n int) string {
	if len(s) > n {
		return s[:n] + "..."
	}
	return s
}
