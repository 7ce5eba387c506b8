package smtp

import (
	"context"
	"crypto/tls"
	"net/netip"
)

// Trace is a set of functions that are told what happens on the way of an envelope, as
// net/http/httptrace does for HTTP. Any of them may be nil. They are called one after the other for a
// connection, some with locks held: they return soon and do not call the Pool. They are called at the
// same time for several connections and for addresses that are raced, and, when the context ends
// while a connection is being made, still after Deliver has returned. Secrets of AUTH never reach them.
type Trace struct {
	// Dial is called when a connection is begun, Dialed when it stands or has failed.
	Dial   func(network, address string)
	Dialed func(network, address string, err error)
	// TLS is called after a handshake.
	TLS func(state tls.ConnectionState, err error)
	// Reused is called when a mail meets a connection that stood before.
	Reused func(host string, addr netip.AddrPort)
	// Command is called for each line that the client sends, without CRLF. What AUTH sends is
	// replaced by "[secret]".
	Command func(line string)
	// Body is called when the octets of a message are sent: those of the message, without dot-stuffing.
	Body func(octets int64)
	// Reply is called for each reply.
	Reply func(reply Reply)
	// Flight is called for each write to the connection: commands and message octets that leave
	// together, of one mail or of several. Only the Pool's own Trace sees it.
	Flight func(octets int)
}

type traceKey struct{}

// WithTrace returns a context whose deliveries tell t what happens: the making of the connection, if
// one is made for this mail, and the mail's own commands and replies.
func WithTrace(ctx context.Context, t *Trace) context.Context {
	return context.WithValue(ctx, traceKey{}, t)
}

// tracer tells the pool's trace and that of one mail. Its zero value tells nobody.
type tracer struct{ pool, mail *Trace }

func traceOf(ctx context.Context, p *Trace) tracer {
	t, _ := ctx.Value(traceKey{}).(*Trace)
	return tracer{p, t}
}

func (t tracer) off() bool { return t.pool == nil && t.mail == nil }

// each calls f with those traces that exist.
func (t tracer) each(f func(*Trace)) {
	if t.pool != nil {
		f(t.pool)
	}
	if t.mail != nil {
		f(t.mail)
	}
}

func (t tracer) dial(network, address string) {
	t.each(func(t *Trace) {
		if t.Dial != nil {
			t.Dial(network, address)
		}
	})
}

func (t tracer) dialed(network, address string, err error) {
	t.each(func(t *Trace) {
		if t.Dialed != nil {
			t.Dialed(network, address, err)
		}
	})
}

func (t tracer) tls(state tls.ConnectionState, err error) {
	t.each(func(t *Trace) {
		if t.TLS != nil {
			t.TLS(state, err)
		}
	})
}

func (t tracer) reused(host string, addr netip.AddrPort) {
	t.each(func(t *Trace) {
		if t.Reused != nil {
			t.Reused(host, addr)
		}
	})
}

func (t tracer) command(line string) {
	t.each(func(t *Trace) {
		if t.Command != nil {
			t.Command(line)
		}
	})
}

func (t tracer) body(octets int64) {
	t.each(func(t *Trace) {
		if t.Body != nil {
			t.Body(octets)
		}
	})
}

func (t tracer) reply(r *replyReader) {
	if t.off() {
		return
	}
	t.each(func(t *Trace) {
		if t.Reply != nil {
			t.Reply(r.reply(mostReplyOctets))
		}
	})
}
