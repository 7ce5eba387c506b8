package tlsrpt

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"time"
)

// Message returns the report as a mail from the contact to an address, with CRLF line ends, ready to
// be signed: RFC 8460 s. 3 wants a DKIM signature of the contact's domain that covers the
// TLS-Report fields. It is to be sent with the policies waived, for it may tell of a TLS that is
// broken (s. 5.3); the field TLS-Required says so to later hops.
func (r *Report) Message(to string) ([]byte, error) {
	body, err := r.Gzip()
	if err != nil {
		return nil, err
	}
	boundary := rand.Text()
	var b bytes.Buffer
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\r\n", args...) }
	line("From: <%s>", r.Contact)
	line("To: <%s>", to)
	line("Date: %s", time.Now().Format("Mon, 02 Jan 2006 15:04:05 -0700"))
	line("Message-ID: <%s@%s>", rand.Text(), r.submitter())
	line("Subject: Report Domain: %s\r\n Submitter: %s\r\n Report-ID: <%s>", r.Domain, r.submitter(), r.ID)
	line("TLS-Report-Domain: %s", r.Domain)
	line("TLS-Report-Submitter: %s", r.submitter())
	line("TLS-Required: No")
	line("Auto-Submitted: auto-generated")
	line("MIME-Version: 1.0")
	line("Content-Type: multipart/report; report-type=\"tlsrpt\";\r\n boundary=\"%s\"", boundary)
	line("")
	line("--%s\r\nContent-Type: text/plain; charset=us-ascii\r\nContent-Transfer-Encoding: 7bit\r\n", boundary)
	line("This is an aggregate TLS report from %s about", r.submitter())
	line("%s, for %s (UTC).", r.Domain, r.Dates.Start.Format(time.DateOnly))
	line("")
	line("--%s\r\nContent-Type: application/tlsrpt+gzip\r\nContent-Transfer-Encoding: base64", boundary)
	line("Content-Disposition: attachment;\r\n filename=\"%s\"\r\n", r.Filename())
	text := base64.StdEncoding.EncodeToString(body)
	for len(text) > 76 {
		line("%s", text[:76])
		text = text[76:]
	}
	line("%s\r\n--%s--", text, boundary)
	return b.Bytes(), nil
}
