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
	maxUses = 100
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
	conn net.Conn
	uses int
	idle time.Time
}

// socketPool keeps sockets between questions.
type socketPool struct {
	mu      sync.Mutex
	sockets map[socketKey][]*socket
}

// get returns an idle socket, or nil. The last one put is the first one out, so that those that are not
// needed grow old and go.
func (p *socketPool) get(key socketKey) *socket {
	p.mu.Lock()
	defer p.mu.Unlock()
	idle := p.sockets[key]
	if len(idle) == 0 {
		return nil
	}
	last := len(idle) - 1
	s := idle[last]
	idle[last] = nil
	p.sockets[key] = idle[:last]
	if time.Since(s.idle) > maxIdleTime {
		s.conn.Close()
		for _, older := range idle[:last] {
			older.conn.Close()
		}
		clear(idle)
		p.sockets[key] = idle[:0]
		return nil
	}
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
	if p.sockets == nil {
		p.sockets = make(map[socketKey][]*socket)
	}
	if len(p.sockets[s.key]) >= maxIdle {
		s.conn.Close()
		return
	}
	p.sockets[s.key] = append(p.sockets[s.key], s)
}

// closeAll closes the idle sockets.
func (p *socketPool) closeAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, idle := range p.sockets {
		for _, s := range idle {
			s.conn.Close()
		}
	}
	p.sockets = nil
}

// take returns an idle socket or opens one.
func (d *DNS) take(ctx context.Context, key socketKey, deadline time.Time, fresh bool) (*socket, error) {
	if !fresh {
		if s := d.pool.get(key); s != nil {
			return s, nil
		}
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
	conn, err := dial(ctx, network, key.server)
	if err != nil {
		return nil, err
	}
	if d.TLS == nil {
		return &socket{key: key, conn: conn}, nil
	}
	config := d.TLS.Clone()
	if config.ServerName == "" {
		config.ServerName, _, _ = net.SplitHostPort(key.server)
	}
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return &socket{key: key, conn: secure}, nil
}
