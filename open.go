package postrider

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/postrider/postrider/mx"
	"github.com/postrider/postrider/smtp"
)

// Open makes a client from one string, for configuration files:
//
//	smtp://user:pass@relay.example.com:587   a relay, STARTTLS required; tls=opportunistic or tls=none by word
//	smtps://user:pass@relay.example.com:465  a relay with implicit TLS
//	lmtp://host:24, lmtp:///run/lmtp         a local delivery agent; TLS when offered
//	direct://                                the servers of the recipients
//	failover(URL URL)                        the second where the first fails for now
//	roundrobin(URL URL)                      in turns
//
// User and password are percent-encoded where they have one of ":/?#[]@%". Parameters follow "?":
//
//	hello=NAME                        the name said in EHLO
//	dkim=DOMAIN:SELECTOR:KEYFILE      signs; may be given again
//	queue=memory: or queue=disk:PATH  Send queues, and Run delivers
//	ca=PEMFILE                        the only certificate authorities that are trusted
//	timeout=30s                       the longest wait for the server at any step
//	tls=required|opportunistic|none   (smtp, lmtp) how much TLS is demanded
//	resolver=ADDRESS:PORT             the DNS server
//	state=FOLDER                      (direct) where what domains promised is kept over restarts
//	trust-ad=true                     (direct) its AD bit is believed, for DANE
//	port=25                           (direct) the port of all hosts
//	allow=loopback, allow=private     (direct) addresses that are not on the public Internet; may be given again
//
// Inside failover and roundrobin, dkim and queue belong to the client and may stand in any of the
// URLs. Anything unknown is an error.
func Open(rawURL string) (*Client, error) {
	client := &Client{}
	settings := &settings{}
	t, err := openTransport(strings.TrimSpace(rawURL), settings, 0)
	if err != nil {
		return nil, fmt.Errorf("postrider: open: %w", err)
	}
	client.Transport = t
	if err := settings.apply(client); err != nil {
		return nil, fmt.Errorf("postrider: open: %w", err)
	}
	return client, nil
}

// openTransport opens a URL or a combination of URLs; depth bounds the nesting.
func openTransport(s string, client *settings, depth int) (Transport, error) {
	name, rest, ok := strings.Cut(s, "(")
	if !ok || name != "failover" && name != "roundrobin" {
		return openURL(s, client)
	}
	inner, ok := strings.CutSuffix(rest, ")")
	if !ok || depth > 3 {
		return nil, fmt.Errorf("%s(...): unbalanced, or nested too deep", name)
	}
	var transports []Transport
	for _, part := range splitURLs(inner) {
		t, err := openTransport(part, client, depth+1)
		if err != nil {
			return nil, err
		}
		transports = append(transports, t)
	}
	if len(transports) == 0 {
		return nil, fmt.Errorf("%s(): no URL", name)
	}
	if name == "failover" {
		return Failover(transports), nil
	}
	return &RoundRobin{Transports: transports}, nil
}

// splitURLs splits at white space outside parentheses.
func splitURLs(s string) (parts []string) {
	depth, start := 0, 0
	for i := range len(s) + 1 {
		switch {
		case i == len(s) || depth == 0 && strings.IndexByte(" \t\r\n", s[i]) >= 0:
			if i > start {
				parts = append(parts, s[start:i])
			}
			start = i + 1
		case s[i] == '(':
			depth++
		case s[i] == ')':
			depth--
		}
	}
	return parts
}

func openURL(s string, client *settings) (Transport, error) {
	u, err := url.Parse(s)
	if err != nil {
		// The text of url.Error repeats the URL, and with it the password.
		var parse *url.Error
		if errors.As(err, &parse) {
			err = parse.Err
		}
		return nil, fmt.Errorf("not a URL: %w (percent-encode the password)", err)
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, fmt.Errorf("%s: parameters: %w", u.Scheme, err)
	}
	if u.Fragment != "" || u.Opaque != "" {
		return nil, fmt.Errorf("%s: want %s://..., and %%23 for # in a password", u.Scheme, u.Scheme)
	}
	p := &parameters{query: query, scheme: u.Scheme}
	var t Transport
	switch u.Scheme {
	case "smtp", "smtps", "lmtp":
		t = openRelay(u, p)
	case "direct":
		t = openDirect(u, p)
	default:
		return nil, fmt.Errorf("unknown scheme %q: want smtp, smtps, lmtp or direct", u.Scheme)
	}
	client.collect(p)
	if err := p.rest(); err != nil {
		return nil, err
	}
	return t, nil
}

func openRelay(u *url.URL, p *parameters) Transport {
	r := &Relay{Host: u.Hostname(), LMTP: u.Scheme == "lmtp", TLS: p.tlsConfig()}
	r.Pool = &smtp.Pool{Hello: p.one("hello"), Timeouts: p.timeouts()}
	if server := p.resolver(); server != "" {
		r.Pool.Dial = dialThrough(server)
	}
	if r.LMTP && r.Host == "" {
		r.Host = u.Path
	} else if u.Path != "" && u.Path != "/" {
		p.fail("a path has no meaning in %s://", u.Scheme)
	}
	if r.Host == "" {
		p.fail("the host is missing")
	}
	if port := u.Port(); port != "" {
		r.Port = p.port("port", port)
	}
	if u.User != nil {
		password, _ := u.User.Password()
		r.Auth = &smtp.Auth{Username: u.User.Username(), Password: password}
	}
	switch u.Scheme {
	case "smtps":
		r.Security = smtp.ImplicitTLS
	case "lmtp":
		r.Security = p.security(smtp.Opportunistic)
	default:
		r.Security = p.security(smtp.StartTLS)
	}
	return r
}

func openDirect(u *url.URL, p *parameters) Transport {
	if u.Host != "" || u.User != nil || u.Path != "" && u.Path != "/" {
		p.fail("direct:// takes no host, user or path")
	}
	d := &Direct{TLS: p.tlsConfig(), Pool: &smtp.Pool{Hello: p.one("hello"), Timeouts: p.timeouts()}}
	dns := &mx.DNS{}
	if server := p.resolver(); server != "" {
		dns.Servers = []string{server}
	}
	d.Router = &mx.Router{Resolver: dns, TrustAD: p.flag("trust-ad"), Allow: p.allow(), Policies: policies(d.TLS, p.one("state"), dns)}
	if s := p.one("port"); s != "" {
		d.Router.Port = p.port("port", s)
	}
	return d
}

// parameters reads a query and remembers the first fault.
type parameters struct {
	scheme string
	query  url.Values
	err    error
}

func (p *parameters) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf("%s: "+format, append([]any{p.scheme}, args...)...)
	}
}

// take removes a parameter and returns its values.
func (p *parameters) take(name string) []string {
	v := p.query[name]
	delete(p.query, name)
	return v
}

func (p *parameters) one(name string) string {
	v := p.take(name)
	if len(v) > 1 {
		p.fail("%s is given %d times", name, len(v))
	}
	if len(v) == 0 {
		return ""
	}
	if v[0] == "" {
		p.fail("%s is empty", name)
	}
	return v[0]
}

// rest fails for what nobody took.
func (p *parameters) rest() error {
	for name := range p.query {
		p.fail("unknown parameter %q", name)
	}
	return p.err
}

func (p *parameters) flag(name string) bool {
	s := p.one(name)
	if s == "" {
		return false
	}
	v, err := strconv.ParseBool(s)
	if err != nil {
		p.fail("%s=%s: want true or false", name, s)
	}
	return v
}

func (p *parameters) port(name, s string) uint16 {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 {
		p.fail("%s %s: want 1 to 65535", name, s)
	}
	return uint16(n)
}

func (p *parameters) security(unset smtp.Security) smtp.Security {
	switch s := p.one("tls"); s {
	case "":
		return unset
	case "required":
		return smtp.StartTLS
	case "opportunistic":
		return smtp.Opportunistic
	case "none":
		return smtp.Plaintext
	default:
		p.fail("tls=%s: want required, opportunistic or none", s)
		return unset
	}
}

func (p *parameters) tlsConfig() *tls.Config {
	file := p.one("ca")
	if file == "" {
		return nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		p.fail("ca: %w", err)
		return nil
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		p.fail("ca: %s has no certificate", file)
	}
	return &tls.Config{RootCAs: roots}
}

func (p *parameters) timeouts() (t smtp.Timeouts) {
	s := p.one("timeout")
	if s == "" {
		return t
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		p.fail("timeout=%s: want a duration such as 30s", s)
	}
	return smtp.Timeouts{Connect: d, Greeting: d, Command: d, Data: d, Block: d, Final: d}
}

// nonPublic are the words of allow.
var nonPublic = map[string][]string{
	"loopback": {"127.0.0.0/8", "::1/128"},
	"private":  {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"},
}

func (p *parameters) allow() (prefixes []netip.Prefix) {
	for _, word := range p.take("allow") {
		ranges, ok := nonPublic[word]
		if !ok {
			p.fail("allow=%s: want loopback or private", word)
		}
		for _, r := range ranges {
			prefixes = append(prefixes, netip.MustParsePrefix(r))
		}
	}
	return prefixes
}

// resolver is the address of the DNS server, if one is named.
func (p *parameters) resolver() string {
	s := p.one("resolver")
	if s == "" {
		return ""
	}
	s = strings.Replace(s, "localhost:", "127.0.0.1:", 1)
	if _, err := netip.ParseAddrPort(s); err != nil {
		p.fail("resolver=%s: want an IP address and a port", s)
	}
	return s
}

// dialThrough connects to names that this DNS server resolves.
func dialThrough(server string) func(ctx context.Context, network, address string) (net.Conn, error) {
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, server)
	}}
	return (&net.Dialer{Resolver: resolver}).DialContext
}
