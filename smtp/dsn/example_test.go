package dsn_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/postrider/postrider/smtp"
	"github.com/postrider/postrider/smtp/dsn"
)

// A delivery has failed for good; its sender is told, unless it must not be.
func ExampleReport() {
	sent := &smtp.Envelope{From: "ada@example.com", To: smtp.Addresses("bob@example.org")}
	result := smtp.Result{
		Recipient: "bob@example.org", Host: "mx.example.org", Phase: smtp.PhaseRcpt,
		Reply: smtp.Reply{Code: 550, Enhanced: smtp.EnhancedCode{5, 1, 1}, Text: "no such user"},
		Err:   errors.New("refused"),
	}
	message := strings.NewReader("Message-ID: <1@example.com>\r\nSubject: lunch\r\n\r\nToday?\r\n")

	if !dsn.Wanted(sent.From, sent.To[0].Notify, dsn.Failed) {
		return
	}
	report := &dsn.Report{To: sent.From, ReportingMTA: "mail.example.com", Recipients: []dsn.Recipient{dsn.FromResult(result)}}
	if err := report.Return(message, 10<<10); err != nil {
		fmt.Println(err)
		return
	}
	envelope, err := report.Envelope()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("from <%s> to <%s>\n", envelope.From, envelope.To[0].Address)
	fmt.Println(report)
	// Output:
	// from <> to <ada@example.com>
	// bob@example.org failed 5.1.1
}

// Mail has come to the address that bounces go to.
func ExampleParse() {
	mail := strings.ReplaceAll(`From: MAILER-DAEMON@mx.example.org
To: bounces@example.com
Content-Type: multipart/report; report-type=delivery-status; boundary=b

--b
Content-Type: text/plain

Sorry.
--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.org

Final-Recipient: rfc822; bob@example.org
Action: failed
Status: 5.2.2
Diagnostic-Code: smtp; 552 5.2.2 mailbox full
--b
Content-Type: text/rfc822-headers

Message-ID: <1@example.com>
--b--
`, "\n", "\r\n")
	report, err := dsn.Parse(strings.NewReader(mail))
	if errors.Is(err, dsn.ErrNoReport) {
		return // a person, or an automatic reply
	}
	for _, r := range report.Recipients {
		fmt.Println(report.ReturnedField("Message-ID"), r.Address, r.Action, r.Status, r.Diagnostic)
	}
	// Output: <1@example.com> bob@example.org failed 5.2.2 552 5.2.2 mailbox full
}

// A provider says that somebody pressed "this is spam".
func ExampleComplaint() {
	report := &dsn.Report{
		To: "abuse@example.com", ReportingMTA: "mx.example.org",
		Complaint: &dsn.Complaint{Type: "abuse", UserAgent: "Example/1.0", RcptTo: []string{"bob@example.org"}},
		Returned:  []byte("Message-ID: <1@example.com>\r\n\r\n"), HeadersOnly: true,
	}
	var mail bytes.Buffer
	if _, err := report.WriteTo(&mail); err != nil {
		fmt.Println(err)
		return
	}
	back, err := dsn.Parse(&mail)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(back.Complaint.Type, back.Complaint.RcptTo, back.ReturnedField("Message-ID"))
	// Output: abuse [bob@example.org] <1@example.com>
}

// What a result says about a recipient, in the words of a report.
func ExampleRecipient() {
	r := dsn.FromResult(smtp.Result{Recipient: "bob@example.org", Err: smtp.ErrUnsure, Host: "mx.example.org"})
	fmt.Println(r.Address, r.Action, r.RemoteMTA)
	// Output: bob@example.org failed mx.example.org
}

// An action goes with the class of its status code.
func ExampleAction() {
	fmt.Println(dsn.Wanted("ada@example.com", 0, dsn.Delayed), dsn.Wanted("ada@example.com", 0, dsn.Delivered), dsn.Wanted("", 0, dsn.Failed))
	// Output: true false false
}
