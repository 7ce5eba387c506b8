package dkim

import (
	"strings"
	"unicode/utf8"
)

// AuthResult is one verdict in an Authentication-Results field (RFC 8601).
type AuthResult struct {
	// Method is what was checked: "dkim", "spf", "dmarc", "iprev"; Result is the verdict.
	Method, Result string
	// Reason is for people. Empty: none.
	Reason string
	// Properties are names and values: {"header.d", "example.com"}.
	Properties [][2]string
}

// AuthResult returns the verdict on a signature as it is written into an Authentication-Results field.
func (v Verification) AuthResult() AuthResult {
	r := AuthResult{Method: "dkim", Result: string(v.Result)}
	if v.Err != nil {
		r.Reason = strings.TrimPrefix(v.Err.Error(), "dkim: ")
	}
	// RFC 8601 s. 2.7.1; RFC 6008 for header.b
	for _, p := range [][2]string{{"header.d", v.Domain}, {"header.i", v.Identity}, {"header.s", v.Selector},
		{"header.a", v.Algorithm}, {"header.b", v.signature}} {
		if p[1] != "" {
			r.Properties = append(r.Properties, p)
		}
	}
	return r
}

// AuthenticationResults returns the header field, folded and ended by CRLF, in which a receiving server
// says what it found. Server is the name under which those who read the field know it; they must
// take away such fields that came with the message. Values can be what a stranger sent: they are quoted
// where they must be, cut at 300 octets, and cannot end the field or begin another.
func AuthenticationResults(server string, results ...AuthResult) string {
	f := folder{out: []byte("Authentication-Results: ")}
	f.out = append(f.out, fieldValue(server)...)
	for _, r := range results {
		f.out = append(f.out, ';')
		f.newLine()
		f.out = append(f.out, keyword(r.Method)+"="+keyword(r.Result)...)
		if r.Reason != "" {
			f.word(`reason=` + quoted(clean(r.Reason)))
		}
		for _, p := range r.Properties {
			f.word(keyword(p[0]) + "=" + fieldValue(p[1]))
		}
	}
	if len(results) == 0 {
		f.out = append(f.out, "; none"...)
	}
	return string(f.out) + "\r\n"
}

func (f *folder) newLine() {
	f.out = append(f.out, "\r\n "...)
	f.line = len(f.out) - 1
}

// word writes a word after a space, or after a line end.
func (f *folder) word(s string) {
	if len(f.out)-f.line+1+len(s) > lineLength {
		f.newLine()
	} else {
		f.out = append(f.out, ' ')
	}
	f.out = append(f.out, s...)
}

// keyword keeps what may be in the name of a method, result or property.
func keyword(s string) string {
	s = strings.Map(func(c rune) rune {
		if 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_' {
			return c
		}
		return -1
	}, s)
	if s == "" {
		return "unknown"
	}
	return s[:min(len(s), 60)]
}

// fieldValue writes a value (RFC 8601 s. 2.2: pvalue): a token, an address, or else a quoted string.
func fieldValue(s string) string {
	s = clean(s)
	local, domain, at := strings.Cut(s, "@")
	if isToken(s) || at && (local == "" || isToken(local)) && isDomain(strings.ToLower(domain)) {
		return s
	}
	return quoted(s)
}

// isToken: RFC 2045 s. 5.1.
func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`()<>@,;:\"/[]?=`, c) >= 0 {
			return false
		}
	}
	return s != ""
}

func quoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// clean replaces control characters and what is not UTF-8, and cuts what is too long. UTF-8 may be
// in the field.
func clean(s string) string {
	s = strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f || c == utf8.RuneError || 0x80 <= c && c < 0xa0 {
			return '?'
		}
		return c
	}, s[:min(len(s), 304)])
	for len(s) > 300 {
		_, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
	}
	return s
}
