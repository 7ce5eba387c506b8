package mx

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"time"
)

const (
	// maxUses bounds the questions over a datagram socket: a port that is used for long can be found and
	// then only the id has to be guessed (RFC 5452 s. 9.2).
	maxUses = 500
	// maxIdle bounds the idle sockets of a server, and maxIdleTime their age: servers close idle streams.
	maxIdle     = 16
	maxIdleTime = 10 * time.Second
)

// buffers are for one message each, with room for a stream's length before it.
var buffers = sync.Pool{New: func() any { b := make([]byte, 4096); return &b }}

type socketKey struct {
	server string
	stream bool // TCP or TLS
}

// socket is a connection to a server, with one question at a time. It is connected also where it is for
// datagrams, so that the system drops what comes from elsewhere, and each has a random port.
type socket struct {
	key  socketKey
	home *idleSockets
	conn net.Conn
	uses int
	idle time.Time
}

type idleSockets struct{ list []*socket }

// socketPool keeps sockets between questions.
type socketPool struct {
	mu      sync.Mutex
	sockets map[socketKey]*idleSockets
}

// get returns an idle socket, or one without connection yet. The last one put is the first one out, so that
// those that are not needed grow old and go.
func (p *socketPool) get(key socketKey, fresh bool) *socket {
	p.mu.Lock()
	defer p.mu.Unlock()
	home := p.sockets[key]
	if home == nil {
		if p.sockets == nil {
			p.sockets = make(map[socketKey]*idleSockets)
		}
		home = new(idleSockets)
		p.sockets[key] = home
	}
	last := len(home.list) - 1
	if fresh || last < 0 {
		return &socket{key: key, home: home}
	}
	s := home.list[last]
	if time.Since(s.idle) > maxIdleTime {
		home.close() // the others are older still
		return &socket{key: key, home: home}
	}
	home.list[last] = nil
	home.list = home.list[:last]
	return s
}

func (p *socketPool) put(s *socket) {
	s.uses++
	if !s.key.stream && s.uses >= maxUses {
		s.conn.Close()
		return
	}
	s.idle = time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(s.home.list) >= maxIdle {
		s.conn.Close()
		return
	}
	s.home.list = append(s.home.list, s)
}

func (h *idleSockets) close() {
	for _, s := range h.list {
		s.conn.Close()
	}
	clear(h.list)
	h.list = h.list[:0]
}

// closeAll closes the idle sockets.
func (p *socketPool) closeAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, home := range p.sockets {
		home.close()
	}
}

// take returns an idle socket or opens one.
func (d *DNS) take(ctx context.Context, key socketKey, deadline time.Time, fresh bool) (*socket, error) {
	s := d.pool.get(key, fresh)
	if s.conn != nil {
		return s, nil
	}
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	network := "udp"
	if key.stream {
		network = "tcp"
	}
	dial := d.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	var err error
	if s.conn, err = dial(ctx, network, key.server); err != nil {
		return nil, err
	}
	if d.TLS == nil {
		return s, nil
	}
	config := d.TLS.Clone()
	if config.ServerName == "" {
		config.ServerName, _, _ = net.SplitHostPort(key.server)
	}
	secure := tls.Client(s.conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		s.conn.Close()
		return nil, err
	}
	s.conn = secure
	return s, nil
}
