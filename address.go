package postrider

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// The longest address: a path is at most 256 octets with its angle brackets (RFC 5321 s. 4.5.3.1.3).
// The 64 octets of a local part (s. 4.5.3.1.1) are not enforced: the same section asks for no limits
// where they can be avoided, and the return paths and reply addresses of real systems are longer.
const maxAddress = 254

// domainASCII maps and checks internationalised domains (RFC 5891, UTS 46 without transitional
// processing) and verifies the lengths of labels and name.
var domainASCII = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.VerifyDNSLength(true))

// parseAddress reads a mailbox by the grammar of RFC 5321 s. 4.1.2, with the UTF-8 local parts of
// RFC 6531, and returns it as it stands in an envelope: the domain in A-labels, the local part quoted
// only where it has to be. utf8 says that the local part needs SMTPUTF8.
//
// There are no comments, routes or angle brackets in this grammar, and what it lets pass can be put
// between "<" and ">" of a command or a header field as it is.
func parseAddress(addr string) (envelope string, utf8 bool, err error) {
	if addr == "" {
		return "", false, errors.New("empty address")
	}
	if len(addr) > 4*maxAddress { // the A-labels of a domain may be shorter than its UTF-8
		return "", false, fmt.Errorf("address of %d octets: at most %d are allowed", len(addr), maxAddress)
	}
	local, domain, utf8, err := parseLocal(addr)
	if err != nil {
		return "", false, err
	}
	ascii, err := parseDomain(domain)
	if err != nil {
		return "", false, err
	}
	if len(local)+1+len(ascii) > maxAddress {
		return "", false, fmt.Errorf("address of %d octets: at most %d are allowed", len(local)+1+len(ascii), maxAddress)
	}
	if len(local)+1+len(ascii) == len(addr) && addr[:len(local)] == local && addr[len(local)+1:] == ascii {
		return addr, utf8, nil // the common case: nothing to change, nothing to allocate
	}
	return local + "@" + ascii, utf8, nil
}

// parseLocal splits an address behind its local part, which it returns in canonical form.
func parseLocal(addr string) (local, domain string, utf8 bool, err error) {
	if addr[0] == '"' {
		content, rest, err := parseQuoted(addr)
		if err != nil {
			return "", "", false, err
		}
		utf8, err = checkUTF8(content)
		if err != nil {
			return "", "", false, err
		}
		// The quoted and the plain form are the same mailbox; the plain one is to be sent (s. 4.1.2).
		if isDotString(content) {
			return content, rest, utf8, nil
		}
		return quote(content), rest, utf8, nil
	}
	at := strings.IndexByte(addr, '@')
	if at < 0 {
		return "", "", false, errors.New(`no "@"`)
	}
	local = addr[:at]
	if utf8, err = checkUTF8(local); err != nil {
		return "", "", false, err
	}
	if local == "" {
		return "", "", false, errors.New(`nothing before the "@"`)
	}
	if !isDotString(local) {
		return "", "", false, errors.New("the local part has spaces, special characters or misplaced dots: they need quotes")
	}
	return local, addr[at+1:], utf8, nil
}

// parseQuoted reads a Quoted-string and the "@" behind it.
func parseQuoted(addr string) (content, domain string, err error) {
	var b strings.Builder
	for i := 1; i < len(addr); i++ {
		switch c := addr[i]; {
		case c == '\\':
			if i++; i == len(addr) || addr[i] < ' ' || addr[i] > '~' {
				return "", "", errors.New("a backslash quotes printable ASCII only")
			}
			b.WriteByte(addr[i])
		case c == '"':
			if b.Len() == 0 {
				return "", "", errors.New("empty local part")
			}
			if i+1 == len(addr) || addr[i+1] != '@' {
				return "", "", errors.New(`no "@" behind the quoted local part`)
			}
			return b.String(), addr[i+2:], nil
		default:
			b.WriteByte(c)
		}
	}
	return "", "", errors.New("quoted local part without an end")
}

// parseDomain checks a domain or an address literal and returns it in ASCII.
func parseDomain(domain string) (string, error) {
	if domain == "" {
		return "", errors.New(`nothing behind the "@"`)
	}
	if domain[0] == '[' {
		return parseLiteral(domain)
	}
	for i := 0; i < len(domain); i++ {
		if domain[i] >= utf8.RuneSelf {
			if !utf8.ValidString(domain) {
				return "", errors.New("the domain is not UTF-8")
			}
			ascii, err := domainASCII.ToASCII(domain)
			if err != nil {
				return "", fmt.Errorf("domain %q: %w", domain, err)
			}
			domain = ascii // its characters are checked like any other's
			break
		}
	}
	if len(domain) > 253 {
		return "", fmt.Errorf("domain of %d octets: at most 253 are allowed", len(domain))
	}
	label, digits := 0, true // length of the label, and whether it has only digits
	for i := 0; i <= len(domain); i++ {
		if i == len(domain) || domain[i] == '.' {
			if label == 0 || label > 63 || domain[i-1] == '-' {
				return "", fmt.Errorf("domain %q: a label has 1 to 63 octets and no hyphen at its ends", domain)
			}
			if i == len(domain) && digits {
				return "", fmt.Errorf("domain %q ends with a number: an address literal is written [192.0.2.1]", domain)
			}
			label, digits = 0, true
			continue
		}
		c := domain[i]
		switch {
		case c >= '0' && c <= '9':
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '-' && label > 0:
			digits = false
		default:
			return "", fmt.Errorf("domain %q: %q is not allowed there", domain, c)
		}
		label++
	}
	return domain, nil
}

// parseLiteral checks an address literal (RFC 5321 s. 4.1.3).
func parseLiteral(domain string) (string, error) {
	inner, ok := strings.CutSuffix(domain[1:], "]")
	if ok {
		if v6, is6 := strings.CutPrefix(inner, "IPv6:"); is6 {
			ip, err := netip.ParseAddr(v6)
			ok = err == nil && ip.Is6() && ip.Zone() == ""
		} else {
			ip, err := netip.ParseAddr(inner)
			ok = err == nil && ip.Is4()
		}
	}
	if !ok {
		return "", fmt.Errorf("address literal %q: want [192.0.2.1] or [IPv6:2001:db8::1]", domain)
	}
	return domain, nil
}

// checkUTF8 refuses control characters and what is not UTF-8, and says whether s leaves ASCII.
func checkUTF8(s string) (beyondASCII bool, err error) {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c == 0x7f {
			return false, fmt.Errorf("control character %q", c)
		} else if c >= utf8.RuneSelf {
			return true, checkRunes(s[i:])
		}
	}
	return false, nil
}

func checkRunes(s string) error {
	if !utf8.ValidString(s) {
		return errors.New("not UTF-8")
	}
	for _, r := range s {
		if unicode.IsControl(r) {
			return fmt.Errorf("control character %q", r)
		}
	}
	return nil
}

// isDotString says whether s is a Dot-string: atoms with single dots between them. Every octet above
// 127 is atext (RFC 6531 s. 3.3).
func isDotString(s string) bool {
	dot := true
	for i := 0; i < len(s); i++ {
		if s[i] == '.' {
			if dot {
				return false
			}
			dot = true
			continue
		}
		if !isAtext(s[i]) {
			return false
		}
		dot = false
	}
	return !dot
}

// isAtext is atext of RFC 5322 s. 3.2.3 with the UTF-8 of RFC 6532 s. 3.2.
func isAtext(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c >= utf8.RuneSelf ||
		strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0
}

// quote makes a quoted-string of s, in which there is no control character.
func quote(s string) string {
	return string(appendQuoted(make([]byte, 0, len(s)+2), s))
}

func appendQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	for i := 0; i < len(s); i++ {
		if s[i] == '"' || s[i] == '\\' {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return append(b, '"')
}
