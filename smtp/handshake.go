package smtp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// handshake brings a new connection to the point where mail can be sent: greeting, EHLO, STARTTLS,
// EHLO again, AUTH. It is lockstep, as RFC 5321 s. 3.1 and RFC 3207 s. 4 demand.
type handshake struct {
	server   *Server
	hello    string
	timeouts *Timeouts
	trace    tracer
	resume   tls.ClientSessionCache

	conn    net.Conn
	addr    netip.AddrPort
	state   *tls.ConnectionState
	raw     net.Conn // conn without TLS
	replies *replyReader
	ext     extensions
	alone   bool // one transaction at a time
	phase   *phaseMark
	secrets []string // that were sent, for a server may say them back
}

// phaseMark is where a handshake stands, for those who wait for it.
type phaseMark struct{ v atomic.Value }

func (m *phaseMark) set(p Phase) { m.v.Store(p) }

func (m *phaseMark) get() Phase {
	p, _ := m.v.Load().(Phase)
	return p
}

// errHandshake marks a TLS handshake that failed by itself, not by a decision about its outcome: what
// Opportunistic may answer with plaintext.
var errHandshake = errors.New("handshake failed")

// run does it all. The error is a *ReplyError or *ConnError that names the phase; the connection is
// closed then. When ctx ends, every read and write fails at once.
func (h *handshake) run(ctx context.Context) error {
	h.raw = h.conn
	stop := context.AfterFunc(ctx, func() { h.raw.Close() })
	err := h.steps(ctx)
	if stop() && err == nil {
		return nil
	}
	h.raw.Close()
	return h.fail(ctx, err)
}

func (h *handshake) steps(ctx context.Context) error {
	if h.server.Security == ImplicitTLS {
		if err := h.startTLS(ctx); err != nil {
			return err
		}
	}
	h.replies = newReplyReader(h.conn)
	if err := h.greet(); err != nil {
		return err
	}
	if err := h.sayHello(); err != nil {
		return err
	}
	if err := h.upgrade(ctx); err != nil {
		return err
	}
	return h.login(ctx)
}

// fail gives an error its phase and place.
func (h *handshake) fail(ctx context.Context, err error) error {
	var refused *ReplyError
	if errors.As(err, &refused) {
		return err
	}
	return &ConnError{Phase: h.phase.get(), Host: h.server.Host, Addr: h.addr, Err: cause(ctx, err)}
}

// cause puts the context's error before that of a read that was ended by it.
func cause(ctx context.Context, err error) error {
	if ended := context.Cause(ctx); ended != nil {
		return ended
	}
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return errLost
	}
	return err
}

var errLost = errors.New("the server closed the connection")

// read reads the reply to the last command within the time limit.
func (h *handshake) read(limit time.Duration) error {
	h.conn.SetReadDeadline(time.Now().Add(limit))
	if err := h.replies.read(); err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("no reply within %v: %w", limit, err)
		}
		return err
	}
	shown := *h.replies
	shown.text = hide(shown.text, h.secrets)
	if shown.code != 334 {
		h.replies.text = shown.text
	} else { // a challenge is needed as it is
		shown.text = hideChallenge(shown.text, h.secrets)
	}
	h.trace.reply(&shown)
	return nil
}

// say sends one line and reads the reply.
func (h *handshake) say(line, shown string) error {
	b, err := command(nil, line)
	if err != nil {
		return err
	}
	h.trace.command(shown)
	h.conn.SetWriteDeadline(time.Now().Add(h.timeouts.command()))
	if _, err := h.conn.Write(b); err != nil {
		return err
	}
	return h.read(h.timeouts.command())
}

// refused is the last reply as an error.
func (h *handshake) refused() error {
	reply := h.replies.reply(mostText)
	if reply.Positive() {
		return fmt.Errorf("unexpected reply %s", reply)
	}
	return &ReplyError{Phase: h.phase.get(), Reply: reply, Host: h.server.Host}
}

func (h *handshake) greet() error {
	h.phase.set(PhaseGreeting)
	if err := h.read(h.timeouts.greeting()); err != nil {
		return err
	}
	if h.replies.code != 220 {
		return h.refused()
	}
	h.alone = crashesWhenShared(h.replies.text)
	return nil
}

// sayHello says EHLO or LHLO, and HELO to a server that knows no EHLO (RFC 5321 s. 3.2 and 4.1.1.1).
func (h *handshake) sayHello() error {
	h.phase.set(PhaseHello)
	h.ext = extensions{}
	name, verb := h.hello, "EHLO"
	if name == "" {
		name = helloName(h.conn.LocalAddr())
	}
	if h.server.LMTP {
		verb = "LHLO"
	}
	if err := checkDomain(name); err != nil {
		return fmt.Errorf("the name to say in %s: %w", verb, err)
	}
	line := verb + " " + name
	if err := h.say(line, line); err != nil {
		return err
	}
	if h.replies.class() == 2 {
		h.ext = parseExtensions(h.replies.text)
		return nil
	}
	if h.replies.class() != 5 || h.server.LMTP {
		return h.refused()
	}
	line = "HELO " + name
	if err := h.say(line, line); err != nil {
		return err
	}
	if h.replies.class() != 2 {
		return h.refused()
	}
	return nil
}

// upgrade says STARTTLS where Security asks for it. After it the server's extensions are asked
// again: nothing of what was said in the clear counts (RFC 3207 s. 4.2).
func (h *handshake) upgrade(ctx context.Context) error {
	security := h.server.Security
	if security == ImplicitTLS || security == Plaintext {
		return nil
	}
	must := security != Opportunistic
	h.phase.set(PhaseTLS)
	if !h.ext.startTLS {
		if must {
			return fmt.Errorf("%w: %w", ErrTLS, ErrNoSTARTTLS)
		}
		return nil
	}
	if err := h.say("STARTTLS", "STARTTLS"); err != nil {
		return err
	}
	if h.replies.code != 220 {
		if !must && h.replies.code != 421 {
			return nil
		}
		return errors.Join(ErrTLS, h.refused())
	}
	if n := h.replies.r.Buffered(); n > 0 {
		err := fmt.Errorf("%w: %d octets in the clear after the reply to STARTTLS", ErrTLS, n)
		if b, _ := h.replies.r.Peek(1); !digit(b[0]) {
			err = fmt.Errorf("%w: %w", err, errHandshake) // no injected reply, but a server that cannot do TLS
		}
		return err
	}
	if err := h.startTLS(ctx); err != nil {
		return err
	}
	h.replies = newReplyReader(h.conn)
	return h.sayHello()
}

// startTLS makes the handshake and lets Verify decide.
func (h *handshake) startTLS(ctx context.Context) error {
	h.phase.set(PhaseTLS)
	conn := tls.Client(h.conn, h.tlsConfig())
	h.conn.SetDeadline(time.Now().Add(h.timeouts.connect()))
	err := conn.HandshakeContext(ctx)
	state := conn.ConnectionState()
	if err == nil && h.server.Verify != nil {
		if err = h.server.Verify(state); err != nil {
			err = fmt.Errorf("%w: %w", ErrTLS, err)
		}
	} else if err != nil {
		err = fmt.Errorf("%w: %w: %w", ErrTLS, errHandshake, err)
	}
	h.trace.tls(state, err)
	if err != nil {
		return err
	}
	h.conn.SetDeadline(time.Time{})
	h.conn, h.state = conn, &state
	return ctx.Err()
}

func (h *handshake) tlsConfig() *tls.Config {
	config := &tls.Config{}
	if h.server.TLS != nil {
		config = h.server.TLS.Clone()
	}
	if h.server.ServerName != "" {
		config.ServerName = h.server.ServerName
	}
	if config.ServerName == "" {
		config.ServerName = strings.Trim(h.server.Host, "[]")
	}
	config.MinVersion = max(config.MinVersion, tls.VersionTLS12)
	if config.ClientSessionCache == nil {
		config.ClientSessionCache = h.resume
	}
	if s := h.server.Security; s == Encrypted || s == Opportunistic {
		config.InsecureSkipVerify = true
	}
	h.server.Auth.certificate(config)
	return config
}

func (h *handshake) login(ctx context.Context) error {
	if h.server.Auth == nil {
		return nil
	}
	h.phase.set(PhaseAuth)
	h.secrets = []string{h.server.Auth.Password}
	defer func() { h.secrets = nil }()
	return h.server.Auth.authenticate(ctx, h.ext.auth, h.server.Host, h.addr.Port(), h.state, func(line, shown string) (Reply, error) {
		if line != shown {
			h.secrets = append(h.secrets, secretsIn(line)...)
		}
		if err := h.say(line, shown); err != nil {
			return Reply{}, err
		}
		return h.replies.reply(mostReplyOctets), nil
	})
}

// helloName is what a client says that was given no name: the host's, if it is fully qualified, else
// the address literal (RFC 5321 s. 4.1.4).
func helloName(local net.Addr) string {
	if name, err := os.Hostname(); err == nil && strings.Contains(name, ".") && checkDomain(name) == nil {
		return name
	}
	if tcp, ok := local.(*net.TCPAddr); ok {
		ip := tcp.AddrPort().Addr().Unmap()
		if ip.Is6() {
			return "[IPv6:" + ip.WithZone("").String() + "]"
		}
		return "[" + ip.String() + "]"
	}
	return "localhost.localdomain"
}
