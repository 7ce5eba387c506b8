package dmarc

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Policy is what a domain wants done with mail that fails.
type Policy string

// The policies. The zero value means that there is none.
const (
	None       Policy = "none"
	Quarantine Policy = "quarantine"
	Reject     Policy = "reject"
)

// Record is a DMARC policy record (RFC 9989 s. 4.7).
type Record struct {
	// Policy is p. Where it is missing or malformed, or sp or np is malformed, it is None if the record
	// asks for aggregate reports, and otherwise empty: then the record does nothing (s. 4.10.1).
	Policy Policy
	// Subdomains (sp) is for existing subdomains, Nonexistent (np) for those that do not exist. Empty:
	// the former as Policy, the latter as the former.
	Subdomains, Nonexistent Policy
	// StrictDKIM (adkim=s) and StrictSPF (aspf=s) demand the same domain, not only the same organisation.
	StrictDKIM, StrictSPF bool
	// Testing (t=y) asks to apply the next weaker policy.
	Testing bool
	// PSD is "y" for a public suffix, "n" for an organisation's domain, "u" or empty where the tree walk
	// has to find out.
	PSD string
	// Aggregate (rua) and Failure (ruf) are the URIs that want reports, without an obsolete "!size".
	Aggregate, Failure []string
	// FailureOptions is fo. Empty: "0".
	FailureOptions string
}

// maxRecord bounds the work of parsing.
const maxRecord = 8 << 10

// ErrNoRecord says that a text is no DMARC record: it does not begin with "v=DMARC1".
var ErrNoRecord = errors.New("dmarc: not a record of version DMARC1")

// ParseRecord reads the text of a TXT record, its strings joined. Unknown tags are ignored, and so is all
// that is malformed (RFC 9989 s. 4.8): the one error is ErrNoRecord.
func ParseRecord(text string) (Record, error) {
	parts := strings.Split(text[:min(len(text), maxRecord)], ";")
	if name, value := tag(parts[0]); name != "v" || value != "DMARC1" {
		return Record{}, ErrNoRecord
	}
	var r Record
	bad, seen := false, map[string]bool{}
	for _, part := range parts[1:] {
		name, value := tag(part)
		if seen[name] {
			continue // the first one counts
		}
		seen[name] = true
		ok := true
		switch name {
		case "p":
			r.Policy, ok = policy(value)
		case "sp":
			r.Subdomains, ok = policy(value)
		case "np":
			r.Nonexistent, ok = policy(value)
		case "adkim":
			r.StrictDKIM = strings.EqualFold(value, "s")
		case "aspf":
			r.StrictSPF = strings.EqualFold(value, "s")
		case "t":
			r.Testing = strings.EqualFold(value, "y")
		case "psd":
			if v := strings.ToLower(value); v == "y" || v == "n" || v == "u" {
				r.PSD = v
			}
		case "rua":
			r.Aggregate = uris(value)
		case "ruf":
			r.Failure = uris(value)
		case "fo":
			r.FailureOptions = failureOptions(value)
		}
		bad = bad || !ok
	}
	if bad || r.Policy == "" {
		r.Policy, r.Subdomains, r.Nonexistent = "", "", ""
		if len(r.Aggregate) > 0 {
			r.Policy = None
		}
	}
	return r, nil
}

// tag returns the name and value of a tag, with no white space around.
func tag(s string) (name, value string) {
	const space = " \t\r\n"
	name, value, _ = strings.Cut(s, "=")
	return strings.ToLower(strings.Trim(name, space)), strings.Trim(value, space)
}

func policy(s string) (Policy, bool) {
	switch p := Policy(strings.ToLower(s)); p {
	case None, Quarantine, Reject:
		return p, true
	}
	return "", false
}

// uris reads a list of URIs and drops what is none.
func uris(s string) []string {
	var list []string
	for u := range strings.SplitSeq(s, ",") {
		u, _, _ = strings.Cut(strings.Trim(u, " \t\r\n"), "!") // obs-dmarc-report-size
		if p, err := url.Parse(u); err == nil && p.Scheme != "" && (p.Opaque != "" || p.Host != "") && len(list) < 20 {
			list = append(list, u)
		}
	}
	return list
}

func failureOptions(s string) string {
	s = strings.ToLower(s)
	for o := range strings.SplitSeq(s, ":") {
		if o = strings.Trim(o, " \t"); o != "0" && o != "1" && o != "d" && o != "s" {
			return ""
		}
	}
	return s
}

// String returns the text to publish. p follows v, for readers as old as RFC 7489 want it there.
func (r Record) String() string {
	var b strings.Builder
	b.WriteString("v=DMARC1")
	put := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "; %s=%s", name, value)
		}
	}
	flag := func(name string, on bool, value string) {
		if on {
			put(name, value)
		}
	}
	put("p", string(r.Policy))
	put("sp", string(r.Subdomains))
	put("np", string(r.Nonexistent))
	flag("adkim", r.StrictDKIM, "s")
	flag("aspf", r.StrictSPF, "s")
	flag("t", r.Testing, "y")
	put("psd", r.PSD)
	put("rua", strings.Join(r.Aggregate, ","))
	put("ruf", strings.Join(r.Failure, ","))
	put("fo", r.FailureOptions)
	return b.String()
}
