// Package webtest is an HTTPS server without sockets, at home in a testing/synctest bubble.
package webtest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"sync"
	"time"
)

// Server serves over pipes with a certificate of its own, which is valid for ten years.
type Server struct {
	// Roots hold its certificate alone.
	Roots *x509.CertPool

	server *http.Server
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}

	mu      sync.Mutex
	dialled []string
	down    bool
}

// Start serves the handler with a certificate for the names.
func Start(handler http.Handler, names ...string) *Server {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	cert := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "x"}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(10, 0, 0), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	if cert, err = x509.ParseCertificate(der); err != nil {
		panic(err)
	}
	s := &Server{Roots: x509.NewCertPool(), conns: make(chan net.Conn), closed: make(chan struct{})}
	s.Roots.AddCert(cert)
	s.server = &http.Server{
		Handler:   handler,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}},
		ErrorLog:  log.New(io.Discard, "", 0),
	}
	go s.server.ServeTLS(listener{s}, "", "")
	return s
}

// Stop closes the server. In a bubble, wait a minute of its time after it: connections say goodbye.
func (s *Server) Stop() { s.server.Close() }

// Down makes Dial refuse connections, or take them again.
func (s *Server) Down(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

// Dialled lists what Dial was asked for, as "tcp 192.0.2.1:443".
func (s *Server) Dialled() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.dialled...)
}

// Dial connects to the server whatever the address is.
func (s *Server) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	s.mu.Lock()
	s.dialled = append(s.dialled, network+" "+address)
	down := s.down
	s.mu.Unlock()
	if down {
		return nil, errors.New("connection refused")
	}
	here, there := net.Pipe()
	select {
	case s.conns <- buffer(there):
		return buffer(here), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// listener takes the other ends.
type listener struct{ *Server }

func (l listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l listener) Close() error { l.once.Do(func() { close(l.closed) }); return nil }

func (l listener) Addr() net.Addr { return &net.TCPAddr{} }
