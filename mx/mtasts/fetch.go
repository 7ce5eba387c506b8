package mtasts

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/postrider/postrider/mx"
	"github.com/postrider/postrider/mx/internal/ask"
)

// failure says why a policy could not be had, with the result type of RFC 8460 s. 4.3.2.2.
type failure struct {
	result string
	err    error
}

func (f *failure) Error() string { return f.err.Error() }

// fetch gets the policy of a domain over HTTPS (RFC 8461 s. 3.3). Nothing but
// https://mta-sts.DOMAIN/.well-known/mta-sts.txt is ever asked for.
func (p *Policy) fetch(ctx context.Context, resolver mx.Resolver, domain string) (*Document, error) {
	timeout := p.Timeout
	if timeout <= 0 {
		timeout = 30 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	host := "mta-sts." + domain
	text, err := p.get(ctx, resolver, host)
	if err != nil {
		result := "sts-policy-fetch-error"
		var cert *tls.CertificateVerificationError
		if errors.As(err, &cert) {
			result = "sts-webpki-invalid"
		}
		return nil, &failure{result, fmt.Errorf("the policy of %s could not be fetched: %w", domain, err)}
	}
	d, err := Parse(text)
	if err != nil {
		return nil, &failure{"sts-policy-invalid", err}
	}
	return d, nil
}

// get reads the policy file of the policy host.
func (p *Policy) get(ctx context.Context, resolver mx.Resolver, host string) ([]byte, error) {
	authority := host
	if p.Port != 0 && p.Port != 443 {
		authority = net.JoinHostPort(host, strconv.Itoa(int(p.Port)))
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+authority+"/.well-known/mta-sts.txt", nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "text/plain")
	transport := p.transport(resolver, host)
	defer transport.CloseIdleConnections()
	// The transport alone follows no redirects, keeps no cookies and has no cache (RFC 8461 s. 3.3).
	response, err := transport.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the policy host answered %s", response.Status)
	}
	media, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if err != nil || media != "text/plain" {
		return nil, fmt.Errorf("the policy has the media type %q, not text/plain", media)
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxSize+1)) // one more is too large
	if err == nil {
		err = ctx.Err()
	}
	return text, err
}

// transport makes connections to one policy host and verifies its certificate.
func (p *Policy) transport(resolver mx.Resolver, host string) *http.Transport {
	config := &tls.Config{}
	if p.TLS != nil {
		config = p.TLS.Clone()
	}
	config.ServerName, config.InsecureSkipVerify = host, false
	config.MinVersion = max(config.MinVersion, tls.VersionTLS12)
	return &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return p.dial(ctx, network, resolver, host)
		},
		TLSClientConfig:        config,
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: 16 << 10,
	}
}

// maxAddrs bounds the addresses of a policy host that are tried.
const maxAddrs = 8

// dial connects to an address of the policy host that is on the public Internet or allowed.
func (p *Policy) dial(ctx context.Context, network string, resolver mx.Resolver, host string) (net.Conn, error) {
	addrs, err := ask.Addresses(ctx, resolver, host)
	if err != nil {
		return nil, err
	}
	dial := p.Dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	}
	port := p.Port
	if port == 0 {
		port = 443
	}
	var errs []error
	for _, addr := range addrs[:min(len(addrs), maxAddrs)] {
		if err := mx.Guard(addr, p.Allow); err != nil {
			errs = append(errs, err)
			continue
		}
		conn, err := dial(ctx, network, netip.AddrPortFrom(addr, port).String())
		if err == nil {
			return conn, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}
