package smtp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	gosmtp "github.com/emersion/go-smtp"
	"github.com/postrider/postrider/smtp"
	"github.com/postrider/postrider/smtp/smtptest"
)

// deliver sends a short mail to bob@example.org at a test server.
func deliver(ctx context.Context, pool *smtp.Pool, change func(*smtp.Envelope)) smtp.Result {
	e := &smtp.Envelope{
		From: "ada@example.com", To: smtp.Addresses("bob@example.org"), Size: int64(len(invitation)),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(invitation)), nil },
	}
	if change != nil {
		change(e)
	}
	return pool.Deliver(ctx, &smtp.Server{Host: "mx.example.org", Security: smtp.Opportunistic}, e)[0]
}

// A refusal is found by errors.As, under our type and under that of go-smtp.
func ExampleReplyError() {
	server := (&smtptest.Server{Refuse: map[string]string{"bob@example.org": "550-5.1.1 no such user\n550 5.1.1 ask postmaster"}}).Start()
	defer server.Close()
	pool := &smtp.Pool{Dial: server.Dial}
	defer pool.Close(context.Background())

	r := deliver(context.Background(), pool, nil)
	if refused, ok := errors.AsType[*smtp.ReplyError](r.Err); ok {
		fmt.Println(refused.Phase, refused.Reply.Code, refused.Reply.Enhanced, refused.Temporary())
	}
	_, ok := errors.AsType[*gosmtp.SMTPError](r.Err)
	fmt.Println(ok)
	// Output:
	// rcpt 550 5.1.1 false
	// true
}

func ExampleReply() {
	reply := smtp.Reply{Code: 451, Enhanced: smtp.EnhancedCode{4, 7, 1}, Text: "greylisted\ntry in 5 minutes"}
	fmt.Println(reply)
	fmt.Println(reply.Positive(), reply.Temporary(), reply.Permanent())
	// Output:
	// 451 4.7.1 greylisted try in 5 minutes
	// false true false
}

func ExampleEnhancedCode() {
	fmt.Printf("%q %q\n", smtp.EnhancedCode{5, 1, 10}, smtp.EnhancedCode{})
	// Output: "5.1.10" ""
}

// A connection that fails before the message was sent: the mail was not accepted.
func ExampleConnError() {
	server := (&smtptest.Server{Replies: map[string]string{"EHLO": smtptest.Drop}}).Start()
	defer server.Close()
	pool := &smtp.Pool{Dial: server.Dial}

	r := deliver(context.Background(), pool, nil)
	if lost, ok := errors.AsType[*smtp.ConnError](r.Err); ok {
		fmt.Println(lost.Phase, lost.Temporary(), lost.Err)
	}
	// Output: hello true the server closed the connection
}

// A message that needs what the server lacks is not sent.
func ExampleEnvelopeError() {
	server := (&smtptest.Server{Extensions: []string{"SIZE 20"}}).Start()
	defer server.Close()
	pool := &smtp.Pool{Dial: server.Dial}
	defer pool.Close(context.Background())

	r := deliver(context.Background(), pool, nil)
	if wrong, ok := errors.AsType[*smtp.EnvelopeError](r.Err); ok {
		fmt.Println(wrong.Extension, wrong.Status, wrong)
	}
	// Output: SIZE 5.3.4 mx.example.org: the message has 70 octets, the server takes 20
}

// Notifications are asked for each recipient.
func ExampleRecipient() {
	to := smtp.Addresses("bob@example.org", "eve@example.org")
	to[0].Notify = smtp.NotifySuccess | smtp.NotifyDelay
	to[1].Notify = smtp.NotifyNever
	for _, r := range to {
		fmt.Println(r.Address, r.Notify)
	}
	// Output:
	// bob@example.org SUCCESS,DELAY
	// eve@example.org NEVER
}

// What Opportunistic takes and Encrypted refuses: a server without TLS.
func ExampleSecurity() {
	server := (&smtptest.Server{Extensions: []string{}}).Start()
	defer server.Close()
	pool := &smtp.Pool{Dial: server.Dial}
	defer pool.Close(context.Background())
	for _, security := range []smtp.Security{smtp.Opportunistic, smtp.Encrypted} {
		to := &smtp.Server{Host: "mx.example.org", Security: security}
		r := pool.Deliver(context.Background(), to, envelope("ada@example.com", invitation, "bob@example.org"))[0]
		fmt.Println(r.Phase, r.Err == nil, errors.Is(r.Err, smtp.ErrTLS))
	}
	// Output:
	// final true false
	// tls false true
}

// Counting round trips: each flight is one.
func ExampleTrace() {
	server := (&smtptest.Server{Extensions: []string{"PIPELINING", "CHUNKING"}}).Start()
	defer server.Close()
	flights := 0
	pool := &smtp.Pool{Dial: server.Dial, Trace: &smtp.Trace{Flight: func(octets int) { flights++ }}}
	defer pool.Close(context.Background())
	for range 3 {
		deliver(context.Background(), pool, nil)
	}
	fmt.Println(flights, "flights for 3 mails")
	// Output: 3 flights for 3 mails
}
