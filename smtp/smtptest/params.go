package smtptest

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// param is an ESMTP parameter: the keyword that offers it and the form of its value.
type param struct {
	extension string
	value     *regexp.Regexp // nil: no value
}

const xtext = `([!-*,-<>-~]|\+[0-9A-F]{2})*` // RFC 3461 s. 4

func exact(pattern string) *regexp.Regexp { return regexp.MustCompile(`^(?i:` + pattern + `)$`) }

var mailParams = map[string]param{
	"SIZE":        {"SIZE", exact(`[0-9]{1,20}`)},                         // RFC 1870 s. 3
	"BODY":        {"8BITMIME", exact(`7BIT|8BITMIME|BINARYMIME`)},        // RFC 6152, RFC 3030
	"SMTPUTF8":    {"SMTPUTF8", nil},                                      // RFC 6531 s. 3.4
	"RET":         {"DSN", exact(`FULL|HDRS`)},                            // RFC 3461 s. 4.3
	"ENVID":       {"DSN", regexp.MustCompile(`^` + xtext + `$`)},         // RFC 3461 s. 4.4
	"AUTH":        {"AUTH", regexp.MustCompile(`^(<>|` + xtext + `)$`)},   // RFC 4954 s. 5
	"REQUIRETLS":  {"REQUIRETLS", nil},                                    // RFC 8689 s. 2
	"BY":          {"DELIVERBY", exact(`[-+]?[0-9]{1,9};[NR]T?`)},         // RFC 2852 s. 4
	"MT-PRIORITY": {"MT-PRIORITY", exact(`-?[0-9]`)},                      // RFC 6710 s. 4
	"HOLDFOR":     {"FUTURERELEASE", exact(`[1-9][0-9]{0,8}`)},            // RFC 4865 s. 4
	"HOLDUNTIL":   {"FUTURERELEASE", exact(`[0-9]{4}-[0-9-]+T[0-9:.Z]+`)}, // RFC 4865 s. 4
}

var rcptParams = map[string]param{
	"NOTIFY": {"DSN", exact(`NEVER|(SUCCESS|FAILURE|DELAY)(,(SUCCESS|FAILURE|DELAY))*`)}, // RFC 3461 s. 4.1
	"ORCPT":  {"DSN", regexp.MustCompile(`^[A-Za-z0-9-]+;\S+$`)},                         // RFC 3461 s. 4.2, RFC 6533 s. 3
	"RRVS":   {"RRVS", regexp.MustCompile(`^[0-9]{4}-\S+$`)},                             // RFC 7293
}

// path reads "FROM:<address> PARAM=value ..." (RFC 5321 s. 4.1.1.2). reply is "" or the refusal.
func (s *session) path(verb, prefix, rest string) (address string, params map[string]string, reply string) {
	if len(rest) < len(prefix) || !strings.EqualFold(rest[:len(prefix)], prefix) {
		s.violation("%s %.80q: no %s", verb, rest, prefix)
		return "", nil, "501 5.5.4 bad syntax"
	}
	address, tail, err := parsePath(rest[len(prefix):])
	if err == nil {
		params, err = s.parseParams(verb, tail)
	}
	_, utf8 := s.params["SMTPUTF8"]
	if verb == "MAIL" {
		_, utf8 = params["SMTPUTF8"]
	}
	switch {
	case err != nil:
	case address == "" && verb == "RCPT":
		err = fmt.Errorf("empty forward-path")
	case !ascii([]byte(rest)) && !utf8 && (s.open || verb == "MAIL"):
		err = fmt.Errorf("octets above 127 without SMTPUTF8")
	}
	if err != nil {
		s.violation("%s %.120q: %v", verb, rest, err)
		return "", nil, "555 5.5.4 " + err.Error()
	}
	return address, params, ""
}

func (s *session) parseParams(verb, tail string) (map[string]string, error) {
	known := mailParams
	if verb == "RCPT" {
		known = rcptParams
	}
	params := make(map[string]string)
	for tail != "" {
		word, after, more := strings.Cut(strings.TrimPrefix(tail, " "), " ")
		if tail[0] != ' ' || word == "" || more && after == "" {
			return nil, fmt.Errorf("parameters must be parted by one space")
		}
		keyword, value, hasValue := strings.Cut(word, "=")
		keyword = strings.ToUpper(keyword)
		p, ok := known[keyword]
		_, twice := params[keyword]
		switch {
		case !ok:
			return nil, fmt.Errorf("unknown parameter %s", keyword)
		case twice:
			return nil, fmt.Errorf("%s twice", keyword)
		case !s.offered(p.extension) || keyword == "BODY" && strings.EqualFold(value, "BINARYMIME") && !s.offered("BINARYMIME"):
			return nil, fmt.Errorf("%s, but %s was not offered", word, p.extension)
		case hasValue != (p.value != nil), p.value != nil && !p.value.MatchString(value):
			return nil, fmt.Errorf("bad value of %s", keyword)
		}
		params[keyword] = value
		if !more {
			break
		}
		tail = " " + after
	}
	return params, nil
}

var (
	atom    = `[a-zA-Z0-9!#$%&'*+/=?^_{|}~\x60\x{80}-\x{10FFFF}-]+`
	quoted  = `"([ !#-\[\]-~\x{80}-\x{10FFFF}]|\\[ -~])*"`
	label   = `[a-zA-Z0-9\x{80}-\x{10FFFF}]([a-zA-Z0-9_\x{80}-\x{10FFFF}-]*[a-zA-Z0-9\x{80}-\x{10FFFF}])?`
	domain  = label + `(\.` + label + `)*`
	literal = `\[[!-Z^-~]+\]`
	mailbox = regexp.MustCompile(`^<((?:` + atom + `(?:\.` + atom + `)*|` + quoted + `)@(?:` + domain + `|` + literal + `))>`)
	helloRE = regexp.MustCompile(`^` + domain + `$`)
)

// parsePath reads "<local@domain>" by the grammar of RFC 5321 s. 4.1.2 and RFC 6531 s. 3.3, without source
// routes. The address is returned as it is written, quotes included.
func parsePath(s string) (address, tail string, err error) {
	if tail, ok := strings.CutPrefix(s, "<>"); ok {
		return "", tail, nil
	}
	if len(s) > 12 && strings.EqualFold(s[:12], "<postmaster>") {
		return s[1:11], s[12:], nil
	}
	m := mailbox.FindStringSubmatch(s)
	if m == nil {
		return "", "", fmt.Errorf("bad path")
	}
	at := strings.LastIndexByte(m[1], '@')
	if at > 64 || len(m[1])-at-1 > 255 { // RFC 5321 s. 4.5.3.1
		return "", "", fmt.Errorf("local part or domain too long")
	}
	return m[1], s[len(m[0]):], nil
}

// validHello checks the argument of EHLO: a domain, or "[192.0.2.1]", "[IPv6:2001:db8::1]".
func validHello(name string) bool {
	if inner, ok := strings.CutPrefix(name, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		v6, is6 := strings.CutPrefix(inner, "IPv6:")
		a, err := netip.ParseAddr(v6)
		return ok && err == nil && a.Is6() == is6
	}
	return len(name) <= 255 && helloRE.MatchString(name) && !strings.Contains(name, "=") && strconv.CanBackquote(name)
}
