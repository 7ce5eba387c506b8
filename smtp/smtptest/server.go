package smtptest

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Server receives mail and keeps it. The zero value, once started, is an SMTP server on a port of
// 127.0.0.1 that offers [DefaultExtensions] and accepts everything that is well formed. The
// fields are set before Start and not changed after it. The methods are safe for concurrent use.
type Server struct {
	// Name is said in the greeting and stands in the certificate. Empty: "mx.example.test".
	Name string
	// Listener takes the connections. Nil: a free port of 127.0.0.1. A [Pipe] needs no network.
	Listener net.Listener

	// Extensions are the keywords of the reply to EHLO, in their order, with their parameters
	// ("SIZE 20000"). Nil: DefaultExtensions. Empty but not nil: none. STARTTLS is left out on
	// connections that have TLS; AUTH is added when Users, Tokens or Mechanisms are set.
	Extensions []string
	// LMTP speaks RFC 2033: LHLO, and one reply for each recipient after the message.
	LMTP bool
	// MaxSize refuses larger messages with 552. Zero: the parameter of SIZE, else no limit.
	MaxSize int64

	// Sticky leaves a transaction open whose message by BDAT was refused, without its recipients, until
	// RSET: MAIL is answered with 503. RFC 3030 s. 2 lets servers do so, and Exim (4.96) does when it
	// accepted no recipient.
	Sticky bool

	// ImplicitTLS begins with the handshake.
	ImplicitTLS bool
	// TLS is the configuration of the server's side. Nil: a certificate for Name by CA.
	TLS *tls.Config
	// CA issues the certificate. Nil: Start makes one.
	CA *CA

	// Users have a password, for every mechanism but the OAuth ones; Tokens are the bearer tokens
	// for XOAUTH2 and OAUTHBEARER, by user.
	Users, Tokens map[string]string
	// Mechanisms are offered for AUTH. Nil: PLAIN and LOGIN, with Tokens XOAUTH2 and OAUTHBEARER.
	// Also known: CRAM-MD5, SCRAM-SHA-1, SCRAM-SHA-256, SCRAM-SHA-256-PLUS, EXTERNAL.
	Mechanisms []string
	// AuthRequired refuses MAIL before AUTH with 530.
	AuthRequired bool

	// Reply scripts the answers. It is called for every command and at four other steps, with
	// the verb in upper case and the whole line without its CRLF:
	//
	//	"CONNECT"   a connection has come; the reply is the greeting
	//	"DATA"      the command; "END" is the end of the message (by DATA or BDAT LAST), with
	//	            the recipient's address as line in LMTP
	//	"AUTH"      the command, "RESPONSE" is each line of the client in the exchange, decoded
	//
	// "" lets the server answer by itself. A reply of class 2 or 3 lets the command take effect with
	// that text, any other lets it fail. Lines are parted by "\n"; codes may be given on
	// each line or only on the first. [Drop] closes the connection, [Hang] never answers; after a 421 the
	// server closes, as RFC 5321 s. 3.8 demands. It is called by several connections at once.
	// It runs on the goroutine of the connection: one that sleeps delays the reply.
	Reply func(verb, line string) string
	// Refuse gives replies for recipients, by address. Replies gives replies for a verb
	// ("MAIL": "451 4.3.0 try later") or a whole line ("MAIL FROM:<a@b.test>"). Both come after Reply.
	Refuse, Replies map[string]string
	// Delay is waited before each reply, by verb; "" is the delay of all others.
	Delay map[string]time.Duration

	// Discard keeps no messages, only their number, for benchmarks.
	Discard bool
	// Record keeps a transcript of commands and replies. Secrets are not left out of it.
	Record bool

	started   sync.Once
	ctx       context.Context
	cancel    context.CancelFunc
	listener  net.Listener
	ext       map[string]string
	extOrder  []string
	tlsConfig *tls.Config
	creds     scramStore
	wg        sync.WaitGroup

	turns, count, sessions atomic.Int64

	mu         sync.Mutex
	conns      map[net.Conn]struct{}
	messages   []*Message
	arrived    chan struct{} // closed and replaced at each message
	violations []string
	transcript strings.Builder
}

// Replies with a meaning of their own.
const (
	Drop = "drop" // close the connection without an answer
	Hang = "hang" // never answer, until the client or the test gives up
	Lose = "lose" // let the command take effect, then close without an answer
)

// DefaultExtensions returns the keywords that a Server offers when its Extensions are nil.
func DefaultExtensions() []string {
	return []string{"PIPELINING", "SIZE 52428800", "8BITMIME", "SMTPUTF8", "DSN", "CHUNKING",
		"STARTTLS", "ENHANCEDSTATUSCODES"}
}

// Start begins to accept connections and returns the server. It panics when no port can be had,
// as httptest.NewServer does. The caller calls Close.
func (s *Server) Start() *Server {
	s.started.Do(func() {
		if s.Name == "" {
			s.Name = "mx.example.test"
		}
		s.listener = s.Listener
		if s.listener == nil {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				panic("smtptest: " + err.Error())
			}
			s.listener = l
		}
		if s.CA == nil {
			s.CA = NewCA()
		}
		s.tlsConfig = s.TLS
		if s.tlsConfig == nil {
			s.tlsConfig = s.CA.Server(s.Name)
		}
		if _, ok := s.listener.(*Pipe); ok {
			// Session tickets are written unasked. Through a pipe without buffers that waits for a client
			// that reads, while the client waits to write its next command.
			s.tlsConfig = s.tlsConfig.Clone()
			s.tlsConfig.SessionTicketsDisabled = true
		}
		s.ctx, s.cancel = context.WithCancel(context.Background())
		s.conns = make(map[net.Conn]struct{})
		s.arrived = make(chan struct{})
		s.extensions()
		s.wg.Go(s.accept)
	})
	return s
}

// extensions lays out what EHLO offers.
func (s *Server) extensions() {
	offered := s.Extensions
	if offered == nil {
		offered = DefaultExtensions()
	}
	s.ext = make(map[string]string)
	for _, e := range offered {
		keyword, param, _ := strings.Cut(e, " ")
		s.ext[strings.ToUpper(keyword)] = param
		if strings.EqualFold(keyword, "SIZE") && s.MaxSize == 0 {
			fmt.Sscan(param, &s.MaxSize)
		}
	}
	s.extOrder = offered
	if s.Mechanisms == nil {
		if s.Users != nil {
			s.Mechanisms = []string{"PLAIN", "LOGIN"}
		}
		if s.Tokens != nil {
			s.Mechanisms = append(s.Mechanisms, "XOAUTH2", "OAUTHBEARER")
		}
	}
}

// has says whether the extension is offered.
func (s *Server) has(keyword string) bool {
	_, ok := s.ext[keyword]
	return ok
}

// Close stops listening, closes every connection and waits for their goroutines.
func (s *Server) Close() {
	s.cancel()
	s.listener.Close()
	s.mu.Lock()
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

func (s *Server) accept() {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns[c] = struct{}{}
		closed := s.ctx.Err() != nil
		s.mu.Unlock()
		if closed {
			c.Close()
		}
		s.wg.Go(func() { s.serve(c) })
	}
}

func (s *Server) serve(c net.Conn) {
	defer func() {
		c.Close()
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	}()
	newSession(s, c).run()
}

// Addr is the address to dial.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Port is the port of Addr, 0 with a Pipe.
func (s *Server) Port() uint16 {
	if a, ok := s.listener.Addr().(*net.TCPAddr); ok {
		return uint16(a.Port)
	}
	return 0
}

// Dial connects to the server, whatever the network and the address: a client under test that takes
// a dial function reaches the server under any name.
func (s *Server) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if p, ok := s.listener.(*Pipe); ok {
		return p.Dial(ctx, network, address)
	}
	var d net.Dialer
	return d.DialContext(ctx, s.listener.Addr().Network(), s.Addr())
}

// TLSClient is a configuration for clients that trusts the server's certificate.
func (s *Server) TLSClient() *tls.Config { return s.CA.Client(s.Name) }

// Turns is the number of times that the server, having answered, had to wait for the client's next
// command: the number of round trips that clients have spent, the connection itself left out.
// The octets of a BDAT chunk belong to the flight of their command.
func (s *Server) Turns() int64 { return s.turns.Load() }

// Sessions is the number of connections so far.
func (s *Server) Sessions() int64 { return s.sessions.Load() }

// Violations lists what clients did against the standards, in order.
func (s *Server) Violations() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.violations...)
}

func (s *Server) violation(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.violations) < 100 {
		s.violations = append(s.violations, fmt.Sprintf(format, args...))
	}
}

// Transcript returns commands and replies of all connections when Record is set, one a line, as
// "1 C: EHLO ..." with the number of the connection.
func (s *Server) Transcript() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.transcript.String()
}

func (s *Server) record(session int64, side, line string) {
	if !s.Record {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.transcript.Len() < 1<<20 {
		for part := range strings.SplitSeq(line, "\n") {
			fmt.Fprintf(&s.transcript, "%d %s: %s\n", session, side, part)
		}
	}
}
