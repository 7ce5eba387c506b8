package dsn

import (
	"net/netip"
	"strconv"
	"strings"
)

// maxComplaintList bounds the fields that may come many times.
const maxComplaintList = 100

// complaint reads a feedback report (RFC 5965 s. 3).
func (p *parser) complaint(block []byte) {
	c := &Complaint{Type: "other"}
	for _, group := range parseGroups(block, 10) {
		for _, f := range group {
			value := clean(f.value)
			switch strings.ToLower(f.name) {
			case "feedback-type":
				c.Type = strings.ToLower(value)
			case "user-agent":
				c.UserAgent = value
			case "original-mail-from":
				c.MailFrom = address(value)
			case "original-rcpt-to":
				c.RcptTo = appendSome(c.RcptTo, address(value))
			case "source-ip":
				c.SourceIP = sourceIP(value)
			case "reported-domain":
				c.Domains = appendSome(c.Domains, value)
			case "reported-uri":
				c.URIs = appendSome(c.URIs, value)
			case "authentication-results":
				c.AuthenticationResults = value
			case "incidents":
				c.Incidents, _ = strconv.Atoi(value)
			case "original-envelope-id":
				p.report.EnvelopeID = value
			case "reporting-mta":
				_, p.report.ReportingMTA = afterType(value)
			case "arrival-date", "received-date": // the latter in older reports
				p.report.ArrivalDate = date(value)
			}
		}
	}
	p.report.Complaint = c
}

func appendSome(list []string, value string) []string {
	if value == "" || len(list) == maxComplaintList {
		return list
	}
	return append(list, value)
}

// sourceIP reads an address that some put in brackets.
func sourceIP(value string) netip.Addr {
	a, _ := netip.ParseAddr(strings.TrimPrefix(strings.Trim(value, "[] "), "IPv6:"))
	return a
}
