package mtasts

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Mode says what a policy asks of senders (RFC 8461 s. 5).
type Mode string

// The modes.
const (
	Enforce Mode = "enforce" // deliver only as the policy says
	Testing Mode = "testing" // deliver as ever, report what the policy would have stopped
	None    Mode = "none"    // there is no policy any more
)

// Document is the text that a domain publishes (RFC 8461 s. 3.2).
type Document struct {
	Mode Mode
	// MX are host names, or patterns "*.example.com" for names with one label more. Lower case.
	MX []string
	// MaxAge is how long the policy may be kept, at most MaxMaxAge.
	MaxAge time.Duration
}

// MaxMaxAge is the longest time that a policy is kept: about a year (RFC 8461 s. 3.2).
const MaxMaxAge = 31557600 * time.Second

// maxSize bounds the text (RFC 8461 s. 3.3 suggests 64 kilobytes), maxMX the patterns in it.
const (
	maxSize = 64 << 10
	maxMX   = 1000
)

// Parse reads a policy text. Lines end with LF or CRLF; fields with unknown names are ignored; of
// two fields with one name, other than mx, the first counts.
func Parse(text []byte) (*Document, error) {
	if len(text) > maxSize {
		return nil, errors.New("mtasts: the policy is larger than 64 KB")
	}
	fields := map[string]string{}
	d := &Document{}
	for n, line := range strings.Split(string(text), "\n") {
		line = strings.TrimRight(strings.TrimSuffix(line, "\r"), " \t")
		if line == "" {
			continue
		}
		name, value, found := strings.Cut(line, ":")
		value = strings.TrimLeft(value, " \t")
		if !found || !isFieldName(name) || !isFieldValue(value) {
			return nil, fmt.Errorf("mtasts: line %d of the policy is malformed", n+1)
		}
		if name != "mx" {
			if _, twice := fields[name]; !twice {
				fields[name] = value
			}
			continue
		}
		pattern := strings.ToLower(value)
		if !isPattern(pattern) || len(d.MX) == maxMX {
			return nil, fmt.Errorf("mtasts: line %d of the policy: bad mx", n+1)
		}
		d.MX = append(d.MX, pattern)
	}
	if err := d.take(fields); err != nil {
		return nil, err
	}
	return d, nil
}

// take checks and keeps the fields other than mx.
func (d *Document) take(fields map[string]string) error {
	if fields["version"] != "STSv1" {
		return errors.New("mtasts: the policy has no version STSv1")
	}
	d.Mode = Mode(fields["mode"])
	if d.Mode != Enforce && d.Mode != Testing && d.Mode != None {
		return errors.New("mtasts: the policy has no mode enforce, testing or none")
	}
	if len(d.MX) == 0 && d.Mode != None {
		return errors.New("mtasts: the policy has no mx")
	}
	age := fields["max_age"]
	if age == "" || len(age) > 10 || strings.Trim(age, "0123456789") != "" {
		return errors.New("mtasts: max_age is not 1 to 10 digits")
	}
	seconds, err := strconv.ParseInt(age, 10, 64)
	if err != nil {
		return err
	}
	d.MaxAge = time.Duration(min(seconds, int64(MaxMaxAge/time.Second))) * time.Second
	return nil
}

// Match says that the policy names the host, given as A-labels (RFC 8461 s. 4.1). A wildcard stands
// for one whole label and no more.
func (d *Document) Match(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	label, parent, _ := strings.Cut(host, ".")
	for _, pattern := range d.MX {
		if rest, wild := strings.CutPrefix(pattern, "*."); wild {
			if label != "" && parent == rest {
				return true
			}
		} else if pattern == host {
			return true
		}
	}
	return false
}

// Text returns the policy in lines without line ends, as reports show it (RFC 8460 s. 4.4).
func (d *Document) Text() []string {
	lines := []string{"version: STSv1", "mode: " + string(d.Mode)}
	for _, pattern := range d.MX {
		lines = append(lines, "mx: "+pattern)
	}
	return append(lines, fmt.Sprintf("max_age: %d", d.MaxAge/time.Second))
}

func isFieldValue(value string) bool {
	for _, c := range value {
		if c < ' ' || c == 0x7f {
			return false
		}
	}
	return value != "" && utf8.ValidString(value)
}

// isPattern says that it is a host name in lower case, with or without "*." before it.
func isPattern(pattern string) bool {
	name := strings.TrimPrefix(pattern, "*.")
	if len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		if strings.ContainsFunc(label, func(c rune) bool { return !isAlphanumeric(c) && c != '-' }) {
			return false
		}
	}
	return true
}
