package dsn

import (
	"fmt"
	"net/mail"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/postrider/postrider/smtp"
)

// field is one header field, unfolded.
type field struct{ name, value string }

// Bounds on the fields of one block, and on the octets of a folded value.
const (
	maxFields = 1000
	maxValue  = 8 << 10
)

// parseFields reads fields up to the first empty line. Lines that are none are left out: reports
// are written by many hands.
func parseFields(block []byte) []field {
	groups := parseGroups(block, 1)
	if len(groups) == 0 {
		return nil
	}
	return groups[0]
}

// parseGroups reads groups of fields parted by empty lines (RFC 3464 s. 2.1).
func parseGroups(block []byte, limit int) [][]field {
	var groups [][]field
	var group []field
	for raw := range strings.Lines(string(block)) {
		line := strings.TrimRight(raw, "\r\n")
		if strings.TrimSpace(line) == "" {
			if group != nil {
				groups = append(groups, group)
				group = nil
			}
			if len(groups) == limit {
				return groups
			}
			continue
		}
		if line[0] == ' ' || line[0] == '\t' {
			if n := len(group); n > 0 && len(group[n-1].value) < maxValue {
				group[n-1].value = strings.TrimSpace(group[n-1].value + " " + strings.TrimSpace(line))
			}
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if ok && len(group) < maxFields {
			group = append(group, field{strings.TrimSpace(name), strings.TrimSpace(value)})
		}
	}
	if group != nil {
		groups = append(groups, group)
	}
	return groups
}

// afterType returns what follows "rfc822;" or "dns;", or all of it when there is no type.
func afterType(value string) (kind, rest string) {
	kind, rest, ok := strings.Cut(value, ";")
	if !ok {
		return "", clean(value)
	}
	return strings.ToLower(strings.TrimSpace(kind)), clean(rest)
}

// clean makes what a stranger wrote safe to show and store: one line, no controls, valid UTF-8, bounded.
func clean(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, s)
	s = strings.TrimSpace(s)
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "")
	}
	return s
}

// maxText bounds one value.
const maxText = 2000

// address reads a typed address: "rfc822; bob@example.org", "utf-8; b\x{F6}b@example.org".
func address(value string) string {
	kind, a := afterType(value)
	if kind == "" && strings.Contains(a, " ") || strings.HasSuffix(a, ">") {
		if i := strings.LastIndexByte(a, '<'); i >= 0 {
			a = a[i:]
		}
	}
	a = strings.TrimSpace(strings.Trim(a, "<> "))
	if i := strings.Index(a, " ("); i > 0 { // a comment
		a = a[:i]
	}
	if kind == "utf-8" {
		a = clean(fromUnitext(a))
	}
	if len(a) > 320+64 {
		return ""
	}
	return a
}

var embedded = regexp.MustCompile(`\\x\{([0-9A-Fa-f]{2,6})\}`)

// fromUnitext undoes utf-8-addr-xtext and utf-8-addr-unitext (RFC 6533 s. 3).
func fromUnitext(a string) string {
	return embedded.ReplaceAllStringFunc(a, func(m string) string {
		n, err := strconv.ParseUint(m[3:len(m)-1], 16, 32)
		if r := rune(n); err == nil && utf8.ValidRune(r) && r >= ' ' {
			return string(r)
		}
		return m
	})
}

// toXtext writes an address as utf-8-addr-xtext, for messages that are ASCII (RFC 6533 s. 3).
func toXtext(a string) string {
	var b strings.Builder
	for _, r := range a {
		if r > '~' || r == '\\' || r == '+' || r == '=' || r <= ' ' {
			fmt.Fprintf(&b, `\x{%02X}`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// date reads a date of a field; what cannot be read is zero.
func date(value string) time.Time {
	t, err := mail.ParseDate(clean(value))
	if err != nil {
		return time.Time{}
	}
	return t
}

var statusCode = regexp.MustCompile(`(?:^|[^0-9.])([245])\.([0-9]{1,3})\.([0-9]{1,3})(?:$|[^0-9.])`)

// findStatus finds an enhanced status code in a text.
func findStatus(s string) smtp.EnhancedCode {
	var code smtp.EnhancedCode
	if m := statusCode.FindStringSubmatch(s); m != nil {
		for i := range code {
			code[i], _ = strconv.Atoi(m[i+1])
		}
	}
	return code
}

var replyCode = regexp.MustCompile(`^([245])[0-9][0-9](?:[ -]|$)`)

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
