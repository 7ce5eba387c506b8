package smtp

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Pool delivers envelopes over connections that it keeps for the next mail. The zero value is
// ready. It is safe for concurrent use; its fields are not changed after the first use.
//
// Callers of Deliver that ask for the same Server share its connections: with PIPELINING and
// CHUNKING several mails are on their way at once, and what is ready at the same time leaves
// together.
type Pool struct {
	// Hello is the name said in EHLO (RFC 5321 s. 4.1.1.1). Empty: the host's name when it is fully
	// qualified, else the address literal of the connection.
	Hello string
	// Dial makes connections. Nil: net.Dialer. A proxy, a source address or a test's pipe goes here. Plain connections
	// of package net are the fastest. So is one with a method Quiet() bool, which says without
	// waiting that there is nothing to read and that the other end has not closed.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Timeouts bound the waiting. Zero fields take the values of RFC 5321 s. 4.5.3.2.
	Timeouts Timeouts
	// Trace is told what happens on all connections. Nil: nobody. See also WithTrace.
	Trace *Trace

	// MaxConns bounds the connections to one Server at a time. Zero: 8.
	MaxConns int
	// MaxIdle bounds the connections that are kept without work, for all Servers together. Zero: 64.
	// Negative: none is kept.
	MaxIdle int
	// IdleTime is how long a connection is kept without work. Zero: 30 s.
	IdleTime time.Duration
	// MaxAge and MaxMessages bound what one connection is used for. Zero: 10 min and 1000 transactions.
	MaxAge      time.Duration
	MaxMessages int
	// InFlight bounds the transactions on one connection whose final reply is not there yet. When the
	// connection is lost, so many mails may be in doubt (ErrUnsure). Zero: 10. 1: each waits for the
	// one before it.
	InFlight int

	mu     sync.Mutex
	lanes  map[serverKey]*lane
	closed atomic.Bool
	conns  atomic.Int64  // that stand
	ended  chan struct{} // a connection has ended, while Close waits
}

func (p *Pool) maxConns() int           { return or(p.MaxConns, 8) }
func (p *Pool) idleTime() time.Duration { return or(p.IdleTime, 30*time.Second) }
func (p *Pool) maxAge() time.Duration   { return or(p.MaxAge, 10*time.Minute) }
func (p *Pool) maxMessages() int        { return or(p.MaxMessages, 1000) }
func (p *Pool) inFlight() int           { return max(1, or(p.InFlight, 10)) }

// keep says whether one more idle connection is kept. Busy ones are counted with them: the bound is not
// exact, and errs towards fewer.
func (p *Pool) keep() bool { return p.conns.Load() <= int64(or(p.MaxIdle, 64)) }

// live counts connections.
func (p *Pool) live(n int64) {
	p.conns.Add(n)
	select {
	case p.ended <- struct{}{}:
	default:
	}
}

// mostLanes is how many Servers are remembered; idle ones above it are forgotten.
const mostLanes = 1024

// lane finds or makes the lane of a Server and counts the caller in. It is nil when the pool is closed.
func (p *Pool) lane(s *Server) *lane {
	key := s.key()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed.Load() {
		return nil
	}
	l := p.lanes[key]
	if l == nil {
		if p.lanes == nil {
			p.lanes = make(map[serverKey]*lane)
			p.ended = make(chan struct{}, 1)
		}
		if len(p.lanes) >= mostLanes {
			p.forget()
		}
		l = &lane{pool: p, resume: tls.NewLRUClientSessionCache(2)}
		p.lanes[key] = l
	}
	l.mu.Lock()
	l.server = *s // of equal Servers the newest: its Verify may know newer records
	l.users++
	l.mu.Unlock()
	return l
}

// forget drops the lanes that nobody uses.
func (p *Pool) forget() {
	for key, l := range p.lanes {
		l.mu.Lock()
		if l.users == 0 && len(l.sessions) == 0 && len(l.dials) == 0 {
			delete(p.lanes, key)
		}
		l.mu.Unlock()
	}
}

// open makes a connection ready for mail.
func (l *lane) open(ctx context.Context, server *Server, phase *phaseMark, trace tracer) (*session, error) {
	s, err := l.openOnce(ctx, server, phase, trace)
	if err != nil && server.Security == Opportunistic && ctx.Err() == nil && brokenTLS(err) {
		// RFC 7435: some security is better than none, and none is better than no mail.
		clear := *server
		clear.Security = Plaintext
		return l.openOnce(ctx, &clear, phase, trace)
	}
	return s, err
}

func (l *lane) openOnce(ctx context.Context, server *Server, phase *phaseMark, trace tracer) (*session, error) {
	p := l.pool
	phase.set(PhaseConnect)
	conn, addr, err := p.connect(ctx, server, trace)
	if err != nil {
		return nil, &ConnError{Phase: PhaseConnect, Host: server.Host, Addr: addr, Err: cause(ctx, err)}
	}
	h := &handshake{server: server, hello: p.Hello, timeouts: &p.Timeouts, trace: trace, resume: l.resume, phase: phase, conn: conn, addr: addr}
	if err := h.run(ctx); err != nil {
		return nil, err
	}
	s := &session{lane: l, conn: h.conn, raw: h.raw, ext: h.ext, host: server.Host, addr: h.addr, tls: h.state, lmtp: server.LMTP,
		born: time.Now(), moved: make(chan struct{}, 1)}
	// Octets that came with the last reply are not lost; but no server has a reason to send any.
	if n := h.replies.r.Buffered(); n > 0 {
		h.raw.Close()
		return nil, &ConnError{Phase: phase.get(), Host: server.Host, Addr: h.addr, Err: errUnasked}
	}
	s.conn.SetDeadline(time.Time{}) // from here on the session's watch bounds all waiting
	s.replies, s.alone = newReplyReader(h.conn), h.alone
	_, s.tcp = h.raw.(*net.TCPConn)
	if s.quiet, _ = h.conn.(quieter); s.quiet == nil {
		if s.socket = newSocket(h.conn); s.socket != nil {
			s.quiet = s.socket
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	s.pipelining = h.ext.pipelining && !now.Before(l.lockstepUntil)
	s.chunking = h.ext.chunking && !now.Before(l.noChunkingUntil) && !now.Before(l.lockstepUntil)
	return s, nil
}

// connect dials the server's addresses, or its name.
func (p *Pool) connect(ctx context.Context, s *Server, trace tracer) (net.Conn, netip.AddrPort, error) {
	ctx, cancel := context.WithTimeout(ctx, p.Timeouts.connect())
	defer cancel()
	dial := p.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	traced := func(ctx context.Context, network, address string) (net.Conn, error) {
		trace.dial(network, address)
		conn, err := dial(ctx, network, address)
		trace.dialed(network, address, err)
		return conn, err
	}
	if len(s.Addrs) > 0 {
		return dialAddrs(ctx, traced, s.network(), s.Addrs)
	}
	conn, err := traced(ctx, s.network(), s.address())
	if err != nil {
		return nil, netip.AddrPort{}, err
	}
	if tcp, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		addr := tcp.AddrPort()
		return conn, netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port()), nil
	}
	return conn, netip.AddrPort{}, nil
}

// Close ends the pool: mail that waits for a connection fails with ErrClosed, transactions in flight
// have until ctx ends, idle connections say QUIT. It returns when all connections are closed, or
// closes them and returns ctx's error.
func (p *Pool) Close(ctx context.Context) error {
	p.mu.Lock()
	p.closed.Store(true)
	if p.ended == nil {
		p.ended = make(chan struct{}, 1)
	}
	lanes := make([]*lane, 0, len(p.lanes))
	for _, l := range p.lanes {
		lanes = append(lanes, l)
	}
	p.mu.Unlock()
	for _, l := range lanes {
		l.close()
	}
	for p.conns.Load() > 0 {
		select {
		case <-p.ended:
		case <-ctx.Done():
			for _, l := range lanes {
				l.cut(ctx)
			}
			return ctx.Err()
		}
	}
	p.live(0) // another may be in Close, too
	return nil
}

// close settles what waits and lets the sessions end.
func (l *lane) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.giveUp(ErrClosed)
	for _, d := range l.dials {
		d.cancel()
	}
	for _, s := range l.sessions {
		s.retired = true
		if s.places == 0 && !s.quitting {
			s.quit()
		}
	}
}

// cut ends all sessions at once.
func (l *lane) cut(ctx context.Context) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range slices.Clone(l.sessions) { // fail takes it out of sessions, at once or when a write has returned
		s.fail(context.Cause(ctx))
	}
}
