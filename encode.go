package postrider

import (
	"strings"
	"unicode/utf8"
)

// encoding is a Content-Transfer-Encoding.
type encoding uint8

const (
	sevenBit encoding = iota
	eightBit
	quotedPrintable
	base64Encoded
)

func (e encoding) String() string {
	return [...]string{"7bit", "8bit", "quoted-printable", "base64"}[e]
}

// content is what one scan of a text says.
type content struct {
	text string
	enc  encoding
	bad  int // where the text is not UTF-8, or -1
}

// scan chooses the encoding of a text.
//
//   - 7bit, if it is ASCII, its lines are short, and nothing on the way would change it: no control
//     characters, no line that begins with "From " (stores put ">" before it) or that looks like one
//     of our boundaries.
//   - 8bit, if the caller wants it, under the same conditions.
//   - quoted-printable, if at most one octet in four needs an escape, or else base64. Both take every
//     octet: a bare CR and a NUL, which must not stand in a message (RFC 5322 s. 2.2 and 4), arrive in
//     this way as they are.
func scan(s string, allowEightBit bool) content {
	escapes, longest := 0, 0
	var seen class
	unsafe := false
	for rest := s; rest != ""; {
		line := rest
		if i := strings.IndexByte(rest, '\n'); i >= 0 {
			line, rest = rest[:i], rest[i+1:]
			if i > 0 && line[i-1] == '\r' {
				line = line[:i-1]
			}
		} else {
			rest = ""
		}
		for i := 0; i < len(line); i++ {
			c := classes[line[i]]
			seen |= c
			escapes += int(c & classEscape)
		}
		longest = max(longest, len(line))
		unsafe = unsafe || strings.HasPrefix(line, "From ") || strings.HasPrefix(line, "--=_")
	}
	unsafe = unsafe || seen&classControl != 0
	high := seen&classHigh != 0
	c := content{text: s, bad: -1}
	if high && !utf8.ValidString(s) {
		c.bad = invalidAt(s)
	}
	switch {
	case !unsafe && !high && longest <= lineMax:
		c.enc = sevenBit
	case !unsafe && allowEightBit && longest <= lineMax:
		c.enc = eightBit
	// Base64 is shorter from about one escape in six octets on; text that people can read without
	// a decoder, as that of the Latin scripts, is worth a little more.
	case !high || escapes*4 <= len(s):
		c.enc = quotedPrintable
	default:
		c.enc = base64Encoded
	}
	return c
}

func invalidAt(s string) int {
	for i, r := range s {
		if r == utf8.RuneError {
			if _, n := utf8.DecodeRuneInString(s[i:]); n == 1 {
				return i
			}
		}
	}
	return -1
}

// class says what an octet within a line means for the encoding.
type class uint8

const (
	classEscape  class = 1 << iota // is three octets in quoted-printable
	classHigh                      // is above 127
	classControl                   // must not stand in a message as it is
)

var classes = func() (t [256]class) {
	for c := range t {
		switch {
		case c >= 0x80:
			t[c] = classHigh | classEscape
		case c == '=':
			t[c] = classEscape
		case c == '\t':
		case c < ' ', c == 0x7f: // a CR is a control character here: those of line ends are cut off
			t[c] = classControl | classEscape
		}
	}
	return t
}()

// text writes a text in its encoding, with CRLF at the end of each line.
func (o *output) text(c content) {
	switch c.enc {
	case quotedPrintable:
		o.quotedPrintable(c.text)
	case base64Encoded:
		o.base64Text(c.text)
	default:
		o.identity(c.text)
	}
}

// identity writes lines as they are.
func (o *output) identity(s string) {
	for s != "" {
		i := strings.IndexByte(s, '\n')
		if i < 0 {
			o.WriteString(s)
			return
		}
		line := s[:i]
		if i > 0 && s[i-1] == '\r' {
			line = s[:i-1]
		}
		s = s[i+1:]
		o.WriteString(line)
		o.WriteString("\r\n")
	}
}
