// Quickstart sends one mail over the whole path inside this process: it starts a receiving SMTP
// server and a DNS zone on loopback, makes a DKIM key, sends a message with text, HTML, an inline image
// and an attachment, and shows what happened step by step. It needs nothing but Go.
package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/postrider/postrider"
	"github.com/postrider/postrider/dkim"
	"github.com/postrider/postrider/mx"
	"github.com/postrider/postrider/smtp"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, w io.Writer) error {
	key, err := dkim.GenerateKey(2048)
	if err != nil {
		return err
	}
	world, err := startWorld(key)
	if err != nil {
		return err
	}
	defer world.close()

	// This is what a program needs. On the Internet, Router and TLS can be left out.
	direct := &postrider.Direct{
		Hello: "mail.example.com",
		Router: &mx.Router{
			Resolver: &mx.DNS{Servers: []string{world.dns.Addr}},
			Port:     world.mail.Port(),
			Allow:    []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		},
	}
	client := &postrider.Client{
		Transport: direct,
		Signer:    &dkim.Signer{Keys: []dkim.Key{{Domain: "example.com", Selector: "q1", Signer: key}}},
	}
	defer client.Close(ctx)

	step(w, "The route to example.org")
	route, err := direct.Router.Route(ctx, "example.org")
	if err != nil {
		return err
	}
	fmt.Fprintln(w, route)

	step(w, "The dialogue")
	receipt, err := client.Send(smtp.WithTrace(ctx, smtp.NewTranscript(w).Trace()), report())
	if err != nil {
		return err
	}

	step(w, "The receipt")
	for _, r := range receipt.Results {
		fmt.Fprintf(w, "%s: %s by %s in %s: %s\n", r.Recipient, postrider.Classify(r).Fate, r.Host, r.Duration.Round(time.Millisecond), r.Reply)
	}
	return showArrived(ctx, w, world)
}

func step(w io.Writer, title string) {
	fmt.Fprintf(w, "\n%s\n%s\n", title, strings.Repeat("-", len(title)))
}

func report() *postrider.Message {
	logo := postrider.Bytes("logo.png", logoPNG)
	logo.Inline, logo.ContentID = true, "logo@example.com"
	return &postrider.Message{
		From:    postrider.Addr("Ada Lovelace", "ada@example.com"),
		To:      []postrider.Address{postrider.Addr("Bob", "bob@example.org")},
		Cc:      []postrider.Address{postrider.Addr("", "carol@example.org")},
		Subject: "Grüße aus dem Quickstart",
		Text:    "Hello Bob,\n\nthe report is attached.\n",
		HTML:    `<p>Hello <b>Bob</b>,</p><p>the report is attached.</p><img alt="logo" src="cid:logo@example.com">`,
		Attachments: []postrider.Attachment{
			logo,
			postrider.Bytes("Übersicht 2026.csv", []byte("month;mails\r\n1;1200\r\n2;1350\r\n")),
		},
	}
}
