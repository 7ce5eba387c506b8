// Package web makes HTTPS connections to hosts that other people's DNS names: guarded as those to
// their mail servers are, without redirects, cookies, caches or proxies.
package web

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/postrider/postrider/mx"
	"github.com/postrider/postrider/mx/internal/ask"
)

// Way is how to reach a host. Dial, Allow and TLS may be zero, a Port of zero is 443.
type Way struct {
	Resolver mx.Resolver
	Dial     func(ctx context.Context, network, address string) (net.Conn, error)
	Allow    []netip.Prefix
	TLS      *tls.Config
	Port     uint16
}

// maxAddrs bounds the addresses of a host that are tried.
const maxAddrs = 8

// Transport returns a transport that connects to the host alone and verifies its certificate,
// whatever the TLS configuration says. Its RoundTrip does not follow redirects.
func (w Way) Transport(host string) *http.Transport {
	config := &tls.Config{}
	if w.TLS != nil {
		config = w.TLS.Clone()
	}
	config.ServerName, config.InsecureSkipVerify = host, false
	config.MinVersion = max(config.MinVersion, tls.VersionTLS12)
	return &http.Transport{
		DialContext:            func(ctx context.Context, network, _ string) (net.Conn, error) { return w.dial(ctx, network, host) },
		TLSClientConfig:        config,
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: 16 << 10,
	}
}

// dial connects to an address of the host that is on the public Internet or allowed.
func (w Way) dial(ctx context.Context, network, host string) (net.Conn, error) {
	if w.Resolver == nil {
		return nil, errors.New("no resolver")
	}
	addrs, err := ask.Addresses(ctx, w.Resolver, host)
	if err != nil {
		return nil, err
	}
	dial := w.Dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	}
	port := w.Port
	if port == 0 {
		port = 443
	}
	var errs []error
	for _, addr := range addrs[:min(len(addrs), maxAddrs)] {
		if err := mx.Guard(addr, w.Allow); err != nil {
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
