package tlsrpt

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Report is one day's report about one domain (RFC 8460 s. 4.4). Its JSON is the one of the RFC.
type Report struct {
	Organization string          `json:"organization-name"`
	Dates        DateRange       `json:"date-range"`
	Contact      string          `json:"contact-info"`
	ID           string          `json:"report-id"`
	Policies     []*PolicyResult `json:"policies"`

	// Domain is whom the report is about, and goes to.
	Domain string `json:"-"`
}

// DateRange is the time that a report covers: a day in UTC.
type DateRange struct {
	Start time.Time `json:"start-datetime"`
	End   time.Time `json:"end-datetime"`
}

// PolicyResult is what happened under one policy.
type PolicyResult struct {
	Policy   AppliedPolicy `json:"policy"`
	Summary  Summary       `json:"summary"`
	Failures []*Failure    `json:"failure-details,omitempty"`
}

// AppliedPolicy is a policy of the reported domain. Type is "tlsa", "sts" or "no-policy-found".
type AppliedPolicy struct {
	Type   string   `json:"policy-type"`
	Text   []string `json:"policy-string,omitempty"`
	Domain string   `json:"policy-domain"`
	MX     []string `json:"mx-host,omitempty"`
}

// Summary counts sessions.
type Summary struct {
	Successful int64 `json:"total-successful-session-count"`
	Failed     int64 `json:"total-failure-session-count"`
}

// Failure counts failures of one kind at one server.
type Failure struct {
	Type        string `json:"result-type"`
	SendingIP   string `json:"sending-mta-ip,omitempty"`
	Host        string `json:"receiving-mx-hostname,omitempty"`
	Hello       string `json:"receiving-mx-helo,omitempty"`
	ReceivingIP string `json:"receiving-ip,omitempty"`
	Sessions    int64  `json:"failed-session-count"`
	Reason      string `json:"failure-reason-code,omitempty"`
}

// submitter is the domain of the contact, which names the sender everywhere in a report (RFC 8460
// s. 5.1, 5.3).
func (r *Report) submitter() string { return r.Contact[strings.LastIndexByte(r.Contact, '@')+1:] }

// Filename is the name that the RFC recommends (s. 5.1).
func (r *Report) Filename() string {
	return fmt.Sprintf("%s!%s!%d!%d.json.gz", r.submitter(), r.Domain, r.Dates.Start.Unix(), r.Dates.End.Unix())
}

// Gzip returns the report as compressed JSON, the body of "application/tlsrpt+gzip".
func (r *Report) Gzip() ([]byte, error) {
	text, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err = z.Write(text); err == nil {
		err = z.Close()
	}
	return b.Bytes(), err
}
