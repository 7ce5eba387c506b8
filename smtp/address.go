package smtp

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"
)

// mostPath bounds an address. RFC 5321 s. 4.5.3.1 says 64 octets for the local part and 256 for
// a path; local parts that carry a whole recipient (VERP) are longer, and servers take them.
const mostPath = 512

// checkAddress says whether an address without angle brackets is a Mailbox of RFC 5321 s. 4.1.2
// (RFC 6531 s. 3.3 with octets above 127). Nothing that passes can end the path early or add
// parameters to a command.
func checkAddress(a string) error {
	if len(a) > mostPath {
		return fmt.Errorf("address of %d octets", len(a))
	}
	if !utf8.ValidString(a) {
		return fmt.Errorf("address %q is not UTF-8", a)
	}
	at := strings.LastIndexByte(a, '@')
	if at < 0 {
		return fmt.Errorf("address %q has no domain", a)
	}
	if err := checkLocal(a[:at]); err != nil {
		return fmt.Errorf("address %q: %w", a, err)
	}
	if err := checkDomain(a[at+1:]); err != nil {
		return fmt.Errorf("address %q: %w", a, err)
	}
	return nil
}

func checkLocal(local string) error {
	if local == "" {
		return errors.New("the local part is empty")
	}
	if local[0] == '"' {
		return checkQuoted(local)
	}
	for atom := range strings.SplitSeq(local, ".") {
		if atom == "" {
			return errors.New("the local part has an empty atom and is not quoted")
		}
		for i := range len(atom) {
			if !atext(atom[i]) {
				return fmt.Errorf("%q in the local part needs quotes", atom[i])
			}
		}
	}
	return nil
}

// checkQuoted checks a Quoted-string of RFC 5321 s. 4.1.2, quotes included.
func checkQuoted(s string) error {
	if len(s) < 2 || s[len(s)-1] != '"' {
		return errors.New("the quoted local part does not end")
	}
	inner := s[1 : len(s)-1]
	for i := 0; i < len(inner); i++ {
		switch c := inner[i]; {
		case c < ' ' || c == 0x7f:
			return errors.New("a control character in the local part")
		case c == '<' || c == '>':
			// The grammar allows them, but a server that looks for the end of the path too simply would take
			// what follows for parameters.
			return errors.New("an angle bracket in the local part")
		case c == '"':
			return errors.New("a quote in the local part that is not escaped")
		case c == '\\':
			i++
			if i == len(inner) || inner[i] < ' ' || inner[i] >= 0x7f || inner[i] == '<' || inner[i] == '>' {
				return errors.New("a bad escape in the local part")
			}
		}
	}
	return nil
}

// checkDomain checks a Domain or address-literal.
func checkDomain(d string) error {
	if d == "" {
		return errors.New("the domain is empty")
	}
	if d[0] == '[' {
		return checkLiteral(d)
	}
	if len(d) > 255 {
		return errors.New("the domain is longer than 255 octets")
	}
	for label := range strings.SplitSeq(d, ".") {
		if label == "" || len(label) > 63 {
			return errors.New("the domain has an empty or too long label")
		}
		if label[0] == '-' || label[len(label)-1] == '-' {
			return errors.New("a label of the domain begins or ends with a hyphen")
		}
		for i := range len(label) {
			// "_" is in no host name by RFC 1123, but in domains that receive mail.
			if c := label[i]; !alnum(c) && c != '-' && c != '_' && c < 0x80 {
				return fmt.Errorf("%q in the domain", c)
			}
		}
	}
	return nil
}

// checkLiteral checks an address-literal (RFC 5321 s. 4.1.3).
func checkLiteral(d string) error {
	inner, ok := strings.CutSuffix(d[1:], "]")
	v6 := false
	if ok && len(inner) > 5 && strings.EqualFold(inner[:5], "IPv6:") {
		inner, v6 = inner[5:], true
	}
	ip, err := netip.ParseAddr(inner)
	if !ok || err != nil || ip.Is6() != v6 || ip.Zone() != "" {
		return errors.New("a bad address literal")
	}
	return nil
}

func atext(c byte) bool {
	return alnum(c) || c >= 0x80 || strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0
}

func alnum(c byte) bool { return digit(c) || c|0x20 >= 'a' && c|0x20 <= 'z' }

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
