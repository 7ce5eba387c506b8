package mx

import (
	"errors"
	"net/netip"
	"strings"

	"golang.org/x/net/idna"
)

// profile is UTS 46 as lookups use it: case is mapped and labels are checked. Lengths and characters are
// checked by checkName, for the profile lets empty and overlong labels pass.
var profile = idna.New(
	idna.MapForLookup(),
	idna.BidiRule(),
	idna.CheckJoiners(true),
	idna.Transitional(false),
)

// parseDomain reads the domain of a mail address: U-labels, A-labels or an address literal in brackets
// (RFC 5321 s. 4.1.3). It returns the name in A-labels and lower case without final dot, or the literal's
// address.
func parseDomain(domain string) (name string, literal netip.Addr, err error) {
	if strings.HasPrefix(domain, "[") {
		literal, err = parseLiteral(domain)
		return "", literal, err
	}
	name = strings.TrimSuffix(domain, ".")
	if !plain(name) {
		if name, err = toASCII(name); err != nil {
			return "", literal, err
		}
	}
	if err := checkName(name); err != nil {
		return "", literal, err
	}
	if last := name[len(name)-1]; '0' <= last && last <= '9' && isAddress(name) {
		return "", literal, errors.New("an address in place of a domain is written in brackets")
	}
	return name, literal, nil
}

// toASCII maps a name to A-labels. It is mapped twice: the profile makes A-labels of octets that are no
// UTF-8, which it then does not accept itself.
func toASCII(domain string) (string, error) {
	name, err := profile.ToASCII(domain)
	if err == nil {
		name, err = profile.ToASCII(strings.TrimSuffix(name, ".")) // it maps the ideographic full stop to a dot
	}
	if err != nil {
		return "", errors.New("the domain is not a valid international name")
	}
	return name, nil
}

func isAddress(name string) bool {
	_, err := netip.ParseAddr(name)
	return err == nil
}

// plain says that a name needs no mapping: ASCII in lower case, no A-labels whose content to check.
func plain(name string) bool {
	for i := range len(name) {
		if c := name[i]; c >= 0x80 || 'A' <= c && c <= 'Z' {
			return false
		}
	}
	return !strings.Contains(name, "xn--")
}

func parseLiteral(domain string) (netip.Addr, error) {
	text, closed := strings.CutSuffix(domain[1:], "]")
	if !closed {
		return netip.Addr{}, errors.New("the address literal has no closing bracket")
	}
	const tag = "IPv6:"
	six := len(text) >= len(tag) && strings.EqualFold(text[:len(tag)], tag)
	if six {
		text = text[len(tag):]
	}
	addr, err := netip.ParseAddr(text)
	if err != nil || addr.Is6() != six || addr.Zone() != "" {
		return netip.Addr{}, errors.New("the address literal is neither [IPv4] nor [IPv6:address]")
	}
	return addr, nil
}

// checkName holds a name to the lengths of RFC 1035 s. 2.3.4 and to letters, digits, hyphens inside of
// labels, and underscores, which host names in use do contain.
func checkName(name string) error {
	if name == "" {
		return errors.New("the name is empty")
	}
	if len(name) > 253 {
		return errors.New("the name is longer than 253 octets")
	}
	for label := range strings.SplitSeq(name, ".") {
		switch {
		case label == "":
			return errors.New("the name has an empty label")
		case len(label) > 63:
			return errors.New("the name has a label longer than 63 octets")
		case label[0] == '-' || label[len(label)-1] == '-':
			return errors.New("the name has a label with a hyphen at its end")
		}
		for i := range len(label) {
			c := label[i]
			if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
				return errors.New("the name has a character that is no letter, digit or hyphen")
			}
		}
	}
	return nil
}
