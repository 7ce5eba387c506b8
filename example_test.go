package postrider_test

import (
	"context"
	"log"

	"github.com/postrider/postrider"
)

// What README shows. It is compiled and not run, for there is no such relay.
func Example() {
	client, err := postrider.Open("smtp://user:password@relay.example.com:587")
	if err != nil {
		log.Fatal(err)
	}
	receipt, err := client.Send(context.Background(), &postrider.Message{
		From:        postrider.Addr("Ada Lovelace", "ada@example.com"),
		To:          []postrider.Address{postrider.Addr("", "bob@example.org")},
		Subject:     "Grüße",
		Text:        "The report is attached.",
		HTML:        "<p>The <b>report</b> is attached.</p>",
		Attachments: []postrider.Attachment{postrider.File("report.pdf")},
	})
	if err != nil {
		log.Fatal(err) // says which recipient, which phase, and whether to try again
	}
	log.Print("accepted: ", receipt.MessageID)
}
