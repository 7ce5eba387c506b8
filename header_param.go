package postrider

import (
	"errors"
	"fmt"
	"maps"
	"mime"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// param writes a parameter of a structured MIME field (RFC 2045 s. 5.1): as a token or quoted string
// where it is ASCII and fits a line, in continuations where it is longer, and by RFC 2231 where it is
// not ASCII. Encoded words have no place here (RFC 2047 s. 5).
func (h *headerWriter) param(name, value string) {
	h.b = append(h.b, ';')
	switch plain := isPlainParam(value); {
	case plain && isWord(value) && len(name)+1+len(value) < lineWant-1:
		h.next(len(name) + 1 + len(value) + 1)
		h.b = append(h.b, name...)
		h.b = append(h.b, '=')
		h.b = append(h.b, value...)
	case plain && len(name)+1+quotedLen(value) < lineWant-1:
		h.next(len(name) + 1 + quotedLen(value) + 1)
		h.b = append(h.b, name...)
		h.b = append(h.b, '=')
		h.b = appendQuoted(h.b, value)
	case plain:
		h.continued(name, value)
	default:
		h.extended(name, value)
	}
}

// continued writes a long ASCII value in pieces (RFC 2231 s. 3).
func (h *headerWriter) continued(name, value string) {
	for i := 0; value != ""; i++ {
		if i > 0 {
			h.b = append(h.b, ';')
		}
		room := lineWant - 1 - len(name) - len("*000=\"\";")
		n, octets := 0, 0
		for n < len(value) && octets < room-1 {
			if value[n] == '"' || value[n] == '\\' {
				octets++
			}
			octets++
			n++
		}
		h.next(lineWant) // each piece on its line
		h.b = append(h.b, name...)
		h.b = append(h.b, '*')
		h.b = strconv.AppendInt(h.b, int64(i), 10)
		h.b = append(h.b, '=')
		h.b = appendQuoted(h.b, value[:n])
		value = value[n:]
	}
}

// extended writes a value in UTF-8 with percent signs (RFC 2231 s. 4), in pieces when it is long. A
// character is not split between pieces: some readers decode each for itself.
func (h *headerWriter) extended(name, value string) {
	octets := 0
	for i := 0; i < len(value); i++ {
		octets += percentLen(value[i])
	}
	if octets+len(name)+len("*=utf-8'';") < lineWant-1 {
		h.next(len(name) + octets + len("*=utf-8'';"))
		h.b = append(h.b, name...)
		h.b = append(h.b, "*=utf-8''"...)
		h.b = appendPercent(h.b, value)
		return
	}
	for i := 0; value != ""; i++ {
		if i > 0 {
			h.b = append(h.b, ';')
		}
		h.next(lineWant)
		h.b = append(h.b, name...)
		h.b = append(h.b, '*')
		h.b = strconv.AppendInt(h.b, int64(i), 10)
		h.b = append(h.b, "*="...)
		if i == 0 {
			h.b = append(h.b, "utf-8''"...)
		}
		for value != "" {
			_, size := utf8.DecodeRuneInString(value)
			if h.column()+3*size >= lineWant {
				break
			}
			h.b = appendPercent(h.b, value[:size])
			value = value[size:]
		}
	}
}

func percentLen(c byte) int {
	if isAttributeChar(c) {
		return 1
	}
	return 3
}

func appendPercent(b []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if isAttributeChar(s[i]) {
			b = append(b, s[i])
		} else {
			b = append(b, '%', upperHex[s[i]>>4], upperHex[s[i]&15])
		}
	}
	return b
}

// isAttributeChar is attribute-char of RFC 2231 s. 7.
func isAttributeChar(c byte) bool {
	return isTokenChar(c) && c != '*' && c != '\'' && c != '%'
}

// isTokenChar is a token's character (RFC 2045 s. 5.1).
func isTokenChar(c byte) bool {
	return c > ' ' && c <= '~' && strings.IndexByte(`()<>@,;:\"/[]?=`, c) < 0
}

func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		if !isTokenChar(s[i]) {
			return false
		}
	}
	return s != ""
}

// isWord says whether a value needs no quotes in any reader's eyes. A token may have more characters,
// some of which (such as "'") mean something in parameters.
func isWord(s string) bool {
	for i := 0; i < len(s); i++ {
		if !isIDChar(rune(s[i])) {
			return false
		}
	}
	return s != ""
}

// isPlainParam says whether a value can stand in a quoted string: ASCII, nothing that readers take for
// an encoded word, and no space at its ends, which some take away.
func isPlainParam(s string) bool {
	if s != "" && (s[0] == ' ' || s[len(s)-1] == ' ') {
		return false
	}
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return !strings.Contains(s, "=?")
}

func quotedLen(s string) int {
	return len(s) + 2 + strings.Count(s, `"`) + strings.Count(s, `\`)
}

// asciiName is the file name for readers that know neither Content-Disposition nor RFC 2231 and look at
// the name parameter of Content-Type: what is not ASCII becomes "_", and a long name keeps its extension. (An encoded word in this place is common, but strict parsers report it.)
func asciiName(name string) string {
	const most = 60
	if len(name) <= most && isPlainParam(name) {
		return name
	}
	var b strings.Builder
	for _, r := range name {
		if r < ' ' || r > '~' {
			r = '_'
		}
		b.WriteRune(r)
	}
	ascii := strings.TrimSpace(strings.ReplaceAll(b.String(), "=?", "__"))
	if len(ascii) > most {
		ext := path.Ext(ascii)
		if len(ext) > 10 {
			ext = ""
		}
		ascii = ascii[:most-len(ext)] + ext
	}
	return ascii
}

// mediaType is a parsed Content-Type.
type mediaType struct {
	full   string // type "/" subtype in lower case
	params map[string]string
}

// parseMediaType reads and checks a media type of the caller's.
func parseMediaType(s string) (mediaType, error) {
	if top, sub, ok := strings.Cut(s, "/"); ok && isToken(top) && isToken(sub) && !strings.EqualFold(top, "multipart") && len(s) <= 127 {
		return mediaType{full: strings.ToLower(s)}, nil // nothing to parse
	}
	if err := checkText(s); err != nil {
		return mediaType{}, err
	}
	full, params, err := mime.ParseMediaType(s)
	if err != nil {
		return mediaType{}, fmt.Errorf("media type %q: %w", s, err)
	}
	top, sub, ok := strings.Cut(full, "/")
	if !ok || !isToken(top) || !isToken(sub) || len(full) > 127 {
		return mediaType{}, fmt.Errorf("media type %q: want type/subtype", s)
	}
	if top == "multipart" {
		return mediaType{}, errors.New("a multipart cannot be given as a file")
	}
	for name, value := range params {
		if !isToken(name) || strings.ContainsAny(name, "*'%") || len(name) > 40 {
			return mediaType{}, fmt.Errorf("media type %q: parameter %q", s, name)
		}
		if err := checkText(value); err != nil {
			return mediaType{}, fmt.Errorf("media type %q: parameter %q: %w", s, name, err)
		}
	}
	return mediaType{full, params}, nil
}

// contentType writes a Content-Type without its end, so that parameters can follow. Its parameters are
// sorted; name is left out, since the attachment's Name says it.
func (h *headerWriter) contentType(t mediaType) {
	h.begin("Content-Type")
	h.word(t.full, "")
	for _, name := range slices.Sorted(maps.Keys(t.params)) {
		if name != "name" {
			h.param(name, t.params[name])
		}
	}
}
