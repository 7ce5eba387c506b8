package mtasts_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/mx"
	"github.com/postrider/postrider/mx/dane"
	"github.com/postrider/postrider/mx/mtasts"
)

// TestLabVerdicts probes the lab's domains as a sender with DANE and MTA-STS would, and compares
// with what posttls-finger says. Peer's words: verified, untrusted (TLS, not authenticated), plain
// (no STARTTLS), error (no server may be asked).
func TestLabVerdicts(t *testing.T) {
	if os.Getenv("LAB_DIR") == "" {
		t.Skip("lab is not running: see .ci/lab/README.md")
	}
	// posttls-finger knows no MTA-STS: there it is told what the policy says, "secure" with the names.
	secure := func(names ...string) []string {
		return append([]string{"-l", "secure", "-F", os.Getenv("LAB_CA")}, names...)
	}
	daneLevel, encrypt := []string{"-l", "dane"}, []string{"-l", "encrypt"}
	probe := newProbe(t)
	t.Logf("%-20s %-10s %-10s %-10s %s", "domain", "peer", "ours", "delivered", "demand or reason")
	for _, c := range []struct {
		domain    string
		peer      []string // options and names for posttls-finger
		want      string
		delivered bool
		finding   string // what is reported about the domain's own policy
	}{
		{"dane.test", daneLevel, "verified", true, ""},
		{"ta.dane.test", daneLevel, "verified", true, ""},
		{"roll.dane.test", daneLevel, "verified", true, ""},
		{"self.dane.test", daneLevel, "verified", true, ""},
		{"old.dane.test", daneLevel, "verified", true, ""},
		{"unusable.dane.test", daneLevel, "untrusted", true, "tlsa-invalid"},
		{"plain.dane.test", daneLevel, "untrusted", true, ""},
		{"badane.test", daneLevel, "untrusted", false, ""},
		{"notls.badane.test", daneLevel, "plain", false, ""},
		{"name.badane.test", daneLevel, "untrusted", false, ""},
		{"second.badane.test", []string{"-l", "dane", "-host", "[mx1.dane.test]"}, "verified", true, ""},
		{"bogustlsa.test", daneLevel, "error", false, ""},
		{"bogus.test", daneLevel, "error", false, ""},
		{"expired.test", daneLevel, "error", false, ""},
		{"null.test", daneLevel, "error", false, ""},
		{"sts.test", secure("mx1.sts.test"), "verified", true, ""},
		{"ststesting.test", encrypt, "untrusted", true, ""},
		{"stsnomatch.test", nil, "error", false, ""}, // the peer would connect: it does not match MX names with a policy
		{"stswrong.test", secure("wrongname.example.test"), "untrusted", false, ""},
		{"stsnone.test", encrypt, "untrusted", true, ""},
		{"sts404.test", encrypt, "untrusted", true, "sts-policy-fetch-error"},
		{"stsredirect.test", encrypt, "untrusted", true, "sts-policy-fetch-error"},
		{"stsslow.test", encrypt, "untrusted", true, "sts-policy-fetch-error"},
		{"stsbadcert.test", encrypt, "untrusted", true, "sts-webpki-invalid"},
		{"stsbadtxt.test", encrypt, "untrusted", true, "sts-policy-invalid"},
	} {
		v := probe.domain(c.domain)
		peer := "-"
		if c.peer != nil {
			peer = finger(t, c.domain, c.peer)
		}
		t.Logf("%-20s %-10s %-10s %-10v %s", c.domain, peer, v.word, v.delivered, v.why)
		if v.finding != c.finding {
			t.Errorf("%s: finding %q, want %q", c.domain, v.finding, c.finding)
		}
		if v.word != c.want || v.delivered != c.delivered || c.peer != nil && peer != v.word {
			t.Errorf("%s: ours %s, delivered %v; peer %s; want %s, %v", c.domain, v.word, v.delivered, peer, c.want, c.delivered)
		}
	}
}

// finger asks posttls-finger. The option -host replaces the domain.
func finger(t *testing.T, domain string, options []string) string {
	t.Helper()
	names := []string{}
	if i := slices.Index(options, "-host"); i >= 0 {
		domain, options = options[i+1], options[:i]
	} else if i := slices.Index(options, "-F"); i >= 0 {
		names, options = options[i+2:], options[:i+2]
	}
	args := append([]string{"exec", "posttls-finger", "-c"}, options...)
	cmd := exec.CommandContext(t.Context(), filepath.Join("..", "..", ".ci", "lab", "lab"), append(append(args, domain), names...)...)
	out, err := cmd.CombinedOutput()
	text := string(out)
	switch {
	case strings.Contains(text, "Verified TLS connection established"):
		return "verified"
	case strings.Contains(text, "Untrusted TLS connection established"), strings.Contains(text, "Trusted TLS connection established"):
		return "untrusted"
	case strings.Contains(text, "lookup failed"), strings.Contains(text, "lookup error"):
		return "error"
	case text == "" && err == nil:
		return "plain"
	}
	t.Fatalf("posttls-finger %s: %v\n%s", domain, err, text)
	return ""
}

// verdict is what became of a domain.
type verdict struct {
	word      string
	delivered bool
	why       string
	finding   string
}

// prober sends to nobody: it goes as far as the TLS handshake.
type prober struct {
	t      *testing.T
	router *mx.Router
	roots  *x509.CertPool
}

func newProbe(t *testing.T) *prober {
	pem, err := os.ReadFile(os.Getenv("LAB_CA"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	return &prober{t, &mx.Router{
		Resolver: &mx.DNS{Servers: []string{os.Getenv("LAB_RESOLVER")}},
		TrustAD:  true, Allow: loopback,
		Policies: []mx.Policy{&dane.Policy{}, &mtasts.Policy{
			TLS: &tls.Config{RootCAs: roots}, Timeout: 3 * time.Second, Cache: &mtasts.File{Path: filepath.Join(t.TempDir(), "sts")},
		}},
	}, roots}
}

// domain tries the hosts of a route in their order, as a sender does.
func (p *prober) domain(domain string) (v verdict) {
	route, err := p.router.Route(p.t.Context(), domain)
	if err != nil {
		return verdict{word: "error", why: err.Error()}
	}
	for _, f := range route.Findings {
		v.finding += f.Result
	}
	for _, h := range route.Hosts {
		v.word, err = "error", h.Err
		if err == nil {
			v.word, err = p.host(&h)
		}
		if err == nil {
			v.delivered, v.why = true, fmt.Sprint(h.Demand.Level, " ", h.Demand.Why)
			return v
		}
		v.why = err.Error()
	}
	return v
}

// host connects and judges by the demand.
func (p *prober) host(h *mx.Host) (string, error) {
	state, err := starttls(p.t.Context(), h)
	if err != nil {
		return "error", err
	}
	if state == nil {
		if h.Demand.Level > mx.Opportunistic {
			return "plain", errors.New("no STARTTLS, and " + h.Demand.Level.String() + " is demanded: " + h.Demand.Why)
		}
		return "plain", nil
	}
	switch h.Demand.Level {
	case mx.DANE:
		err = h.Demand.Verify(*state)
	case mx.Verified:
		between := x509.NewCertPool()
		for _, c := range state.PeerCertificates[1:] {
			between.AddCert(c)
		}
		_, err = state.PeerCertificates[0].Verify(x509.VerifyOptions{DNSName: h.Demand.Names[0], Roots: p.roots, Intermediates: between})
	default:
		return "untrusted", nil
	}
	if err != nil {
		return "untrusted", err
	}
	return "verified", nil
}

// starttls makes the handshake and accepts every certificate. A nil state: it is not offered.
func starttls(ctx context.Context, h *mx.Host) (*tls.ConnectionState, error) {
	conn, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, "tcp", h.Addrs[0].String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	text := textproto.NewConn(conn)
	if _, _, err := text.ReadResponse(220); err != nil {
		return nil, err
	}
	text.PrintfLine("EHLO probe.example.test")
	_, offers, err := text.ReadResponse(250)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(strings.Split(offers, "\n"), "STARTTLS") {
		return nil, nil
	}
	text.PrintfLine("STARTTLS")
	if _, _, err := text.ReadResponse(220); err != nil {
		return nil, err
	}
	name := h.Name
	if len(h.Demand.Names) > 0 {
		name = h.Demand.Names[0]
	}
	c := tls.Client(conn, &tls.Config{ServerName: name, InsecureSkipVerify: true})
	if err := c.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	state := c.ConnectionState()
	return &state, nil
}
