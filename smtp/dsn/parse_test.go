package dsn_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/postrider/postrider/smtp/dsn"
)

func parseFile(t *testing.T, name string) *dsn.Report {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := dsn.Parse(f)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return r
}

// TestParseBounces reads what servers really send, and what they should not.
func TestParseBounces(t *testing.T) {
	for _, test := range []struct {
		file, mta, returned string
		want                []string // address, original, action, status, remote, diagnostic
	}{
		{"postfix-delivered.eml", "mx1.example.test", "<orig-1@example.test>", []string{
			"t-smtpkit-b@postfix.example.test orig+x@example.test delivered 2.0.0  delivery via maildir: delivered via maildir service"}},
		{"postfix-failed-utf8.eml", "mx1.example.test", "<orig-2@example.test>", []string{
			"x@nowhere.invalid x@nowhere.invalid failed 5.7.1  the lab relays nowhere"}},
		{"exim-delivered.eml", "mx2.example.test", "<orig-1@example.test>", []string{
			"t-smtpkit-b@exim.example.test orig+2Bx@example.test delivered 2.0.0  relayed via non SMTP router"}},
		{"exim-failed.eml", "mx2.example.test", "<orig-2@example.test>", []string{
			"y@nowhere.invalid  failed 5.0.0  ", "x@nowhere.invalid  failed 5.0.0  "}},
		{"gmail-failed.eml", "googlemail.example", "<orig-3@example.com>", []string{
			"nobody@example.org  failed 5.1.1 mx.example.org. (192.0.2.7, the server for the domain example.org.) " +
				"550-5.1.1 The email account that you tried to reach does not exist. Please try 550-5.1.1 double-checking the recipient's email address. 550 5.1.1 xyz - gsmtp"}},
		{"exchange-delayed.eml", "exchange.example.org", "<orig-4@example.com>", []string{"bob@example.org  delayed 4.4.7  "}},
		{"qmail-failed.eml", "", "<orig-5@example.com>", []string{
			"bob@example.org  failed 5.1.1  192.0.2.1 does not like recipient. Remote host said: 550 5.1.1 no such user here Giving up on 192.0.2.1.",
			"carol@example.net  failed 5.0.0  This address no longer accepts mail."}},
		{"exim-old.eml", "", "<orig-6@example.com>", []string{"bob@example.org  failed 5.0.0  ", "carol@example.org  failed 5.0.0  "}},
		{"sloppy.eml", "mx.example.org", "", []string{
			"bob@example.org  failed 5.2.2  552 5.2.2 mailbox full",
			"carol@example.org carol@example.org delayed 4.0.0  451 try later",
			"jürgen@example.org  failed 5.0.0  ",
			"dave@example.org  delivered 2.1.5  "}},
	} {
		r := parseFile(t, test.file)
		var got []string
		for _, f := range r.Recipients {
			got = append(got, fmt.Sprintf("%s %s %s %s %s %s", f.Address, f.Original, f.Action, f.Status, f.RemoteMTA, f.Diagnostic))
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s:\n got %q\nwant %q", test.file, got, test.want)
		}
		if r.ReportingMTA != test.mta || r.ReturnedField("message-id") != test.returned {
			t.Errorf("%s: by %q about %q", test.file, r.ReportingMTA, r.ReturnedField("message-id"))
		}
		if guess := test.mta == ""; r.Guessed != guess {
			t.Errorf("%s: guessed %v", test.file, r.Guessed)
		}
		if r.Text == "" || r.To == "" {
			t.Errorf("%s: text %q to %q", test.file, r.Text, r.To)
		}
	}
}

func TestParseDetails(t *testing.T) {
	r := parseFile(t, "postfix-failed-utf8.eml")
	if r.EnvelopeID != "env+3" || r.From != "MAILER-DAEMON@mx1.example.test" || r.ArrivalDate.IsZero() || r.HeadersOnly ||
		r.ReturnedField("subject") != "Grüße" || !strings.HasPrefix(r.Text, "This is the mail system at host mx1.example.test.\n\nI'm sorry") {
		t.Errorf("%+v", r)
	}
	if r := parseFile(t, "exchange-delayed.eml"); r.Recipients[0].WillRetryUntil.IsZero() || !r.HeadersOnly {
		t.Errorf("%+v", r)
	}
}

func TestParseComplaint(t *testing.T) {
	r := parseFile(t, "complaint.eml")
	c := r.Complaint
	if c == nil || c.Type != "abuse" || c.UserAgent != "SomeGenerator/1.0" || c.MailFrom != "somespammer@example.net" ||
		!slices.Equal(c.RcptTo, []string{"user@example.com", "user2@example.com"}) || c.SourceIP.String() != "192.0.2.1" ||
		c.Incidents != 3 || !slices.Equal(c.Domains, []string{"example.net"}) || len(c.URIs) != 2 ||
		c.AuthenticationResults != "mail.example.com; spf=fail smtp.mail=somespammer@example.com" {
		t.Errorf("%+v", c)
	}
	if r.ReportingMTA != "mail.example.com" || r.ReturnedField("Subject") != "Earn money" || len(r.Recipients) != 0 || r.Guessed {
		t.Errorf("%+v", r)
	}
}

func TestParseNoReport(t *testing.T) {
	f, err := os.Open("testdata/person.eml")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if r, err := dsn.Parse(f); !errors.Is(err, dsn.ErrNoReport) {
		t.Errorf("a forwarded bounce: %v, %v", r, err)
	}
	for _, text := range []string{"", "x", "\r\n", "Subject: out of office\r\n\r\nI am away", "Content-Type: multipart/report; boundary=b\r\n\r\n--b--\r\n"} {
		if r, err := dsn.Parse(strings.NewReader(text)); err == nil {
			t.Errorf("%q: %v", text, r)
		}
	}
}

// TestParseHostile feeds what is made to exhaust or to mislead.
func TestParseHostile(t *testing.T) {
	const head = "Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n"
	many := head + strings.Repeat("Final-Recipient: rfc822; a@b\r\n\r\n", 50000)
	nested := strings.Repeat("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n", 5000)
	for name, text := range map[string]string{
		"many recipients": many,
		"one long value":  head + "Diagnostic-Code: smtp; " + strings.Repeat("x", 5<<20) + "\r\nFinal-Recipient: rfc822; a@b\r\n",
		"folded for ever": head + "Final-Recipient: rfc822; a@b\r\nDiagnostic-Code: smtp; 550\r\n" + strings.Repeat(" x\r\n", 200000),
		"nested":          nested,
		"many parts":      "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("--b\r\n\r\nx\r\n", 100000),
		"controls":        head + "Final-Recipient: rfc822; a\x1b[31m@b\x00\xff\r\nDiagnostic-Code: smtp; \x1b]0;x\x07\xe2\x80\xa8\r\n",
		"huge header":     strings.Repeat("X: y\r\n", 1<<18) + "\r\n",
	} {
		r, err := dsn.Parse(strings.NewReader(text))
		if err != nil {
			continue
		}
		if len(r.Recipients) > 10000 {
			t.Errorf("%s: %d recipients", name, len(r.Recipients))
		}
		for _, f := range r.Recipients {
			if len(f.Diagnostic) > 2000 || len(f.Address) > 400 || strings.ContainsFunc(f.Address+f.Diagnostic, func(c rune) bool { return c < ' ' || c == 0x2028 }) {
				t.Errorf("%s: %.100q %.100q", name, f.Address, f.Diagnostic)
				break
			}
		}
	}
}
