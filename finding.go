package postrider

import "fmt"

// Finding is one thing that receivers dislike or refuse, in a message or in a sending identity.
type Finding struct {
	// Rule is the short name of the rule, such as "missing-text": it stays the same between versions.
	Rule string `json:"rule"`
	// Severity says how bad it is.
	Severity Severity `json:"severity"`
	// By names who demands it: "Gmail", "RFC 8058".
	By []string `json:"by,omitempty"`
	// Evidence is what was seen, and Remedy what to do about it.
	Evidence string `json:"evidence"`
	Remedy   string `json:"remedy,omitempty"`
}

// String is the finding on one line.
func (f Finding) String() string {
	s := fmt.Sprintf("%s: %s: %s", f.Severity, f.Rule, f.Evidence)
	if f.Remedy != "" {
		s += "; " + f.Remedy
	}
	return s
}

// Severity orders findings.
type Severity int

// The severities.
const (
	SeverityPass    Severity = iota // looked at and found good
	SeverityNotice                  // some receivers or readers are served worse
	SeverityWarning                 // some receivers treat such mail as suspect
	SeverityFailure                 // some receivers refuse such mail
)

var severities = [...]string{"pass", "notice", "warning", "failure"}

// String is the name of the severity.
func (s Severity) String() string {
	if s < 0 || int(s) >= len(severities) {
		return fmt.Sprintf("Severity(%d)", int(s))
	}
	return severities[s]
}

// MarshalText writes the name, for JSON.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
