// Relay sends one message through a relay that is given by environment variables:
//
//	RELAY_HOST      the server, such as smtp.example.com
//	RELAY_PORT      587 unless set; 465 means implicit TLS
//	RELAY_USER      the login; unset: no login
//	RELAY_PASSWORD
//	MAIL_FROM       the author's address
//	MAIL_TO         the recipients' addresses, separated by commas
//
// TLS is required and the certificate verified, always.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/mail"
	"os"
	"os/signal"
	"strconv"

	"github.com/postrider/postrider"
	"github.com/postrider/postrider/smtp"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "relay:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	relay, err := relayFromEnvironment()
	if err != nil {
		return err
	}
	from, err := mail.ParseAddress(os.Getenv("MAIL_FROM"))
	if err != nil {
		return fmt.Errorf("MAIL_FROM: %w", err)
	}
	list, err := mail.ParseAddressList(os.Getenv("MAIL_TO"))
	if err != nil {
		return fmt.Errorf("MAIL_TO: %w", err)
	}
	message := &postrider.Message{
		From:    *from,
		Subject: "It works",
		Text:    "This message came through the relay.\n",
		HTML:    "<p>This message came through the <b>relay</b>.</p>",
	}
	for _, to := range list {
		message.To = append(message.To, *to)
	}
	client := &postrider.Client{Transport: relay}
	defer client.Close(ctx)
	receipt, err := client.Send(ctx, message)
	if receipt == nil {
		return err
	}
	for _, r := range receipt.Results {
		fmt.Printf("%s: %s at %s: %s\n", r.Recipient, postrider.Classify(r).Fate, r.Host, r.Reply)
	}
	if errors.Is(err, postrider.ErrTemporary) {
		fmt.Println("Trying again later may succeed.")
	}
	return err
}

func relayFromEnvironment() (*postrider.Relay, error) {
	relay := &postrider.Relay{Host: os.Getenv("RELAY_HOST")}
	if relay.Host == "" {
		return nil, errors.New("RELAY_HOST is not set")
	}
	if s := os.Getenv("RELAY_PORT"); s != "" {
		port, err := strconv.ParseUint(s, 10, 16)
		if err != nil {
			return nil, fmt.Errorf("RELAY_PORT: %w", err)
		}
		relay.Port = uint16(port)
	}
	if relay.Port == 465 {
		relay.Security = smtp.ImplicitTLS
	}
	if user := os.Getenv("RELAY_USER"); user != "" {
		relay.Auth = &smtp.Auth{Username: user, Password: os.Getenv("RELAY_PASSWORD")}
	}
	return relay, nil
}
