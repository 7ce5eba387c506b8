package postrider_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/mail"
	"net/netip"
	"os"
	"strings"
	"testing/fstest"

	"github.com/postrider/postrider"
	"github.com/postrider/postrider/dkim"
	"github.com/postrider/postrider/mx"
	"github.com/postrider/postrider/mx/mxtest"
	"github.com/postrider/postrider/smtp"
	"github.com/postrider/postrider/smtp/smtptest"
)

// A message with everything that most mail needs. It is kept by a Record here instead of being sent.
func ExampleClient_Send() {
	record := &postrider.Record{}
	client := &postrider.Client{Transport: record}

	logo := postrider.Bytes("logo.png", []byte("\x89PNG..."))
	logo.Inline = true
	files := fstest.MapFS{"report.pdf": {Data: []byte("%PDF...")}}
	receipt, err := client.Send(context.Background(), &postrider.Message{
		From:        postrider.Address{Name: "Ada Lovelace", Address: "ada@example.com"},
		To:          []postrider.Address{postrider.Addr("Bob", "bob@example.org")},
		Bcc:         []postrider.Address{postrider.Addr("", "archive@example.com")},
		Subject:     "Your report",
		Text:        "Hello Bob, the report is attached.",
		HTML:        `<p>Hello Bob, the report is attached.</p><img src="cid:logo.png" alt="Example Ltd">`,
		Attachments: []postrider.Attachment{logo, postrider.FileFS(files, "report.pdf")},
		Header:      postrider.Header{postrider.Field{Name: "X-Campaign", Value: "reports"}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, r := range receipt.Results {
		fmt.Println(r.Recipient, postrider.Classify(r).Fate)
	}
	// Output:
	// bob@example.org delivered
	// archive@example.com delivered
}

// What to do about an error.
func ExampleError() {
	srv := (&smtptest.Server{Refuse: map[string]string{"nobody@example.org": "550 5.1.1 no such user"}}).Start()
	defer srv.Close()
	client, err := postrider.Open("smtp://" + srv.Addr() + "?tls=none")
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = client.Send(context.Background(), &postrider.Message{
		From: postrider.Addr("", "ada@example.com"),
		To:   []postrider.Address{postrider.Addr("", "bob@example.org"), postrider.Addr("", "nobody@example.org")},
		Text: "Hello.",
	})
	fmt.Println("try again later:", errors.Is(err, postrider.ErrTemporary))
	fmt.Println("some were accepted:", errors.Is(err, postrider.ErrPartial))
	fmt.Println("may have been accepted:", errors.Is(err, smtp.ErrUnsure))
	var all *postrider.Error
	if errors.As(err, &all) {
		for _, r := range all.Results {
			fmt.Println(r.Recipient, postrider.Classify(r).Fate, r.Phase, r.Reply)
		}
	}
	// Output:
	// try again later: false
	// some were accepted: true
	// may have been accepted: false
	// bob@example.org delivered final 250 2.0.0 accepted
	// nobody@example.org permanent rcpt 550 5.1.1 no such user
}

// Direct delivery: the zone stands for the DNS, the server for the recipient's mail host.
func ExampleDirect() {
	srv := (&smtptest.Server{Name: "mx.example.org"}).Start()
	defer srv.Close()
	zone := mxtest.MustParse(`
		example.org.    MX 10 mx.example.org.
		mx.example.org. A  127.0.0.1
	`)
	client := &postrider.Client{Transport: &postrider.Direct{
		Hello: "mail.example.com",
		// On the Internet the Router can be left out.
		Router: &mx.Router{Resolver: zone, Port: srv.Port(), Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
	}}
	defer client.Close(context.Background())
	receipt, err := client.Send(context.Background(), &postrider.Message{
		From: postrider.Addr("", "ada@example.com"),
		To:   []postrider.Address{postrider.Addr("", "bob@example.org")},
		Text: "Hello.",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	r := receipt.Results[0]
	fmt.Println(r.Host, "with TLS:", r.TLS != nil)
	// Output: mx.example.org with TLS: true
}

// A relay that asks for a login over STARTTLS.
func ExampleRelay() {
	srv := (&smtptest.Server{Name: "127.0.0.1", Users: map[string]string{"ada": "secret"}, AuthRequired: true}).Start()
	defer srv.Close()
	client := &postrider.Client{Transport: &postrider.Relay{
		Host: "127.0.0.1",
		Port: srv.Port(),
		TLS:  srv.TLSClient(), // left out where the system trusts the relay's certificate
		Auth: &smtp.Auth{Username: "ada", Password: "secret"},
	}}
	defer client.Close(context.Background())
	_, err := client.Send(context.Background(), &postrider.Message{
		From: postrider.Addr("", "ada@example.com"),
		To:   []postrider.Address{postrider.Addr("", "bob@example.org")},
		Text: "Hello.",
	})
	fmt.Println(err, srv.Messages()[0].To)
	// Output: <nil> [bob@example.org]
}

func ExampleOpen() {
	client, err := postrider.Open("failover(smtps://user:p%40ss@relay.example.com smtp://backup.example.com:587)")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, t := range client.Transport.(postrider.Failover) {
		fmt.Println(t)
	}
	_, err = postrider.Open("smtp://relay.example.com?tsl=none")
	fmt.Println(err)
	// Output:
	// relay.example.com:465
	// backup.example.com:587
	// postrider: open: smtp: unknown parameter "tsl"
}

// Both transports get every second mail; one that fails leaves its mail to the other.
func ExampleRoundRobin() {
	a, b := &postrider.Record{}, &postrider.Record{}
	client := &postrider.Client{Transport: &postrider.RoundRobin{Transports: []postrider.Transport{a, b}}}
	for range 4 {
		_, err := client.Send(context.Background(), &postrider.Message{
			From: postrider.Addr("", "ada@example.com"), To: []postrider.Address{postrider.Addr("", "bob@example.org")}, Text: "Hello.",
		})
		if err != nil {
			fmt.Println(err)
		}
	}
	fmt.Println(len(a.Mail()), len(b.Mail()))
	// Output: 2 2
}

// A test of a program that sends mail.
func ExampleRecord() {
	record := &postrider.Record{}
	welcome(&postrider.Client{Transport: record}, "bob@example.org")

	var sent postrider.Recorded = record.Mail()[0]
	header, err := sent.Header()
	fmt.Println(sent.Envelope.To[0].Address, header.Get("Subject"), err)
	// Output: bob@example.org Welcome <nil>
}

func welcome(client *postrider.Client, address string) {
	client.Send(context.Background(), &postrider.Message{
		From: postrider.Addr("", "ada@example.com"), To: []postrider.Address{postrider.Addr("", address)}, Subject: "Welcome", Text: "Hello.",
	})
}

// A transport of one's own: anything with this one method.
func ExampleTransport() {
	var printer postrider.Transport = transportFunc(func(e *smtp.Envelope) (results []smtp.Result) {
		for _, to := range e.To {
			fmt.Println("for", to.Address)
			results = append(results, smtp.Result{Recipient: to.Address})
		}
		return results
	})
	_, err := (&postrider.Client{Transport: printer}).Send(context.Background(), hello("bob@example.org"))
	fmt.Println(err)
	// Output:
	// for bob@example.org
	// <nil>
}

// A finished message, as from a file, is signed and sent as it is.
func ExampleClient_SendRaw() {
	record := &postrider.Record{}
	client := &postrider.Client{Transport: record}
	message := "From: ada@example.com\nDate: Mon, 23 Nov 2026 10:00:00 +0100\nMessage-ID: <1@example.com>\nBcc: bob@example.org\n\nHello.\n"
	_, err := client.SendRaw(context.Background(), "bounces@example.com", []string{"bob@example.org"}, strings.NewReader(message))
	fmt.Println(err)
	fmt.Print(strings.ReplaceAll(string(record.Mail()[0].Message), "\r\n", "\n"))
	// Output:
	// <nil>
	// From: ada@example.com
	// Date: Mon, 23 Nov 2026 10:00:00 +0100
	// Message-ID: <1@example.com>
	//
	// Hello.
}

// A signer with one key. Publish Record before the first mail.
func ExampleSigner() {
	key, err := dkim.GenerateKey(2048)
	if err != nil {
		fmt.Println(err)
		return
	}
	var signer postrider.Signer = &dkim.Signer{Keys: []dkim.Key{{Domain: "example.com", Selector: "2026a", Signer: key}}}
	record := &postrider.Record{}
	_, err = (&postrider.Client{Transport: record, Signer: signer}).Send(context.Background(), hello("bob@example.org"))
	header, _ := record.Mail()[0].Header()
	fmt.Println(err, strings.Contains(header.Get("Dkim-Signature"), "d=example.com; s=2026a"))
	// Output: <nil> true
}

// A filter that keeps mail from going to addresses that do not want it.
func ExampleFilter() {
	suppressed := map[string]bool{"gone@example.org": true}
	var filter postrider.Filter = func(_ context.Context, m *postrider.Message) error {
		var keep []postrider.Address
		for _, a := range m.To {
			if !suppressed[a.Address] {
				keep = append(keep, a)
			}
		}
		m.To = keep
		return nil
	}
	record := &postrider.Record{}
	client := &postrider.Client{Transport: record, Filters: []postrider.Filter{filter}}
	_, err := client.Send(context.Background(), hello("gone@example.org", "bob@example.org"))
	fmt.Println(err, len(record.Mail()[0].Envelope.To))
	// Output: <nil> 1
}

// printer is a Sink.
type printer struct{}

func (printer) Record(_ context.Context, events ...postrider.Event) error {
	for _, e := range events {
		fmt.Println(e.Type, e.Recipient, e.Status)
	}
	return nil
}

func ExampleSink() {
	var events postrider.Sink = printer{}
	client := &postrider.Client{Transport: &postrider.Record{}, Events: events}
	_, err := client.Send(context.Background(), hello("bob@example.org"))
	fmt.Println(err)
	// Output:
	// delivered bob@example.org 2.0.0
	// <nil>
}

func ExampleEvent() {
	var kind postrider.EventType = postrider.EventBounced
	e := postrider.Event{Type: kind, Recipient: "bob@example.org", Status: "5.1.1", Reason: "550 5.1.1 no such user"}
	fmt.Println(e.Type, e.Recipient, e.Reason)
	// Output: bounced bob@example.org 550 5.1.1 no such user
}

func ExampleClassify() {
	reply := smtp.Reply{Code: 450, Enhanced: smtp.EnhancedCode{4, 7, 1}, Text: "greylisted"}
	var v postrider.Verdict = postrider.Classify(smtp.Result{Phase: smtp.PhaseRcpt, Reply: reply, Err: &smtp.ReplyError{Phase: smtp.PhaseRcpt, Reply: reply}})
	fmt.Println(v.Fate, v.Status, v.Fate == postrider.FateTemporary)
	// Output: temporary 4.7.1 true
}

func ExampleReceipt() {
	client := &postrider.Client{Transport: &postrider.Record{}}
	m := hello("bob@example.org")
	m.MessageID = "order-42@example.com"
	var receipt *postrider.Receipt
	receipt, err := client.Send(context.Background(), m)
	fmt.Println(receipt.MessageID, len(receipt.Results), err)
	// Output: order-42@example.com 1 <nil>
}

// Mail to a list: readers leave it with one click, and a queue lets other mail pass it.
func ExampleUnsubscribe() {
	m := hello("bob@example.org")
	m.Priority = postrider.Priority(postrider.PriorityBulk)
	m.Unsubscribe = &postrider.Unsubscribe{URL: "https://example.com/u/8f2d", Mailto: "leave@example.com"}
	var b bytes.Buffer
	if _, err := m.WriteTo(&b); err != nil {
		fmt.Println(err)
		return
	}
	parsed, err := mail.ReadMessage(&b)
	fmt.Println(parsed.Header.Get("List-Unsubscribe"), err)
	fmt.Println(parsed.Header.Get("List-Unsubscribe-Post"))
	// Output:
	// <https://example.com/u/8f2d>, <mailto:leave@example.com> <nil>
	// List-Unsubscribe=One-Click
}

// An invitation that calendars understand.
func ExamplePart() {
	m := hello("bob@example.org")
	m.Alternatives = []postrider.Part{{
		ContentType: "text/calendar; method=REQUEST",
		Content:     "BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nEND:VCALENDAR\r\n",
	}}
	var b bytes.Buffer
	_, err := m.WriteTo(&b)
	fmt.Println(strings.Contains(b.String(), "Content-Type: text/calendar"), err)
	// Output: true <nil>
}

// An attachment from any source that can be opened again.
func ExampleAttachment() {
	m := hello("bob@example.org")
	m.Attachments = []postrider.Attachment{{
		Name: "numbers.csv",
		Size: -1, // not known before it is read
		Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("a;b\n1;2\n")), nil },
	}}
	n, err := m.WriteTo(io.Discard)
	fmt.Println(n > 0, err)
	// Output: true <nil>
}

func ExampleParseMessage() {
	eml := "From: Ada <ada@example.com>\r\nTo: bob@example.org\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\r\nHello.\r\n"
	m, err := postrider.ParseMessage(strings.NewReader(eml))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(m.From.Name, m.Subject, strings.TrimSpace(m.Text))
	// Output: Ada Grüße Hello.
}

func ExamplePlainText() {
	fmt.Print(postrider.PlainText(`<h1>News</h1><ul><li>one<li><a href="https://example.com/2">two</a></ul>`))
	// Output:
	// News
	//
	// - one
	// - two (https://example.com/2)
}

func ExampleFinding() {
	for _, f := range []postrider.Finding{{Rule: "text-missing", Severity: postrider.SeverityNotice, Evidence: "there is HTML and no Text"}} {
		var s postrider.Severity = f.Severity
		fmt.Fprintln(os.Stdout, s, f.Rule)
	}
	// Output: notice text-missing
}
