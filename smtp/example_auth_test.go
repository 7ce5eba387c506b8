package smtp_test

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"time"

	"github.com/postrider/postrider/smtp"
	"github.com/postrider/postrider/smtp/smtptest"
)

// A relay that wants a password. The safest mechanism that it offers is used.
func ExampleAuth() {
	relay := (&smtptest.Server{
		Users: map[string]string{"ada": "wonderland"}, AuthRequired: true,
		Mechanisms: []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"},
	}).Start()
	defer relay.Close()

	var dialogue smtp.Transcript
	ctx := smtp.WithTrace(context.Background(), dialogue.Trace())
	pool := &smtp.Pool{Dial: relay.Dial, Trace: &smtp.Trace{Command: func(line string) {
		if line[:4] == "AUTH" {
			fmt.Println(line)
		}
	}}}
	to := &smtp.Server{Host: "mx.example.test", Port: 587, TLS: relay.TLSClient(),
		Auth: &smtp.Auth{Username: "ada", Password: "wonderland"}}
	results := pool.Deliver(ctx, to, envelope("ada@example.test", "Subject: hi\r\n\r\nhi\r\n", "bob@example.test"))
	fmt.Println(results[0].Err, relay.Messages()[0].User)
	pool.Close(ctx)
	// Output:
	// AUTH SCRAM-SHA-256-PLUS [secret]
	// <nil> ada
}

// A relay that wants OAuth. The token source is called once for all connections that wait.
func ExampleAuth_token() {
	relay := (&smtptest.Server{Tokens: map[string]string{"ada@example.test": "ya29.token"}}).Start()
	defer relay.Close()

	pool := &smtp.Pool{Dial: relay.Dial}
	to := &smtp.Server{Host: "mx.example.test", Port: 587, TLS: relay.TLSClient(), Auth: &smtp.Auth{
		Username: "ada@example.test",
		Token: func(ctx context.Context) (string, time.Time, error) {
			fmt.Println("fetching a token")
			return "ya29.token", time.Now().Add(time.Hour), nil
		},
	}}
	for range 2 {
		results := pool.Deliver(context.Background(), to, envelope("ada@example.test", "Subject: hi\r\n\r\nhi\r\n", "bob@example.test"))
		fmt.Println(results[0].Err)
	}
	pool.Close(context.Background())
	// Output:
	// fetching a token
	// <nil>
	// <nil>
}

// Mail goes out from one address, or through a proxy.
func ExampleDialer() {
	server := (&smtptest.Server{Extensions: []string{}}).Start()
	defer server.Close()

	from := &smtp.Dialer{Source: []netip.Addr{netip.MustParseAddr("127.0.0.2")}}
	pool := &smtp.Pool{Dial: from.Dial}
	to := &smtp.Server{Host: "127.0.0.1", Port: server.Port(), Security: smtp.Plaintext}
	results := pool.Deliver(context.Background(), to, envelope("ada@example.test", "Subject: hi\r\n\r\nhi\r\n", "bob@example.test"))
	fmt.Println(results[0].Err, server.Messages()[0].Remote.String()[:9])
	pool.Close(context.Background())

	through := &smtp.Dialer{Proxy: &url.URL{Scheme: "socks5", Host: "127.0.0.1:1", User: url.UserPassword("me", "secret")}}
	_, err := through.Dial(context.Background(), "tcp", "mx.example.test:25")
	fmt.Println(err)
	// Output:
	// <nil> 127.0.0.2
	// socks connect tcp 127.0.0.1:1->mx.example.test:25: dial tcp 127.0.0.1:1: connect: connection refused
}
