package smtptest

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// session is one connection.
type session struct {
	srv  *Server
	id   int64
	raw  net.Conn // as accepted
	conn net.Conn // raw, or TLS over it
	r    *bufio.Reader
	w    *bufio.Writer
	tls  *tls.ConnectionState

	answered bool // replies were flushed since the last turn of the client
	done     bool

	hello string
	esmtp bool // by EHLO or LHLO
	user  string
	mails int
	transaction
}

// transaction is what RSET forgets.
type transaction struct {
	open       bool
	from       string
	params     map[string]string
	to         []string
	rcptParams []map[string]string
	data       []byte
	chunks     int
	broken     string // the reply that ended a series of BDAT
	wrong      string // what was wrong with the dots of DATA
}

// maxLine bounds a command line; RFC 5321 s. 4.5.3.1.4 gives 512 octets, and the extensions add to it.
const maxLine = 2048

// maxAuthLine bounds a line within an AUTH exchange (RFC 4954 s. 4.a, "12288 octets").
const maxAuthLine = 12288

var errLine = errors.New("line too long or not ended by CRLF")

func newSession(srv *Server, c net.Conn) *session {
	s := &session{srv: srv, raw: c, conn: c, id: srv.sessions.Add(1)}
	s.r = bufio.NewReaderSize(source{s}, 64<<10)
	s.w = bufio.NewWriterSize(sink{s}, 16<<10)
	return s
}

// source flushes the replies before it waits for the client (RFC 2920 s. 3.2), and not sooner.
type source struct{ s *session }

func (r source) Read(p []byte) (int, error) {
	if err := r.s.flush(); err != nil {
		return 0, err
	}
	return r.s.conn.Read(p)
}

type sink struct{ s *session }

func (w sink) Write(p []byte) (int, error) { return w.s.conn.Write(p) }

func (s *session) flush() error {
	if s.w.Buffered() == 0 {
		return nil
	}
	s.answered = true
	return s.w.Flush()
}

// turn waits for the first octet of the client's next flight and counts the round trip.
func (s *session) turn() error {
	if s.r.Buffered() > 0 {
		return nil
	}
	_, err := s.r.Peek(1)
	if s.answered && err == nil {
		s.answered = false
		s.srv.turns.Add(1)
	}
	return err
}

func (s *session) run() {
	defer func() { s.w.Flush() }()
	if s.srv.ImplicitTLS && !s.handshake() {
		return
	}
	s.step("CONNECT", "", func() (string, func()) {
		return "220 " + s.srv.Name + " " + s.protocol() + " ready", nil
	})
	for !s.done {
		line, err := s.readLine(maxLine)
		if err != nil {
			if err == errLine {
				s.violation("command line %.80q: %v", line, err)
				s.send("500 5.5.2 bad line")
			}
			return
		}
		s.srv.record(s.id, "C", line)
		s.command(line)
	}
}

func (s *session) protocol() string {
	if s.srv.LMTP {
		return "LMTP"
	}
	return "ESMTP"
}

// readLine reads a line ended by CRLF and returns it without it.
func (s *session) readLine(limit int) (string, error) {
	if err := s.turn(); err != nil {
		return "", err
	}
	line, err := s.r.ReadSlice('\n')
	if err != nil && err != bufio.ErrBufferFull {
		return "", err
	}
	text := strings.TrimSuffix(string(line), "\r\n")
	if len(text) == len(line) || len(line) > limit || strings.ContainsAny(text, "\r\x00") {
		return text, errLine
	}
	return text, nil
}

// step asks the script, and the server's own opinion if the script has none, for the reply. The
// effect of the command takes place when the reply that was sent is positive.
func (s *session) step(verb, line string, own func() (reply string, effect func())) {
	reply, effect := own()
	if scripted := s.script(verb, line); scripted != "" {
		reply = scripted
	}
	s.answer(verb, reply, effect)
}

// answer sends a reply, or does what stands for one.
func (s *session) answer(verb, reply string, effect func()) {
	s.delay(verb)
	switch reply {
	case Drop:
		s.drop()
	case Lose:
		if effect != nil {
			effect()
		}
		s.drop()
	case Hang:
		s.hang()
	default:
		s.send(reply)
		if effect != nil && (reply[0] == '2' || reply[0] == '3') {
			effect()
		}
		if strings.HasPrefix(reply, "421") { // RFC 5321 s. 3.8: the server closes
			s.done = true
		}
	}
}

// script looks for a scripted reply.
func (s *session) script(verb, line string) string {
	if s.srv.Reply != nil {
		if reply := s.srv.Reply(verb, line); reply != "" {
			return reply
		}
	}
	if reply, ok := s.srv.Replies[line]; ok && line != "" {
		return reply
	}
	return s.srv.Replies[verb]
}

func (s *session) delay(verb string) {
	d, ok := s.srv.Delay[verb]
	if !ok {
		d = s.srv.Delay[""]
	}
	if d <= 0 {
		return
	}
	s.flush()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.srv.ctx.Done():
	}
}

// drop closes without a word, as a crashed server does: what is buffered is lost.
func (s *session) drop() {
	s.srv.record(s.id, "S", "(closed)")
	s.w.Reset(io.Discard)
	s.raw.Close()
	s.done = true
}

// hang reads and says nothing until the client has gone.
func (s *session) hang() {
	s.srv.record(s.id, "S", "(silent)")
	s.flush()
	io.Copy(io.Discard, s.conn)
	s.done = true
}

// send queues a reply. Lines are parted by "\n"; the code stands on the first line at least.
func (s *session) send(reply string) {
	s.srv.record(s.id, "S", reply)
	code := reply[:min(3, len(reply))]
	lines := strings.Split(reply, "\n")
	for i, line := range lines {
		if i == 0 || strings.HasPrefix(line, code+" ") || strings.HasPrefix(line, code+"-") {
			line = line[min(4, len(line)):]
		}
		separator := byte('-')
		if i == len(lines)-1 {
			separator = ' '
		}
		if i == 0 && !s.srv.has("ENHANCEDSTATUSCODES") {
			line = withoutEnhanced(line)
		}
		s.w.WriteString(code)
		s.w.WriteByte(separator)
		s.w.WriteString(line)
		s.w.WriteString("\r\n")
	}
}

// withoutEnhanced removes "5.1.1 ": a server that does not offer RFC 2034 does not use it.
func withoutEnhanced(line string) string {
	first, rest, _ := strings.Cut(line, " ")
	var class, subject, detail int
	if n, _ := fmt.Sscanf(first, "%d.%d.%d", &class, &subject, &detail); n == 3 {
		return rest
	}
	return line
}

// handshake upgrades the connection. The state of the session is forgotten (RFC 3207 s. 4.2).
func (s *session) handshake() bool {
	c := tls.Server(s.raw, s.srv.tlsConfig)
	if err := c.HandshakeContext(s.srv.ctx); err != nil {
		s.srv.record(s.id, "S", "(TLS: "+err.Error()+")")
		s.done = true
		return false
	}
	state := c.ConnectionState()
	s.conn, s.tls = c, &state
	s.hello, s.esmtp, s.user, s.transaction = "", false, "", transaction{}
	s.r.Reset(source{s})
	s.answered = false // the handshake's own turns are TLS's
	return true
}

func (s *session) violation(format string, args ...any) {
	s.srv.violation("connection %d: "+format, append([]any{s.id}, args...)...)
}
