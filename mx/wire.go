package mx

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"github.com/miekg/dns"
)

// errForged is a message that is not the answer to the question, though it came to the right port: a late
// answer at best, and at worst somebody who guesses.
var errForged = errors.New("an answer to another question")

// try asks one server once: over UDP, then over TCP where the answer is truncated or forged answers came
// too, for TCP's numbers cannot be guessed as well (RFC 5452 s. 9.1). An old server that does not
// understand EDNS0 is asked without (RFC 6891 s. 7).
func (d *DNS) try(ctx context.Context, server string, q *dns.Msg, timeout time.Duration) (*dns.Msg, error) {
	deadline := time.Now().Add(timeout)
	if limit, ok := ctx.Deadline(); ok && limit.Before(deadline) {
		deadline = limit
	}
	m := *q
	if q.IsEdns0() == nil {
		m.Extra = slices.Clip(q.Extra)
		m.SetEdns0(ednsSize, false)
	}
	stream := d.TLS != nil
	answer, err := d.ask(ctx, socketKey{server, stream}, &m, deadline)
	if !stream && (errors.Is(err, errForged) || err == nil && answer.Truncated) {
		stream = true
		answer, err = d.ask(ctx, socketKey{server, stream}, &m, deadline)
	}
	if err == nil && (answer.Rcode == dns.RcodeFormatError || answer.Rcode == dns.RcodeNotImplemented) {
		m.Extra = slices.DeleteFunc(slices.Clone(m.Extra), func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeOPT })
		answer, err = d.ask(ctx, socketKey{server, stream}, &m, deadline)
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("DNS server %s: %w", server, err)
	case answer.Truncated:
		return nil, fmt.Errorf("DNS server %s: the answer is truncated", server)
	}
	answer.Id = q.Id
	return answer, nil
}

// ask asks over a socket. A stream that has been used before may have been closed by the server meanwhile
// (RFC 7766 s. 6.2.4): then a fresh one is tried.
func (d *DNS) ask(ctx context.Context, key socketKey, m *dns.Msg, deadline time.Time) (*dns.Msg, error) {
	s, err := d.take(ctx, key, deadline, false)
	if err != nil {
		return nil, err
	}
	used := s.uses > 0
	answer, err := d.over(ctx, s, m, deadline)
	if err == nil || !used || errors.Is(err, errForged) || ctx.Err() != nil || !time.Now().Before(deadline) {
		return answer, err
	}
	if s, err = d.take(ctx, key, deadline, true); err != nil {
		return nil, err
	}
	return d.over(ctx, s, m, deadline)
}

// over asks over a socket. The socket goes back to the pool only after a clean exchange: where an answer
// may still be on its way, it would meet the next question.
func (d *DNS) over(ctx context.Context, s *socket, m *dns.Msg, deadline time.Time) (*dns.Msg, error) {
	answer, err := s.exchange(ctx, m, deadline)
	if err != nil {
		s.conn.Close()
		return nil, err
	}
	d.pool.put(s)
	return answer, nil
}

// grace is how long a datagram's answer is waited for before the context is watched. To watch it costs a
// tenth of what a question costs, and most answers are there by then.
const grace = 20 * time.Millisecond

// newID is a random id, from the runtime's ChaCha8 that the system seeds, as the ids of Go's own resolver.
func newID() uint16 { return uint16(rand.Uint32()) }

// exchange gives the question a random id, sends it and reads the answer.
func (s *socket) exchange(ctx context.Context, m *dns.Msg, deadline time.Time) (*dns.Msg, error) {
	buffer := buffers.Get().(*[]byte)
	defer buffers.Put(buffer)
	m.Id = newID()
	packet, err := m.PackBuffer((*buffer)[2:])
	if err != nil {
		return nil, err
	}
	if first := time.Now().Add(grace); !s.key.stream && first.Before(deadline) {
		if err := s.conn.SetDeadline(first); err != nil {
			return nil, err
		}
		if err := s.write(packet, *buffer); err != nil {
			return nil, err
		}
		answer, err := s.read(m, buffer)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return answer, err
		}
		packet = nil // it is sent
	}
	if err := s.conn.SetDeadline(deadline); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { s.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if packet != nil {
		if err := s.write(packet, *buffer); err != nil {
			return nil, err
		}
	}
	answer, err := s.read(m, buffer)
	if err == nil && !stop() {
		return nil, ctx.Err() // the socket's deadline is spoilt
	}
	return answer, err
}

// write sends a question; over a stream its length goes before it (RFC 1035 s. 4.2.2), in one segment.
func (s *socket) write(packet, buffer []byte) error {
	if s.key.stream {
		if &packet[0] != &buffer[2] { // it did not fit and was packed elsewhere
			buffer = append(make([]byte, 2, 2+len(packet)), packet...)
		}
		binary.BigEndian.PutUint16(buffer, uint16(len(packet)))
		packet = buffer[:2+len(packet)]
	}
	_, err := s.conn.Write(packet)
	return err
}

// read reads the answer. Whoever guesses gets one guess: the first message that does not belong here
// ends the exchange.
func (s *socket) read(m *dns.Msg, buffer *[]byte) (*dns.Msg, error) {
	packet, err := s.receive(buffer)
	if err != nil {
		return nil, err
	}
	if len(packet) < 12 || binary.BigEndian.Uint16(packet) != m.Id {
		return nil, errForged
	}
	answer := new(dns.Msg)
	if err := answer.Unpack(packet); err != nil {
		if answer.Truncated { // cut in the middle of a record
			return answer, nil
		}
		return nil, fmt.Errorf("a malformed answer: %w", err)
	}
	if !answer.Response || len(answer.Question) > 1 || len(answer.Question) == 1 && !sameQuestion(answer.Question[0], m.Question[0]) {
		return nil, errForged
	}
	if len(answer.Question) == 0 && (answer.Rcode == dns.RcodeSuccess || answer.Rcode == dns.RcodeNameError) {
		return nil, errForged // only errors may come without the question
	}
	return answer, nil
}

// receive reads one message.
func (s *socket) receive(buffer *[]byte) ([]byte, error) {
	if !s.key.stream {
		n, err := s.conn.Read(*buffer)
		return (*buffer)[:n], err
	}
	if _, err := io.ReadFull(s.conn, (*buffer)[:2]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(*buffer))
	if n > len(*buffer) {
		*buffer = make([]byte, n)
	}
	_, err := io.ReadFull(s.conn, (*buffer)[:n])
	return (*buffer)[:n], err
}
