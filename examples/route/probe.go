package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/smtp"
	"strings"
	"time"
	"unicode"

	"github.com/postrider/postrider/mx"
)

// prober connects to hosts and judges what they show.
type prober struct {
	roots   *x509.CertPool // nil: the system's
	hello   string
	timeout time.Duration
	out     io.Writer
}

func tlsConfig(roots *x509.CertPool) *tls.Config {
	if roots == nil {
		return nil
	}
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
}

// say prints a line. What servers and certificates say may be anything, so nothing passes that a terminal
// would obey.
func (p *prober) say(format string, args ...any) {
	line := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, fmt.Sprintf(format, args...))
	fmt.Fprintf(p.out, "        %s\n", line)
}

// limited is a connection that ends when the server has said too much.
type limited struct {
	net.Conn
	left int
}

func (l *limited) Read(b []byte) (int, error) {
	if l.left <= 0 {
		return 0, errors.New("the server talks without end")
	}
	n, err := l.Conn.Read(b[:min(len(b), l.left)])
	l.left -= n
	return n, err
}

// try connects to the host's addresses in turn until one answers, and says whether mail may go there.
func (p *prober) try(ctx context.Context, h *mx.Host) bool {
	fmt.Fprintf(p.out, "probe %s\n", h.Name)
	for _, addr := range h.Addrs {
		dialer := net.Dialer{Timeout: p.timeout}
		conn, err := dialer.DialContext(ctx, "tcp", addr.String())
		if err != nil {
			p.say("%v", err)
			continue
		}
		stop := context.AfterFunc(ctx, func() { conn.Close() })
		defer stop()
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(p.timeout))
		p.say("connected to %s", addr)
		return p.talk(&limited{conn, 1 << 20}, h)
	}
	p.say("verdict: cannot be reached")
	return false
}

// talk goes as far as the handshake.
func (p *prober) talk(conn net.Conn, h *mx.Host) bool {
	client, err := smtp.NewClient(conn, h.Name)
	if err == nil {
		err = client.Hello(p.hello)
	}
	if err != nil {
		p.say("verdict: FAILS, it does not speak SMTP with us: %v", err)
		return false
	}
	if offered, _ := client.Extension("STARTTLS"); !offered {
		client.Quit()
		return p.withoutTLS(h, errors.New("STARTTLS is not offered"))
	}
	// Verification comes after the handshake, so that a bad certificate can be shown.
	config := &tls.Config{ServerName: h.Name, InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}
	if err := client.StartTLS(config); err != nil {
		return p.withoutTLS(h, fmt.Errorf("the handshake fails: %w", err))
	}
	defer client.Quit()
	state, _ := client.TLSConnectionState()
	p.show(&state)
	valid := p.valid(&state, h.Name)
	if valid == nil {
		p.say("certificate: valid for %s", h.Name)
	} else {
		p.say("certificate: not valid for %s: %v", h.Name, valid)
	}
	if err := p.judge(h, &state); err != nil {
		p.say("verdict: FAILS the demand (%s): %v", h.Demand.Level, err)
		return false
	}
	p.say("verdict: passes (%s)", h.Demand.Level)
	return true
}

func (p *prober) withoutTLS(h *mx.Host, err error) bool {
	if h.Demand.Level > mx.Opportunistic {
		p.say("verdict: FAILS the demand (%s): %v", h.Demand.Level, err)
		return false
	}
	p.say("verdict: passes, in plaintext (%s): %v", h.Demand.Level, err)
	return true
}

// judge holds a handshake to the demand, as the direct transport does.
func (p *prober) judge(h *mx.Host, state *tls.ConnectionState) error {
	if h.Demand.Level == mx.Verified {
		names := h.Demand.Names
		if len(names) == 0 {
			names = []string{h.Name}
		}
		if err := p.valid(state, names...); err != nil {
			return err
		}
	}
	if h.Demand.Verify != nil {
		return h.Demand.Verify(*state)
	}
	return nil
}

// valid verifies the chain for one of the names.
func (p *prober) valid(state *tls.ConnectionState, names ...string) (err error) {
	chain := state.PeerCertificates
	if len(chain) == 0 {
		return errors.New("there is none")
	}
	options := x509.VerifyOptions{Roots: p.roots, Intermediates: x509.NewCertPool()}
	for _, c := range chain[1:] {
		options.Intermediates.AddCert(c)
	}
	for _, options.DNSName = range names {
		if _, err = chain[0].Verify(options); err == nil {
			return nil
		}
	}
	return err
}

// show prints the handshake and the chain, with what a TLSA record would say of each certificate.
func (p *prober) show(state *tls.ConnectionState) {
	p.say("TLS: %s, %s, %s", tls.VersionName(state.Version), tls.CipherSuiteName(state.CipherSuite), state.CurveID)
	for depth, c := range state.PeerCertificates[:min(len(state.PeerCertificates), 10)] {
		p.say("chain %d: %q, issued by %q", depth, c.Subject.CommonName, c.Issuer.CommonName)
		if len(c.DNSNames) > 0 {
			p.say("         for %s", strings.Join(c.DNSNames[:min(len(c.DNSNames), 20)], ", "))
		}
		p.say("         %s, from %s to %s", c.PublicKeyAlgorithm, c.NotBefore.Format(time.DateOnly), c.NotAfter.Format(time.DateOnly))
		usage := 3 // DANE-EE
		if depth > 0 {
			usage = 2 // DANE-TA
		}
		p.say("         TLSA %d 1 1 %x", usage, sha256.Sum256(c.RawSubjectPublicKeyInfo))
	}
}
