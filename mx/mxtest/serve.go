package mxtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/miekg/dns"
)

// Exchange answers in process: Zone is an mx.Resolver. A question that is dropped waits for the
// context's end.
func (z *Zone) Exchange(ctx context.Context, q *dns.Msg) (*dns.Msg, error) {
	answers, delay, drop := z.respond(q, false)
	if delay > 0 {
		timer := time.NewTimer(delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if drop || len(answers) == 0 {
		<-ctx.Done()
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return answers[0], nil
}

// ServeDNS answers over the wire: Zone is a dns.Handler.
func (z *Zone) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	_, datagram := w.RemoteAddr().(*net.UDPAddr)
	answers, delay, drop := z.respond(q, !datagram)
	if delay > 0 {
		<-time.After(delay)
	}
	if drop {
		return
	}
	for _, a := range answers {
		if datagram {
			size := dns.MinMsgSize
			if opt := q.IsEdns0(); opt != nil {
				size = max(size, int(opt.UDPSize()))
			}
			a.Truncate(size)
		}
		if w.WriteMsg(a) != nil {
			return
		}
	}
}

// Server is a Zone that listens on an address.
type Server struct {
	// Addr is where it listens, over UDP and TCP, such as "127.0.0.1:40053".
	Addr string

	udp, tcp *dns.Server
}

// Listen serves the zone over UDP and TCP on an address such as "127.0.0.1:0", where the system chooses
// a port that is free for both.
func (z *Zone) Listen(addr string) (*Server, error) {
	var err error
	for range 8 { // a port that is free for UDP may be taken for TCP
		var packets net.PacketConn
		if packets, err = net.ListenPacket("udp", addr); err != nil {
			break
		}
		var listener net.Listener
		if listener, err = net.Listen("tcp", packets.LocalAddr().String()); err != nil {
			packets.Close()
			continue
		}
		s := &Server{
			Addr: packets.LocalAddr().String(),
			udp:  &dns.Server{PacketConn: packets, Handler: z},
			tcp:  &dns.Server{Listener: listener, Handler: z},
		}
		ready := make(chan struct{}, 2)
		for _, server := range []*dns.Server{s.udp, s.tcp} {
			server.NotifyStartedFunc = func() { ready <- struct{}{} }
			go server.ActivateAndServe()
		}
		<-ready
		<-ready
		return s, nil
	}
	return nil, fmt.Errorf("mxtest: %w", err)
}

// Close stops the server and waits for the questions in hand.
func (s *Server) Close() error {
	return errors.Join(s.udp.Shutdown(), s.tcp.Shutdown())
}
