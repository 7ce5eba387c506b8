package smtp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/postrider/postrider/smtp"
	"github.com/postrider/postrider/smtp/smtptest"
)

const invitation = "From: ada@example.com\r\nTo: bob@example.org\r\nSubject: tea\r\n\r\nAt four?\r\n"

// One mail to two recipients, one of whom the server does not know.
func ExamplePool() {
	relay := (&smtptest.Server{
		Extensions: []string{"PIPELINING", "ENHANCEDSTATUSCODES"},
		Refuse:     map[string]string{"gone@example.org": "550 5.1.1 no such user"},
	}).Start()
	defer relay.Close()

	pool := &smtp.Pool{Hello: "mail.example.com", Dial: relay.Dial}
	defer pool.Close(context.Background())
	server := &smtp.Server{Host: "relay.example.net", Port: 587, Security: smtp.Plaintext}
	envelope := &smtp.Envelope{
		From: "ada@example.com",
		To:   smtp.Addresses("bob@example.org", "gone@example.org"),
		Size: int64(len(invitation)),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(invitation)), nil },
	}
	for _, r := range pool.Deliver(context.Background(), server, envelope) {
		fmt.Println(r.Recipient, r.Phase, r.Reply.Enhanced, r.Err == nil)
	}
	// Output:
	// bob@example.org final 2.0.0 true
	// gone@example.org rcpt 5.1.1 false
}

// Notifications, a deadline and a priority are asked for where the server offers them.
func ExampleEnvelope() {
	server := (&smtptest.Server{Extensions: []string{"DSN", "MT-PRIORITY"}}).Start()
	defer server.Close()

	envelope := &smtp.Envelope{
		From:       "ada@example.com",
		To:         []smtp.Recipient{{Address: "bob@example.org", Notify: smtp.NotifySuccess | smtp.NotifyFailure, Original: "b+tea@example.org"}},
		Size:       int64(len(invitation)),
		Open:       func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(invitation)), nil },
		EnvelopeID: "tea-42",
		Return:     smtp.ReturnHeaders,
		Priority:   3,
	}
	pool := &smtp.Pool{Dial: server.Dial, Trace: &smtp.Trace{Command: func(line string) {
		if strings.HasPrefix(line, "MAIL") || strings.HasPrefix(line, "RCPT") {
			fmt.Println(line)
		}
	}}}
	defer pool.Close(context.Background())
	results := pool.Deliver(context.Background(), &smtp.Server{Host: "mx.example.org", Security: smtp.Plaintext}, envelope)
	fmt.Println(results[0].Err)
	// Output:
	// MAIL FROM:<ada@example.com> RET=HDRS ENVID=tea-42 MT-PRIORITY=3
	// RCPT TO:<bob@example.org> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;b+2Btea@example.org
	// <nil>
}

// What an error says about the next attempt.
func ExampleResult() {
	for _, err := range []error{
		nil,
		&smtp.ReplyError{Phase: smtp.PhaseRcpt, Host: "mx.example.org", Reply: smtp.Reply{Code: 452, Enhanced: smtp.EnhancedCode{4, 2, 2}, Text: "mailbox full"}},
		&smtp.ConnError{Phase: smtp.PhaseConnect, Host: "mx.example.org", Err: errors.New("connection refused")},
		&smtp.ConnError{Phase: smtp.PhaseFinal, Host: "mx.example.org", Err: smtp.ErrUnsure},
		&smtp.EnvelopeError{Status: smtp.EnhancedCode{5, 3, 4}, Extension: "SIZE", Host: "mx.example.org", Err: errors.New("the message is too large")},
	} {
		r := smtp.Result{Recipient: "bob@example.org", Err: err}
		var temporary interface{ Temporary() bool }
		switch {
		case r.Err == nil:
			fmt.Println("delivered")
		case errors.Is(r.Err, smtp.ErrUnsure):
			fmt.Println("unsure:", r.Err)
		case errors.As(r.Err, &temporary) && temporary.Temporary():
			fmt.Println("try again:", r.Err)
		default:
			fmt.Println("never:", r.Err)
		}
	}
	// Output:
	// delivered
	// try again: mx.example.org: rcpt: 452 4.2.2 mailbox full
	// try again: mx.example.org: connect: connection refused
	// unsure: mx.example.org: final: smtp: connection lost after the message was sent: it may have been accepted
	// never: mx.example.org: the message is too large
}

// How a relay, an MX host and a local delivery agent are reached.
func ExampleServer() {
	servers := []*smtp.Server{
		{Host: "relay.example.net", Port: 587},                  // STARTTLS, verified
		{Host: "relay.example.net", Security: smtp.ImplicitTLS}, // port 465
		{Host: "mx.example.org", Security: smtp.Opportunistic},  // TLS when offered
		{Host: "/run/dovecot/lmtp", Network: "unix", LMTP: true, Security: smtp.Plaintext},
	}
	for _, s := range servers {
		fmt.Println(s.Host, s.Security == smtp.StartTLS, s.LMTP)
	}
	// Output:
	// relay.example.net true false
	// relay.example.net false false
	// mx.example.org false false
	// /run/dovecot/lmtp false true
}

// A server that never greets is given up, and another attempt may find it in a better mood.
func ExampleTimeouts() {
	silent := (&smtptest.Server{Replies: map[string]string{"CONNECT": smtptest.Hang}}).Start()
	defer silent.Close()

	pool := &smtp.Pool{Dial: silent.Dial, Timeouts: smtp.Timeouts{Greeting: 10 * time.Millisecond}}
	defer pool.Close(context.Background())
	envelope := &smtp.Envelope{
		From: "ada@example.com", To: smtp.Addresses("bob@example.org"), Size: int64(len(invitation)),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(invitation)), nil },
	}
	r := pool.Deliver(context.Background(), &smtp.Server{Host: "mx.example.org", Security: smtp.Plaintext}, envelope)[0]
	fmt.Println(r.Phase, errors.Is(r.Err, os.ErrDeadlineExceeded))
	// Output: greeting true
}

// The dialogue of one mail, without its secrets and without its text.
func ExampleTranscript() {
	server := (&smtptest.Server{Extensions: []string{}}).Start()
	defer server.Close()

	var dialogue smtp.Transcript
	ctx := smtp.WithTrace(context.Background(), dialogue.Trace())
	pool := &smtp.Pool{Hello: "mail.example.com", Dial: server.Dial}
	pool.Deliver(ctx, &smtp.Server{Host: "mx.example.org", Security: smtp.Plaintext}, &smtp.Envelope{
		From: "ada@example.com", To: smtp.Addresses("bob@example.org"), Size: int64(len(invitation)),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(invitation)), nil },
	})
	pool.Close(ctx)
	for line := range strings.Lines(dialogue.String()) {
		if strings.HasPrefix(line, "C:") { // "S:" are the replies
			fmt.Print(line)
		}
	}
	// Output:
	// C: EHLO mail.example.com
	// C: MAIL FROM:<ada@example.com>
	// C: RCPT TO:<bob@example.org>
	// C: DATA
	// C: [message of 70 octets]
}
