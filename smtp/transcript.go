package smtp

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
)

// Transcript collects the dialogue of one or more mails as lines: "C: " for what the client sends,
// "S: " for replies, "*  " for connections and TLS. Secrets are left out, and of a message only
// its size is told. The zero value is ready and safe for concurrent use.
//
//	var dialogue smtp.Transcript
//	ctx = smtp.WithTrace(ctx, dialogue.Trace())
type Transcript struct {
	mu    sync.Mutex
	w     io.Writer
	lines strings.Builder
}

// NewTranscript returns a transcript that writes its lines to w as they come and keeps none.
func NewTranscript(w io.Writer) *Transcript { return &Transcript{w: w} }

// String returns the lines so far.
func (t *Transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.lines.String()
}

func (t *Transcript) add(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.w != nil {
		fmt.Fprintf(t.w, format+"\n", args...)
		return
	}
	fmt.Fprintf(&t.lines, format+"\n", args...)
}

// Trace returns the functions that write the transcript.
func (t *Transcript) Trace() *Trace {
	return &Trace{
		Dialed: func(network, address string, err error) {
			if err != nil {
				t.add("*  %s %s: %v", network, address, err)
				return
			}
			t.add("*  connected to %s", address)
		},
		TLS: func(s tls.ConnectionState, err error) {
			if err != nil {
				t.add("*  TLS: %v", err)
				return
			}
			t.add("*  %s", describeTLS(s))
		},
		Reused: func(host string, addr netip.AddrPort) {
			if addr.IsValid() {
				host += " (" + addr.String() + ")"
			}
			t.add("*  the connection to %s is reused", host)
		},
		Command: func(line string) { t.add("C: %s", line) },
		Body:    func(octets int64) { t.add("C: [message of %d octets]", octets) },
		Reply: func(r Reply) {
			for line := range strings.SplitSeq(r.Text, "\n") {
				one := r
				one.Text = line
				t.add("S: %s", one)
			}
		},
	}
}

func describeTLS(s tls.ConnectionState) string {
	d := tls.VersionName(s.Version) + " " + tls.CipherSuiteName(s.CipherSuite)
	if s.DidResume {
		d += ", resumed"
	}
	if len(s.PeerCertificates) > 0 {
		d += ", certificate for " + strings.Join(s.PeerCertificates[0].DNSNames, " ")
	}
	return harmless([]byte(d), 512)
}

// LogTrace returns a trace that logs connections at level Info and the dialogue at level Debug.
func LogTrace(log *slog.Logger) *Trace {
	ctx := context.Background()
	return &Trace{
		Dialed: func(network, address string, err error) {
			if err != nil {
				log.WarnContext(ctx, "smtp: connection failed", "network", network, "address", address, "error", err)
				return
			}
			log.InfoContext(ctx, "smtp: connected", "network", network, "address", address)
		},
		TLS: func(s tls.ConnectionState, err error) {
			if err != nil {
				log.WarnContext(ctx, "smtp: TLS failed", "error", err)
				return
			}
			log.InfoContext(ctx, "smtp: TLS", "state", describeTLS(s))
		},
		Reused: func(host string, addr netip.AddrPort) {
			log.DebugContext(ctx, "smtp: connection reused", "host", host, "address", addr)
		},
		Command: func(line string) { log.DebugContext(ctx, "smtp: command", "line", line) },
		Body:    func(octets int64) { log.DebugContext(ctx, "smtp: message", "octets", octets) },
		Reply: func(r Reply) {
			log.DebugContext(ctx, "smtp: reply", "code", r.Code, "status", r.Enhanced.String(), "text", r.Text)
		},
	}
}
