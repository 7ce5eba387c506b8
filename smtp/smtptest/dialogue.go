package smtptest

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Dialogue returns a dial function whose connections are played from files: each dial meets the next
// connection that the files describe. It fails the test when the client departs from the
// dialogue, dials too often, or has not been through all of it when the test ends. The lines:
//
//	# comment
//	CONNECT              the next connection begins (not needed for the first)
//	REFUSE               this connection is refused
//	S: 220 mx ready      the server sends this line with CRLF; neighbours leave in one write
//	S= "250 o\n"         the server sends these octets, a Go string
//	C: EHLO a.test       the client must send exactly this line with CRLF
//	C~ EHLO .*           the client must send a line that matches as a whole
//	C= "a\r\n"           the client must send exactly these octets
//	BODY [n]             the client sends n octets; without n the size that the BDAT before it gave,
//	                     or else lines up to the one with the dot
//	TLS                  both make a TLS handshake
//	WAIT 5m              the server does nothing for so long (use testing/synctest)
//	STALL                the server reads and says nothing until the client closes
//	EOF                  the client must close
//	DROP                 the server closes
//
// Lines of the client that stand together without a reply between them must come in one flight:
// a client that waits for a reply in between hangs, which testing/synctest reports. At its end the
// server closes. A nil config has a fresh certificate for mx.example.test.
func Dialogue(t testing.TB, config *tls.Config, files ...string) func(ctx context.Context, network, address string) (net.Conn, error) {
	t.Helper()
	d := &dialogue{t: t, config: config}
	for _, file := range files {
		connections, err := readScript(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, steps := range connections {
			d.scenes = append(d.scenes, scene{file, steps})
		}
	}
	t.Cleanup(d.finish)
	return d.dial
}

// Play plays the first connection of a dialogue file on c and closes it. It returns what
// went otherwise than written.
func Play(c net.Conn, config *tls.Config, file string) error {
	connections, err := readScript(file)
	if err != nil {
		c.Close() // a client shall not wait for what will not be played
		return err
	}
	return scene{file, connections[0]}.play(c, config)
}

type scene struct {
	file  string
	steps []step
}

type dialogue struct {
	t      testing.TB
	config *tls.Config
	wg     sync.WaitGroup

	mu     sync.Mutex
	scenes []scene // not yet dialled
	open   []net.Conn
}

func (d *dialogue) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	refused := &net.OpError{Op: "dial", Net: network, Addr: pipeAddr{}, Err: syscall.ECONNREFUSED}
	if len(d.scenes) == 0 {
		d.t.Errorf("smtptest: dial %s: no connection is left in the dialogue", address)
		return nil, refused
	}
	next := d.scenes[0]
	d.scenes = d.scenes[1:]
	if len(next.steps) > 0 && next.steps[0].op == "REFUSE" {
		return nil, refused
	}
	client, server := pipe()
	d.open = append(d.open, server)
	d.wg.Go(func() {
		if err := next.play(server, d.config); err != nil {
			d.t.Error(err)
		}
	})
	return client, nil
}

func (d *dialogue) finish() {
	d.mu.Lock()
	for _, s := range d.scenes {
		d.t.Errorf("%s: %d lines of a connection that was not dialled", s.file, len(s.steps))
	}
	for _, c := range d.open {
		c.Close()
	}
	d.mu.Unlock()
	d.wg.Wait()
}

func (s scene) play(c net.Conn, config *tls.Config) error {
	defer c.Close()
	p := &play{file: s.file, r: bufio.NewReader(c), w: bufio.NewWriter(c), size: -1}
	for i := 0; i < len(s.steps); i++ {
		step := s.steps[i]
		var err error
		switch step.op {
		case "S":
			_, err = p.w.WriteString(step.text + "\r\n")
		case "S=":
			_, err = p.w.WriteString(step.text)
		case "C", "C~", "C=":
			err = p.expect(step)
		case "TLS":
			c, err = p.handshake(c, config)
		default:
			var end bool
			if end, err = p.directive(step); end {
				return s.wrap(step, err)
			}
		}
		if err == nil && (i+1 == len(s.steps) || s.steps[i+1].op[0] != 'S' || s.steps[i+1].op == "STALL") {
			err = p.w.Flush()
		}
		if err != nil {
			return s.wrap(step, err)
		}
	}
	return nil
}

func (s scene) wrap(step step, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s:%d: %w", s.file, step.line, err)
}

// directive does a step that is neither a line nor TLS, and says whether it is the last.
func (p *play) directive(s step) (end bool, err error) {
	switch s.op {
	case "BODY":
		return false, p.body(s)
	case "WAIT":
		<-time.After(s.wait)
		return false, nil
	case "STALL":
		io.Copy(io.Discard, p.r)
		return true, nil
	case "EOF":
		if b, err := p.r.ReadByte(); err == nil {
			rest, _ := p.r.Peek(p.r.Buffered())
			return true, fmt.Errorf("client sent %q, want the end of the connection", append([]byte{b}, rest...))
		}
		return true, nil
	case "REFUSE":
		return true, fmt.Errorf("REFUSE must be the only line of its connection")
	}
	return true, nil // DROP
}

func (p *play) handshake(c net.Conn, config *tls.Config) (net.Conn, error) {
	if n := p.r.Buffered(); n > 0 {
		return c, fmt.Errorf("client sent %d octets before the handshake", n)
	}
	if config == nil {
		config = NewCA().Server("mx.example.test")
	}
	upgraded := tls.Server(c, config)
	if err := upgraded.Handshake(); err != nil {
		return c, fmt.Errorf("handshake: %w", err)
	}
	p.r.Reset(upgraded)
	p.w.Reset(upgraded)
	return upgraded, nil
}
