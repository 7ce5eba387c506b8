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
	"strconv"
	"time"

	"github.com/postrider/postrider/mx/internal/web"
)

// failure says why a policy could not be had, with the result type of RFC 8460 s. 4.3.2.2.
type failure struct {
	result string
	err    error
}

func (f *failure) Error() string { return f.err.Error() }

// fetch gets the policy of a domain over HTTPS (RFC 8461 s. 3.3). Nothing but
// https://mta-sts.DOMAIN/.well-known/mta-sts.txt is ever asked for.
func (p *Policy) fetch(ctx context.Context, way web.Way, domain string) (*Document, error) {
	timeout := p.Timeout
	if timeout <= 0 {
		timeout = 30 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	host := "mta-sts." + domain
	text, err := p.get(ctx, way, host)
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
func (p *Policy) get(ctx context.Context, way web.Way, host string) ([]byte, error) {
	authority := host
	if p.Port != 0 && p.Port != 443 {
		authority = net.JoinHostPort(host, strconv.Itoa(int(p.Port)))
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+authority+"/.well-known/mta-sts.txt", nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "text/plain")
	transport := way.Transport(host)
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
