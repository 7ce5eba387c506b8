package dkim

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

var errNoFrom = errors.New("dkim: the message has no From field")

// maxHeader bounds the memory that a header can take.
const maxHeader = 1 << 20

var blankLine = []byte("\r\n\r\n")

// headerBuffer gathers the header of a message that comes in pieces.
type headerBuffer struct {
	raw  []byte // the fields, without the blank line once done
	done bool
}

// write returns what follows the blank line, when it has come.
func (b *headerBuffer) write(p []byte) (body []byte, err error) {
	if b.raw == nil {
		b.raw = make([]byte, 0, 2048)
	}
	old := len(b.raw)
	// The blank line may have begun in an earlier piece: three octets of this one show it.
	b.raw = append(b.raw, p[:min(len(p), 3)]...)
	from := max(0, old-3)
	end := bytes.Index(b.raw[from:], blankLine)
	if end >= 0 {
		end += from
	} else if end = bytes.Index(p[:min(len(p), maxHeader)], blankLine); end >= 0 {
		end += old
	}
	switch {
	case bytes.HasPrefix(b.raw, blankLine[:2]):
		return nil, errNoFrom
	case end > maxHeader, end < 0 && old+len(p) > maxHeader:
		return nil, fmt.Errorf("dkim: the header is longer than %d octets", maxHeader)
	case end < 0:
		b.raw = append(b.raw[:old], p...)
		return nil, nil
	}
	b.raw = append(b.raw[:old], p[:end+4-old]...)[:end+2]
	b.done = true
	return p[end+4-old:], nil
}

// end ends a message that has no blank line and so no body (RFC 5322 s. 3.5).
func (b *headerBuffer) end() error {
	switch {
	case len(b.raw) == 0:
		return errNoFrom
	case !bytes.HasSuffix(b.raw, blankLine[:2]):
		return errors.New("dkim: the header ends within a line")
	}
	b.done = true
	return nil
}

// checkHeader refuses what is not a header: a signature over it would only look like one, for receivers
// repair such messages each in their own way (RFC 6376 s. 3.8, 8.15). It returns the value of the From field. What
// RFC 5322 s. 4 calls obsolete may be received but not sent.
func checkHeader(header []byte, obsolete bool) (from []byte, err error) {
	found := false
	for line, at := 1, 0; at < len(header); {
		end, lines, err := fieldEnd(header, at, line, obsolete)
		if err != nil {
			return nil, err
		}
		name, value, ok := bytes.Cut(header[at:end], []byte(":"))
		if obsolete {
			name = bytes.TrimRight(name, " \t")
		}
		if !ok || !isFieldName(name) {
			return nil, fmt.Errorf("dkim: line %d of the message is not a header field", line)
		}
		if len(name) == 4 && bytes.EqualFold(name, []byte("From")) {
			if found { // RFC 5322 s. 3.6: exactly one
				return nil, errors.New("dkim: the message has more than one From field")
			}
			from, found = value, true
		}
		at = end
		line += lines
	}
	if !found {
		return nil, errNoFrom
	}
	return from, nil
}

// fieldEnd returns where the field that begins at the offset ends, after its last CRLF, and its number of
// lines.
func fieldEnd(header []byte, at, line int, obsolete bool) (end, lines int, err error) {
	for end = at; ; {
		n := bytes.IndexByte(header[end:], '\n')
		text := header[end : end+max(n, 0)]
		switch {
		case n < 1 || text[n-1] != '\r':
			return 0, 0, fmt.Errorf("%w (line %d)", errBareLF, line+lines)
		case bytes.IndexByte(text[:n-1], '\r') >= 0:
			return 0, 0, fmt.Errorf("%w (line %d)", errBareCR, line+lines)
		case bytes.IndexByte(text, 0) >= 0:
			return 0, 0, fmt.Errorf("dkim: a NUL in line %d of the message", line+lines)
		case len(bytes.TrimLeft(text[:n-1], " \t")) == 0 && !obsolete:
			// RFC 5322 s. 3.2.2 forbids it, for some take it for the end of the header.
			return 0, 0, fmt.Errorf("dkim: line %d of the header is nothing but white space", line+lines)
		}
		end += n + 1
		lines++
		if end == len(header) || (header[end] != ' ' && header[end] != '\t') {
			return end, lines, nil
		}
	}
}

// isFieldName: RFC 5322 s. 3.6.8.
func isFieldName(name []byte) bool {
	for _, c := range name {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return len(name) > 0
}

// How a field is signed.
const (
	ifPresent = iota // what is there is signed, more may be added on the way
	sealed           // if it is there, no more can be added
	always           // signed whether it is there or not: it can be neither added nor changed
)

// signedNames are the fields that are signed: what a reader is shown or a program acts upon
// (RFC 6376 s. 5.4.1). A name that is signed once more often than it occurs cannot be added
// (s. 5.4.2): that is done for what must not be added to a mail, but not for what forwarders and
// mailing lists add to mail that has none of it.
var signedNames = []struct {
	name string
	how  int
}{
	{"From", always}, {"To", always}, {"Cc", always}, {"Subject", always}, {"Date", always},
	{"Message-ID", always}, {"Reply-To", always}, {"MIME-Version", always}, {"Content-Type", always},
	{"Content-Transfer-Encoding", always}, {"Content-Disposition", always},
	{"Sender", sealed}, {"In-Reply-To", sealed}, {"References", sealed},
	{"List-Unsubscribe", sealed}, {"List-Unsubscribe-Post", sealed}, {"List-Id", sealed},
	{"List-Help", sealed}, {"List-Subscribe", sealed}, {"List-Post", sealed}, {"List-Owner", sealed},
	{"List-Archive", sealed}, {"Feedback-ID", sealed},
	{"CFBL-Address", sealed}, {"CFBL-Feedback-ID", sealed}, // RFC 9477 s. 3.1
	{"Auto-Submitted", sealed}, {"TLS-Required", sealed},
	{"Content-ID", ifPresent}, {"Content-Description", ifPresent}, {"Content-Language", ifPresent},
	{"Resent-From", ifPresent}, {"Resent-Sender", ifPresent}, {"Resent-To", ifPresent},
	{"Resent-Cc", ifPresent}, {"Resent-Date", ifPresent}, {"Resent-Message-ID", ifPresent},
}

// signedHeader is the part of a header that is signed.
type signedHeader struct {
	names []byte // h=, names separated by ':'
	data  []byte // the fields in relaxed form, in the order of the names
}

// selectHeader finds the fields to sign. Of fields with one name the last comes first
// (RFC 6376 s. 5.4.2).
func selectHeader(header []byte, more []string) signedHeader {
	h := signedHeader{names: make([]byte, 0, 512), data: make([]byte, 0, len(header)+1024)}
	var room [32][]byte
	fields := splitFields(header, room[:0])
	for _, s := range signedNames {
		h.add(fields, s.name, s.how)
	}
	for i, name := range more {
		if !listed(name, more[:i]) {
			h.add(fields, name, always)
		}
	}
	return h
}

func listed(name string, before []string) bool {
	for _, s := range signedNames {
		if strings.EqualFold(s.name, name) {
			return true
		}
	}
	for _, s := range before {
		if strings.EqualFold(s, name) {
			return true
		}
	}
	return false
}

func (h *signedHeader) add(fields [][]byte, name string, how int) {
	n := 0
	for i := len(fields) - 1; i >= 0; i-- {
		if hasName(fields[i], name) {
			h.data = append(appendRelaxed(h.data, fields[i]), '\r', '\n')
			h.addName(name)
			n++
		}
	}
	if how == always || (how == sealed && n > 0) {
		h.addName(name)
	}
}

func (h *signedHeader) addName(name string) {
	if len(h.names) > 0 {
		h.names = append(h.names, ':')
	}
	h.names = append(h.names, name...)
}

func hasName(field []byte, name string) bool {
	return len(field) > len(name) && field[len(name)] == ':' && field[0]|0x20 == name[0]|0x20 &&
		strings.EqualFold(string(field[:len(name)]), name)
}

// splitFields cuts a checked header into its fields.
func splitFields(header []byte, fields [][]byte) [][]byte {
	start := 0
	for at := 0; at < len(header); {
		at += bytes.IndexByte(header[at:], '\n') + 1
		if at == len(header) || (header[at] != ' ' && header[at] != '\t') {
			fields = append(fields, header[start:at])
			start = at
		}
	}
	return fields
}

// appendRelaxed appends a field in relaxed canonicalisation, without its last CRLF (RFC 6376 s. 3.4.2).
func appendRelaxed(out, field []byte) []byte {
	colon := bytes.IndexByte(field, ':')
	for _, c := range bytes.TrimRight(field[:colon], " \t") {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		out = append(out, c)
	}
	out = append(out, ':')
	start := len(out)
	space := false
	for _, c := range field[colon+1:] {
		switch c {
		case ' ', '\t':
			space = true
		case '\r', '\n':
		default:
			if space && len(out) > start {
				out = append(out, ' ')
			}
			space = false
			out = append(out, c)
		}
	}
	return out
}
