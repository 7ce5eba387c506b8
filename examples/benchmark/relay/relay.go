//go:build linux

package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	gosmtp "github.com/emersion/go-smtp"

	"github.com/postrider/postrider"
	"github.com/postrider/postrider/dkim"
	"github.com/postrider/postrider/queue"
	"github.com/postrider/postrider/queue/disk"
	"github.com/postrider/postrider/smtp"
)

const sender, recipient = "a@client.example.test", "b@example.test"

// relay accepts mail at one address, signs it, stores it durably, and delivers it to another address. It
// prints its address to out and serves until control ends. For a line with three numbers on control it sends
// so many messages by itself, of so many octets, by so many goroutines, and prints how many were accepted.
func relay(listen, to, spool string, control io.Reader, out io.Writer) error {
	host, portText, err := net.SplitHostPort(to)
	if err != nil {
		return err
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return err
	}
	store, err := disk.Open(spool)
	if err != nil {
		return err
	}
	defer store.Close()
	client := &postrider.Client{
		Transport: &postrider.Relay{Host: host, Port: uint16(port), Security: smtp.Plaintext, Hello: "relay.example.test"},
		Signer: dkim.Signer{
			Keys:         []dkim.Key{{Domain: "client.example.test", Selector: "ed", Signer: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))}},
			Ed25519Alone: true,
		},
		Queue:  store,
		Runner: queue.Runner{LaneInitial: 100},
		Log:    slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}
	server := gosmtp.NewServer(gosmtp.BackendFunc(func(*gosmtp.Conn) (gosmtp.Session, error) { return &session{client: client}, nil }))
	server.Domain = "relay.example.test"
	server.ErrorLog = log.New(io.Discard, "", 0)
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	go server.Serve(gathering{l})
	fmt.Fprintln(out, l.Addr())

	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer cancel()
		defer server.Close()
		for {
			var n, size, callers int
			if _, err := fmt.Fscanln(control, &n, &size, &callers); err != nil {
				return
			}
			fmt.Fprintln(out, sendAll(ctx, client, n, size, callers))
		}
	}()
	err = client.Run(ctx)
	closing, done := context.WithTimeout(context.Background(), 10*time.Second)
	defer done()
	return errors.Join(err, client.Close(closing))
}

// session is one connection that brings mail.
type session struct {
	client *postrider.Client
	from   string
	to     []string
}

func (s *session) Mail(from string, _ *gosmtp.MailOptions) error {
	s.from = from
	return nil
}

func (s *session) Rcpt(to string, _ *gosmtp.RcptOptions) error {
	s.to = append(s.to, to)
	return nil
}

// Data returns nil, so that the server says 250, when the mail is on the disk.
func (s *session) Data(r io.Reader) error {
	_, err := s.client.SendRaw(context.Background(), s.from, s.to, r)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, postrider.ErrInvalid):
		return &gosmtp.SMTPError{Code: 554, EnhancedCode: gosmtp.EnhancedCode{5, 6, 0}, Message: err.Error()}
	}
	return &gosmtp.SMTPError{Code: 451, EnhancedCode: gosmtp.EnhancedCode{4, 3, 0}, Message: "Try later"}
}

func (s *session) Reset()        { s.from, s.to = "", nil }
func (s *session) Logout() error { return nil }

// message is one of about so many octets.
func message(size int) string {
	return "From: <" + sender + ">\r\nTo: <" + recipient + ">\r\nSubject: relay\r\n\r\n" +
		strings.Repeat(strings.Repeat("X", 78)+"\r\n", size/80)
}

// sendAll does what a program does that has no SMTP server before its queue.
func sendAll(ctx context.Context, client *postrider.Client, n, size, callers int) int64 {
	message := message(size)
	var next, accepted atomic.Int64
	var wait sync.WaitGroup
	for range callers {
		wait.Go(func() {
			for next.Add(1) <= int64(n) {
				if _, err := client.SendRaw(ctx, sender, []string{recipient}, strings.NewReader(message)); err == nil {
					accepted.Add(1)
				}
			}
		})
	}
	wait.Wait()
	return accepted.Load()
}
