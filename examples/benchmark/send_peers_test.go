//go:build unix

package benchmark

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	netsmtp "net/smtp"
	"strings"
	"time"

	"github.com/emersion/go-sasl"
	gosmtp "github.com/emersion/go-smtp"
	gomail "github.com/wneessen/go-mail"
	oldgomail "gopkg.in/gomail.v2"

	"github.com/postrider/postrider"
	"github.com/postrider/postrider/smtp"
)

const (
	sender, recipient, hello = "joerg@example.com", "ada@example.org", "client.example.com"
	sendSubject              = "benchmark"
)

// Every message has this text. Libraries that build messages build it each time, the others have it
// ready as readyMessage.
var (
	sendText     = strings.Repeat(strings.Repeat("x", 75)+"\n", 131)
	readyMessage = "From: <" + sender + ">\r\nTo: <" + recipient + ">\r\nSubject: " + sendSubject +
		"\r\nDate: Mon, 02 Nov 2026 10:00:00 +0100\r\nMessage-ID: <benchmark@example.com>\r\n" +
		"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + strings.ReplaceAll(sendText, "\n", "\r\n")
)

// conn is what a library keeps for its next message.
type conn interface {
	send() error
	close() error
}

// opener connects; keep says that more than one message follows.
type opener func(t target, keep bool) (conn, error)

// peers are the libraries. postrider, go-mail and gomail build the message on each send, the others have
// it ready; go-mail-tuned leaves out the NOOP and RSET that go-mail adds.
var peers = []struct {
	name string
	open opener
}{
	{"postrider", openPostrider},
	{"postrider-smtp", openPool},
	{"go-mail", func(t target, _ bool) (conn, error) { return openGoMail(t) }},
	{"go-mail-tuned", func(t target, _ bool) (conn, error) {
		return openGoMail(t, gomail.WithoutNoop(), gomail.WithoutRset())
	}},
	{"gomail", openGomail},
	{"go-smtp", openGoSMTP},
	{"net-smtp", openNetSMTP},
}

// postriderConn is a whole client over a relay.
type postriderConn struct {
	client *postrider.Client
	relay  *postrider.Relay
	msg    *postrider.Message
}

func newPool(keep bool) *smtp.Pool {
	p := &smtp.Pool{Hello: hello, MaxConns: 1, MaxMessages: 1 << 30, MaxAge: time.Hour}
	if !keep {
		p.MaxIdle = -1
	}
	return p
}

func openPostrider(t target, keep bool) (conn, error) {
	r := &postrider.Relay{Host: "127.0.0.1", Port: uint16(t.port()), Security: smtp.Plaintext, Pool: newPool(keep)}
	if t.tls != nil {
		r.Security, r.TLS, r.Auth = smtp.StartTLS, t.tls, &smtp.Auth{Username: username, Password: password}
	}
	m := &postrider.Message{From: postrider.Addr("", sender), To: []postrider.Address{postrider.Addr("", recipient)},
		Subject: sendSubject, Text: sendText}
	return &postriderConn{&postrider.Client{Transport: r}, r, m}, nil
}

func (c *postriderConn) send() error {
	_, err := c.client.Send(context.Background(), c.msg)
	return err
}

func (c *postriderConn) close() error { return c.relay.Close(context.Background()) }

// poolConn is the protocol engine alone.
type poolConn struct {
	pool *smtp.Pool
	to   *smtp.Server
	e    *smtp.Envelope
}

func openPool(t target, keep bool) (conn, error) {
	to := &smtp.Server{Host: "127.0.0.1", Addrs: []netip.AddrPort{netip.MustParseAddrPort(t.addr)}, Security: smtp.Plaintext}
	if t.tls != nil {
		to.Security, to.TLS, to.Auth = smtp.StartTLS, t.tls, &smtp.Auth{Username: username, Password: password}
	}
	e := &smtp.Envelope{From: sender, To: smtp.Addresses(recipient), Size: int64(len(readyMessage)), Open: openReady}
	return &poolConn{newPool(keep), to, e}, nil
}

func openReady() (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(readyMessage)), nil
}

func (c *poolConn) send() error {
	var errs []error
	for _, r := range c.pool.Deliver(context.Background(), c.to, c.e) {
		errs = append(errs, r.Err)
	}
	return errors.Join(errs...)
}

func (c *poolConn) close() error { return c.pool.Close(context.Background()) }

type goMailConn struct{ client *gomail.Client }

func openGoMail(t target, options ...gomail.Option) (conn, error) {
	options = append(options, gomail.WithPort(t.port()), gomail.WithHELO(hello))
	if t.tls == nil {
		options = append(options, gomail.WithTLSPolicy(gomail.NoTLS))
	} else {
		options = append(options, gomail.WithTLSPolicy(gomail.TLSMandatory), gomail.WithTLSConfig(t.tls),
			gomail.WithSMTPAuth(gomail.SMTPAuthPlain), gomail.WithUsername(username), gomail.WithPassword(password))
	}
	c, err := gomail.NewClient("127.0.0.1", options...)
	if err != nil {
		return nil, err
	}
	return goMailConn{c}, c.DialWithContext(context.Background())
}

func (c goMailConn) send() error {
	m := gomail.NewMsg()
	if err := m.From(sender); err != nil {
		return err
	}
	if err := m.To(recipient); err != nil {
		return err
	}
	m.Subject(sendSubject)
	m.SetBodyString(gomail.TypeTextPlain, sendText)
	return c.client.Send(m)
}

func (c goMailConn) close() error { return c.client.Close() }

type gomailConn struct{ oldgomail.SendCloser }

func openGomail(t target, _ bool) (conn, error) {
	d := &oldgomail.Dialer{Host: "127.0.0.1", Port: t.port(), LocalName: hello}
	if t.tls != nil {
		d.TLSConfig, d.Username, d.Password = t.tls, username, password
	}
	c, err := d.Dial()
	return gomailConn{c}, err
}

func (c gomailConn) send() error {
	m := oldgomail.NewMessage()
	m.SetHeader("From", sender)
	m.SetHeader("To", recipient)
	m.SetHeader("Subject", sendSubject)
	m.SetBody("text/plain", sendText)
	return oldgomail.Send(c, m)
}

func (c gomailConn) close() error { return c.Close() }

type goSMTPConn struct{ *gosmtp.Client }

func openGoSMTP(t target, _ bool) (conn, error) {
	if t.tls == nil {
		c, err := gosmtp.Dial(t.addr)
		if err != nil {
			return nil, err
		}
		return goSMTPConn{c}, c.Hello(hello)
	}
	c, err := gosmtp.DialStartTLS(t.addr, t.tls)
	if err != nil {
		return nil, err
	}
	return goSMTPConn{c}, c.Auth(sasl.NewPlainClient("", username, password))
}

func (c goSMTPConn) send() error {
	return c.SendMail(sender, []string{recipient}, strings.NewReader(readyMessage))
}

func (c goSMTPConn) close() error { return c.Quit() }

type netSMTPConn struct{ *netsmtp.Client }

func openNetSMTP(t target, _ bool) (conn, error) {
	c, err := netsmtp.Dial(t.addr)
	if err != nil {
		return nil, err
	}
	if err := c.Hello(hello); err != nil || t.tls == nil {
		return netSMTPConn{c}, err
	}
	if err := c.StartTLS(t.tls); err != nil {
		return nil, err
	}
	host, _, _ := net.SplitHostPort(t.addr)
	return netSMTPConn{c}, c.Auth(netsmtp.PlainAuth("", username, password, host))
}

func (c netSMTPConn) send() error {
	if err := c.Mail(sender); err != nil {
		return err
	}
	if err := c.Rcpt(recipient); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write([]byte(readyMessage)); err != nil {
		return err
	}
	return w.Close()
}

func (c netSMTPConn) close() error { return c.Quit() }
