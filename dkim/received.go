package dkim

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// received is a DKIM-Signature field of a message that is verified.
type received struct {
	field  []byte
	found  Verification
	err    error // why it cannot be verified, with its result
	result Result

	domain, selector, agent    string // as the DNS has them; agent is the domain of i=
	relaxedHeader, relaxedBody bool
	bodyHash, signature        []byte
}

// parseReceived reads a field as RFC 6376 s. 6.1.1 demands.
func parseReceived(field []byte) *received {
	s := &received{field: field, result: PermError}
	tags, err := parseTags(string(field[bytes.IndexByte(field, ':')+1:]))
	if err != nil {
		s.err = fmt.Errorf("the signature: %w", err)
		return s
	}
	value := map[string]string{}
	for _, t := range tags {
		if t.name != "z" && t.name != "h" {
			t.value = withoutSpace(t.value)
		}
		value[t.name] = t.value
	}
	s.found.Domain, s.found.Selector, s.found.Algorithm = value["d"], value["s"], strings.ToLower(value["a"])
	s.found.signature = value["b"][:min(8, len(value["b"]))]
	for _, name := range []string{"v", "a", "b", "bh", "d", "h", "s"} {
		if value[name] == "" {
			s.err = fmt.Errorf("dkim: the signature has no %s=", name)
			return s
		}
	}
	for _, parse := range []func(map[string]string) error{s.algorithms, s.names, s.times, s.hashes} {
		if s.err = parse(value); s.err != nil {
			return s
		}
	}
	if _, ok := value["l"]; ok {
		// Anything could follow the part that is signed (RFC 6376 s. 8.2).
		s.result, s.err = Policy, errors.New("dkim: the signature covers a part of the body only (l=)")
	}
	return s
}

func (s *received) algorithms(value map[string]string) error {
	if value["v"] != "1" {
		return fmt.Errorf("dkim: the signature is of version %.20q", value["v"])
	}
	switch s.found.Algorithm {
	case "rsa-sha256", "ed25519-sha256":
	default: // rsa-sha1 must not be verified (RFC 8301 s. 3.1)
		return fmt.Errorf("dkim: signatures of algorithm %.40q are not verified", s.found.Algorithm)
	}
	if q, ok := value["q"]; ok && !inList(q, "dns/txt") {
		return fmt.Errorf("dkim: the key is to be had by %.40q, not from the DNS", q)
	}
	header, body, ok := strings.Cut(strings.ToLower(value["c"]), "/")
	if !ok {
		body = "simple"
	}
	if header == "" {
		header = "simple"
	}
	s.relaxedHeader, s.relaxedBody = header == "relaxed", body == "relaxed"
	if (header != "simple" && !s.relaxedHeader) || (body != "simple" && !s.relaxedBody) {
		return fmt.Errorf("dkim: the canonicalisation %.40q is not known", value["c"])
	}
	return nil
}

func (s *received) names(value map[string]string) error {
	var err error
	if s.domain, err = domainName(value["d"]); err != nil {
		return err
	}
	if s.selector, err = lookupName(value["s"]); err != nil {
		return err
	}
	s.agent, s.found.Identity = s.domain, "@"+value["d"]
	if i, ok := value["i"]; ok {
		s.found.Identity = i
		at := strings.LastIndexByte(i, '@')
		// Domains are compared without regard to case and in A-labels.
		if s.agent, err = domainName(i[at+1:]); at < 0 || err != nil {
			return fmt.Errorf("dkim: the identity %.100q is not an address", i)
		}
		if s.agent != s.domain && !strings.HasSuffix(s.agent, "."+s.domain) {
			return fmt.Errorf("dkim: the identity %.100q is not at or below %s", i, s.domain)
		}
	}
	from := false
	for name := range strings.SplitSeq(value["h"], ":") {
		name = strings.Trim(name, folding)
		s.found.Header = append(s.found.Header, name)
		from = from || strings.EqualFold(name, "From")
	}
	if !from { // RFC 6376 s. 5.4
		return errors.New("dkim: the From field is not signed")
	}
	return nil
}

func (s *received) times(value map[string]string) error {
	var err error
	if s.found.Time, err = unixTime(value["t"]); err != nil {
		return fmt.Errorf("dkim: t= of the signature: %w", err)
	}
	if s.found.Expires, err = unixTime(value["x"]); err != nil {
		return fmt.Errorf("dkim: x= of the signature: %w", err)
	}
	if x := s.found.Expires; !x.IsZero() && !s.found.Time.IsZero() && !x.After(s.found.Time) {
		return errors.New("dkim: the signature expired before it was made")
	}
	return nil
}

func unixTime(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || len(s) > 12 { // RFC 6376 s. 3.5: at most twelve digits
		return time.Time{}, fmt.Errorf("%.30q is not a time", s)
	}
	return time.Unix(int64(n), 0), nil
}

func (s *received) hashes(value map[string]string) error {
	var err error
	if s.bodyHash, err = base64.StdEncoding.DecodeString(value["bh"]); err != nil {
		return fmt.Errorf("dkim: bh= of the signature: %w", err)
	}
	if s.signature, err = base64.StdEncoding.DecodeString(value["b"]); err != nil {
		return fmt.Errorf("dkim: b= of the signature: %w", err)
	}
	return nil
}

// signedData puts together what the signature is over (RFC 6376 s. 3.7).
func (v *verifier) signedData(s *received) []byte {
	places := map[string][]int{}
	for i, f := range v.fields {
		name := strings.ToLower(fieldName(f))
		places[name] = append(places[name], i)
	}
	data := make([]byte, 0, len(v.header.raw))
	for _, name := range s.found.Header {
		name = strings.ToLower(name)
		list := places[name]
		if len(list) == 0 {
			continue // that it was not there is signed
		}
		field := v.fields[list[len(list)-1]]
		places[name] = list[:len(list)-1]
		if s.relaxedHeader {
			data = append(appendRelaxed(data, field), '\r', '\n')
		} else {
			data = append(data, field...)
		}
	}
	own := withoutSignature(s.field)
	if s.relaxedHeader {
		return appendRelaxed(data, own)
	}
	return append(data, bytes.TrimSuffix(own, []byte("\r\n"))...)
}

// withoutSignature returns the field with the value of b= taken out, and the white space around it. It looks
// for the tag, for "b=" can be in the values of others.
func withoutSignature(field []byte) []byte {
	out := make([]byte, 0, len(field))
	at := bytes.IndexByte(field, ':') + 1
	out = append(out, field[:at]...)
	for at < len(field) {
		end := len(field)
		if i := bytes.IndexByte(field[at:], ';'); i >= 0 {
			end = at + i
		}
		name, _, _ := bytes.Cut(field[at:end], []byte("="))
		if string(bytes.Trim(name, folding)) == "b" {
			out = append(append(out, name...), '=')
			if end == len(field) { // the line end that ends the field is not of the value
				out = append(out, "\r\n"...)
			}
		} else {
			out = append(out, field[at:end]...)
		}
		if end < len(field) {
			out = append(out, ';')
		}
		at = end + 1
	}
	return out
}

func fieldName(field []byte) string {
	return string(bytes.TrimRight(field[:bytes.IndexByte(field, ':')], " \t"))
}

// lookupName checks a selector as others use them, underscores too, and returns it in lower case.
func lookupName(s string) (string, error) {
	s = strings.ToLower(s)
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return "", fmt.Errorf("dkim: the selector %.80q is not a DNS name", s)
		}
	}
	return s, nil
}
