package spf

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// SyntaxError is a term of a record that is not of the grammar: all mail gets "permerror" for it.
type SyntaxError struct{ Term, Why string }

// Error names the term.
func (e *SyntaxError) Error() string { return fmt.Sprintf("spf: %.200q: %s", e.Term, e.Why) }

// Validate tells whether a record is of the grammar of RFC 7208 s. 12. The error is a *SyntaxError.
func Validate(record string) error {
	if !isRecord(record) {
		return &SyntaxError{record, `the record does not begin with "v=spf1"`}
	}
	redirect, exp := 0, 0
	for term := range strings.SplitSeq(record[len("v=spf1"):], " ") {
		if term == "" {
			continue
		}
		for i := 0; i < len(term); i++ {
			if term[i] < 0x21 || term[i] > 0x7e {
				return &SyntaxError{term, "a character that is not printable ASCII"}
			}
		}
		why := ""
		if name, value, ok := modifier(term); ok {
			switch strings.ToLower(name) {
			case "redirect":
				redirect++
				why = domainSpec(value)
			case "exp":
				exp++
				why = domainSpec(value)
			default:
				if _, ok := macroString(value, "slodiphcrtv"); !ok {
					why = "a malformed macro"
				}
			}
		} else {
			why = mechanism(strings.TrimLeft(term[:1], "+-?~") + term[1:])
		}
		if redirect > 1 || exp > 1 {
			why = "the modifier occurs twice"
		}
		if why != "" {
			return &SyntaxError{term, why}
		}
	}
	return nil
}

// modifier splits "name=value".
func modifier(term string) (name, value string, ok bool) {
	name, value, ok = strings.Cut(term, "=")
	if !ok || name == "" || !isLetter(name[0]) {
		return "", "", false
	}
	for i := 1; i < len(name); i++ {
		if c := name[i]; !isLetter(c) && !isDigit(c) && !strings.ContainsRune("-_.", rune(c)) {
			return "", "", false
		}
	}
	return name, value, true
}

// mechanism says what is wrong with one, or nothing.
func mechanism(term string) string {
	end := strings.IndexAny(term, ":/")
	if end < 0 {
		end = len(term)
	}
	rest := term[end:]
	switch strings.ToLower(term[:end]) {
	case "all":
		if rest != "" {
			return "all takes no argument"
		}
	case "include", "exists":
		value, ok := strings.CutPrefix(rest, ":")
		if !ok {
			return "a domain is missing"
		}
		return domainSpec(value)
	case "a", "mx":
		domain, why := cutPrefixLengths(rest)
		if value, ok := strings.CutPrefix(domain, ":"); ok && why == "" {
			return domainSpec(value)
		}
		return why
	case "ptr":
		if value, ok := strings.CutPrefix(rest, ":"); ok {
			return domainSpec(value)
		}
		if rest != "" {
			return "ptr takes no prefix length"
		}
	case "ip4":
		return network(rest, true)
	case "ip6":
		return network(rest, false)
	default:
		return "the mechanism is not known"
	}
	return ""
}

// cutPrefixLengths takes "/24//64" off the end.
func cutPrefixLengths(s string) (rest, why string) {
	if i := strings.LastIndex(s, "//"); i >= 0 && !strings.Contains(s[i+2:], ":") {
		if !prefixLength(s[i+2:], 128) {
			return "", "a malformed prefix length"
		}
		s = s[:i]
	}
	// A slash may be in the name before it: only digits after the last one make it a length.
	if i := strings.LastIndexByte(s, '/'); i >= 0 && strings.Trim(s[i+1:], "0123456789") == "" {
		if !prefixLength(s[i+1:], 32) {
			return "", "a malformed prefix length"
		}
		s = s[:i]
	}
	if s != "" && s[0] == '/' {
		return "", "a malformed prefix length"
	}
	return s, ""
}

func prefixLength(s string, most int) bool {
	n, err := strconv.Atoi(s)
	return err == nil && n >= 0 && n <= most && strconv.Itoa(n) == s
}

func network(s string, four bool) string {
	value, ok := strings.CutPrefix(s, ":")
	text, bits, slash := strings.Cut(value, "/")
	addr, err := netip.ParseAddr(text)
	if !ok || err != nil || addr.Zone() != "" || addr.Is4() != four {
		return "not an address of this kind"
	}
	if slash && !prefixLength(bits, addr.BitLen()) {
		return "a malformed prefix length"
	}
	return ""
}

// domainSpec says what is wrong with a domain, in which there may be macros.
func domainSpec(s string) string {
	last, ok := macroString(s, "slodiphv") // c, r and t are for the text of an explanation
	if !ok {
		return "a malformed macro"
	}
	if s == "" {
		return "the domain is empty"
	}
	if last { // it ends with a macro
		return ""
	}
	s = strings.TrimSuffix(s, ".")
	dot := strings.LastIndexByte(s, '.')
	if dot < 0 || !topLabel(s[dot+1:]) {
		return "the domain does not end with a top-level domain"
	}
	return ""
}

// topLabel: letters, digits and hyphens, not digits alone.
func topLabel(s string) bool {
	if s == "" || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	digits := true
	for i := 0; i < len(s); i++ {
		if !isLetter(s[i]) && !isDigit(s[i]) && s[i] != '-' {
			return false
		}
		digits = digits && isDigit(s[i])
	}
	return !digits
}

// macroString checks the macros in s, which may be of these letters; last tells whether it ends with one.
func macroString(s, letters string) (last, ok bool) {
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			last = false
			continue
		}
		if i+1 == len(s) {
			return false, false
		}
		last = true
		if i++; strings.IndexByte("%_-", s[i]) >= 0 {
			continue
		}
		end := strings.IndexByte(s[i:], '}')
		if s[i] != '{' || end < 0 || !macro(s[i+1:i+end], letters) {
			return false, false
		}
		i += end
	}
	return last, true
}

// macro checks what is between the braces: a letter, digits, "r", delimiters.
func macro(s, letters string) bool {
	if s == "" || strings.IndexByte(letters, s[0]|0x20) < 0 || !isLetter(s[0]) {
		return false
	}
	digits := strings.TrimLeft(s[1:], "0123456789")
	if n := s[1 : len(s)-len(digits)]; n != "" && (strings.Trim(n, "0") == "" || len(n) > 3) {
		return false
	}
	if digits != "" && digits[0]|0x20 == 'r' {
		digits = digits[1:]
	}
	return strings.Trim(digits, ".-+,/_=") == ""
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
func isDigit(c byte) bool  { return '0' <= c && c <= '9' }
