package dkim

import (
	"fmt"
	"strings"

	"golang.org/x/net/idna"
)

// domainName checks a domain and returns it in A-labels and lower case. RFC 8616 s. 5 would allow U-labels in
// internationalised mail; A-labels are right in all mail.
func domainName(s string) (string, error) {
	if isDomain(s) { // the common case, free of charge
		return s, nil
	}
	d, err := idna.Lookup.ToASCII(strings.TrimSuffix(s, "."))
	if d = strings.ToLower(d); err != nil || !isDomain(d) {
		return "", fmt.Errorf("dkim: %q is not a domain name", s)
	}
	return d, nil
}

// selectorName checks a selector: dots may be in it (RFC 6376 s. 3.1).
func selectorName(s string) (string, error) {
	if isDomain(s) {
		return s, nil
	}
	d, err := idna.Lookup.ToASCII(s)
	if d = strings.ToLower(d); err != nil || !isDomain(d) {
		return "", fmt.Errorf("dkim: %q is not a selector: letters, digits, hyphens and dots are", s)
	}
	return d, nil
}

// isDomain tells whether s is a name of lower case letters, digits and hyphens (RFC 5321 s. 4.1.2) that
// fits the DNS.
func isDomain(s string) bool {
	if len(s) > 253 {
		return false
	}
	label := 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
			label++
		case c == '-' && label > 0:
			label++
		case c == '.' && label > 0 && s[i-1] != '-':
			label = 0
		default:
			return false
		}
		if label > 63 {
			return false
		}
	}
	return label > 0 && s[len(s)-1] != '-'
}

// identity checks and encodes i=: an address, or "@" and a domain, at or below the signing domain
// (RFC 6376 s. 3.5).
func identity(s, domain string) (string, error) {
	if s == "" {
		return "", nil
	}
	at := strings.LastIndexByte(s, '@')
	d, err := domainName(s[at+1:])
	if at < 0 || err != nil || (d != domain && !strings.HasSuffix(d, "."+domain)) || len(s) > 320 {
		return "", fmt.Errorf("dkim: the identity %q is not an address at or below %s", s, domain)
	}
	return quotedPrintable(s[:at]) + "@" + d, nil
}

// quotedPrintable is the encoding of RFC 6376 s. 2.11.
func quotedPrintable(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if c := s[i]; c > ' ' && c < 0x7f && c != ';' && c != '=' {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'=', hex[c>>4], hex[c&15]})
		}
	}
	return b.String()
}

// recordName is where the record of a key is published (RFC 6376 s. 3.6.2.1).
func recordName(selector, domain string) string { return selector + "._domainkey." + domain }
