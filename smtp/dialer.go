package smtp

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/proxy"
)

// Dialer connects from a chosen source address or through a proxy; its method Dial goes to Pool.Dial. The
// zero value connects as net.Dialer does. It is safe for concurrent use.
type Dialer struct {
	// Source are local addresses. The first one of the family of the address that is dialled is
	// bound; a family without one is not dialled. Empty: the system chooses. With a Proxy
	// it is the connection to the proxy that is bound.
	Source []netip.Addr
	// Proxy is socks5://USER:PASSWORD@HOST:PORT (RFC 1928, 1929), or http:// or https:// for the
	// method CONNECT (RFC 9110 s. 9.3.6). Names are resolved by the proxy. Nil: none.
	Proxy *url.URL
	// TLS is used with a proxy of the scheme https. Nil: the system's roots.
	TLS *tls.Config
}

// Dial connects to address, "HOST:PORT" or the path of a unix socket.
func (d *Dialer) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if d.Proxy == nil {
		return d.direct(ctx, network, address)
	}
	if !strings.HasPrefix(network, "tcp") {
		return nil, fmt.Errorf("smtp: no proxy for network %q", network)
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if strings.ContainsFunc(host+port, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return nil, fmt.Errorf("smtp: bad address %q", address)
	}
	switch d.Proxy.Scheme {
	case "socks5", "socks5h":
		return d.socks(ctx, network, address)
	case "http", "https":
		return d.connect(ctx, address)
	}
	return nil, fmt.Errorf("smtp: unknown scheme of proxy %q: want socks5, http or https", d.Proxy.Scheme)
}

// direct binds the source address, if there is one, by family.
func (d *Dialer) direct(ctx context.Context, network, address string) (net.Conn, error) {
	var dialer net.Dialer
	if len(d.Source) == 0 || !strings.HasPrefix(network, "tcp") {
		return dialer.DialContext(ctx, network, address)
	}
	var failures error
	target, err := netip.ParseAddrPort(address)
	for i, source := range d.firstOfFamily() {
		if !source.IsValid() || err == nil && target.Addr().Unmap().Is4() != (i == 0) {
			continue
		}
		// A name is resolved by net.Dialer, which leaves out the addresses of the other family.
		dialer.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(source, 0))
		c, err := dialer.DialContext(ctx, network, address)
		if err == nil {
			return c, nil
		}
		failures = also(failures, err)
	}
	if failures == nil {
		failures = fmt.Errorf("smtp: no source address of the family of %s", address)
	}
	return nil, failures
}

// firstOfFamily returns the source for IPv4 and for IPv6.
func (d *Dialer) firstOfFamily() (sources [2]netip.Addr) {
	for _, a := range d.Source {
		i := 1
		if a = a.Unmap(); a.Is4() {
			i = 0
		}
		if !sources[i].IsValid() {
			sources[i] = a
		}
	}
	return sources
}

// forward is the way to the proxy.
type forward struct{ d *Dialer }

func (f forward) Dial(network, address string) (net.Conn, error) {
	return f.DialContext(context.Background(), network, address)
}

func (f forward) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return f.d.direct(ctx, network, address)
}

// toProxy is the address of the proxy with the scheme's port if it has none.
func (d *Dialer) toProxy() string {
	port := d.Proxy.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[d.Proxy.Scheme]
	}
	if port == "" {
		port = "1080"
	}
	return net.JoinHostPort(d.Proxy.Hostname(), port)
}

func (d *Dialer) socks(ctx context.Context, network, address string) (net.Conn, error) {
	var auth *proxy.Auth
	if u := d.Proxy.User; u != nil {
		password, _ := u.Password()
		auth = &proxy.Auth{User: u.Username(), Password: password}
	}
	s, err := proxy.SOCKS5("tcp", d.toProxy(), auth, forward{d})
	if err != nil {
		return nil, err
	}
	return s.(proxy.ContextDialer).DialContext(ctx, network, address)
}

// connect asks an HTTP proxy for a tunnel.
func (d *Dialer) connect(ctx context.Context, address string) (net.Conn, error) {
	c, err := d.direct(ctx, "tcp", d.toProxy())
	if err != nil {
		return nil, fmt.Errorf("smtp: proxy: %w", err)
	}
	if d.Proxy.Scheme == "https" {
		config := d.TLS.Clone() // nil stays nil
		if config == nil {
			config = new(tls.Config)
		}
		if config.ServerName == "" {
			config.ServerName = d.Proxy.Hostname()
		}
		c = tls.Client(c, config)
	}
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	tunnel, err := d.tunnel(c, address)
	if !stop() {
		err = context.Cause(ctx)
	}
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("smtp: proxy %s: %w", d.Proxy.Host, err)
	}
	return tunnel, nil
}

// maxProxyHeader bounds what a proxy may say before the tunnel begins.
const maxProxyHeader = 16 << 10

func (d *Dialer) tunnel(c net.Conn, address string) (net.Conn, error) {
	request := "CONNECT " + address + " HTTP/1.1\r\nHost: " + address + "\r\n"
	if u := d.Proxy.User; u != nil {
		password, _ := u.Password()
		request += "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(u.Username()+":"+password)) + "\r\n"
	}
	if _, err := io.WriteString(c, request+"\r\n"); err != nil {
		return nil, err
	}
	r := bufio.NewReaderSize(c, maxProxyHeader)
	status, read := "", 0
	for {
		line, err := r.ReadSlice('\n')
		read += len(line)
		if err != nil || read > maxProxyHeader {
			return nil, also(errors.New("no answer to CONNECT"), err)
		}
		text := strings.TrimRight(string(line), "\r\n")
		if status == "" {
			status = text
		} else if text == "" {
			break
		}
		if status == "" {
			return nil, errors.New("no answer to CONNECT")
		}
	}
	version, rest, _ := strings.Cut(status, " ")
	if !strings.HasPrefix(version, "HTTP/1.") || !strings.HasPrefix(rest, "2") {
		return nil, fmt.Errorf("CONNECT %s: %q", address, clip(status, 200))
	}
	if r.Buffered() == 0 {
		return c, nil
	}
	return &tunnelConn{Conn: c, r: r}, nil // the server spoke with the proxy's last segment
}

// tunnelConn reads first what came with the proxy's answer.
type tunnelConn struct {
	net.Conn
	r *bufio.Reader
}

func (c *tunnelConn) Read(p []byte) (int, error) {
	if c.r.Buffered() > 0 {
		return c.r.Read(p[:min(len(p), c.r.Buffered())])
	}
	return c.Conn.Read(p)
}
