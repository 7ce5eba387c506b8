package postrider

import "strings"

// qpLine is the most that stands on a line of quoted-printable, with the "=" of a soft break
// (RFC 2045 s. 6.7 (5)).
const qpLine = 76

// quotedPrintable writes s in quoted-printable (RFC 2045 s. 6.7). LF and CRLF are line breaks; a CR
// by itself is data. The octets of one UTF-8 character are never parted by a soft break.
func (o *output) quotedPrintable(s string) {
	for s != "" {
		i := strings.IndexByte(s, '\n')
		if i < 0 {
			o.qpText(s)
			return
		}
		line := s[:i]
		if i > 0 && s[i-1] == '\r' {
			line = s[:i-1]
		}
		s = s[i+1:]
		o.qpText(line)
		o.WriteString("\r\n")
	}
}

// qpText writes one line of text as one or more lines, without the break at its end.
func (o *output) qpText(s string) {
	for {
		dst := o.space(qpLine + 2)
		n, used, done := qpFill(dst, s)
		o.used(n)
		if done {
			return
		}
		s = s[used:]
	}
}

// qpFill writes as much of s as goes on one line into dst, with the soft break if something is left.
// It returns the octets written, those read, and whether that was all.
func qpFill(dst []byte, s string) (n, used int, done bool) {
	_ = dst[qpLine+1]
	i := 0
	if strings.HasPrefix(s, "From ") {
		n, i = copy(dst, "=46"), 1 // stores of the mbox kind write ">From "
	}
	for i < len(s) {
		// A run of plain characters.
		for stop := min(len(s), i+qpLine-1-n); i < stop && qpPlain[s[i]]; i++ {
			dst[n] = s[i]
			n++
		}
		if i == len(s) {
			break
		}
		c := s[i]
		if qpPlain[c] { // the line is full, but for the column of the soft break
			if i+1 == len(s) {
				dst[n] = c
				n++
				break
			}
			return n + copy(dst[n:], "=\r\n"), i, false
		}
		size := 1
		if c >= 0xc0 {
			size = runeLen(s[i:])
		}
		most := qpLine - 1
		if i+size == len(s) {
			most = qpLine // nothing follows, so there is no soft break
		}
		if n+3*size > most {
			return n + copy(dst[n:], "=\r\n"), i, false
		}
		for ; size > 0; size-- {
			dst[n], dst[n+1], dst[n+2] = '=', upperHex[s[i]>>4], upperHex[s[i]&15]
			n, i = n+3, i+1
		}
	}
	// White space at the end of a line is lost on the way (s. 6.7 (3)).
	if n > 0 && (dst[n-1] == ' ' || dst[n-1] == '\t') {
		c := dst[n-1]
		if n+2 > qpLine {
			return n - 1 + copy(dst[n-1:], "=\r\n"), len(s) - 1, false
		}
		dst[n-1], dst[n], dst[n+1] = '=', upperHex[c>>4], upperHex[c&15]
		n += 2
	}
	return n, len(s), true
}

// runeLen is the length of the UTF-8 sequence at the start of s, whose first octet is above 0xbf.
func runeLen(s string) int {
	n := 1
	for n < len(s) && n < 4 && s[n]&0xc0 == 0x80 {
		n++
	}
	return n
}

// qpPlain are the octets that stand for themselves.
var qpPlain = func() (t [256]bool) {
	for c := ' '; c <= '~'; c++ {
		t[c] = c != '='
	}
	t['\t'] = true
	return t
}()
