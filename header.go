package postrider

import (
	"errors"
	"fmt"
	"strings"
)

// Header is a list of header fields in their order.
type Header []Field

// Field is one header field. Value is UTF-8 text without line breaks; it is encoded and folded when written.
type Field struct{ Name, Value string }

const (
	// lineWant is the length of a line that has an encoded word (RFC 2047 s. 2), and we keep to it
	// everywhere: RFC 5322 s. 2.1.1 asks for 78. Only a word that must not be broken goes beyond it.
	lineWant = 76
	// lineMax must not be exceeded (RFC 5322 s. 2.1.1). Neither count has the CRLF.
	lineMax = 998
)

// headerWriter writes header fields. It knows where the line began, so that what is written by
// next and the functions above it is folded; the callers have checked all values: no control
// character comes here.
type headerWriter struct {
	b     []byte
	line  int  // where in b the current line begins
	first bool // nothing stands behind the name yet: no folding there
	utf8  bool // text is written as raw UTF-8 (RFC 6532)
}

func (h *headerWriter) begin(name string) {
	h.line = len(h.b)
	h.b = append(h.b, name...)
	h.b = append(h.b, ':')
	h.first = true
}

func (h *headerWriter) end() { h.b = append(h.b, '\r', '\n') }

// next makes room for a word of n octets: it writes the space before it, on a new line if the word
// goes beyond this one.
func (h *headerWriter) next(n int) {
	if !h.first && h.column()+1+n > lineWant {
		h.fold()
	}
	h.first = false
	h.b = append(h.b, ' ')
}

func (h *headerWriter) fold() {
	h.b = append(h.b, '\r', '\n')
	h.line = len(h.b)
}

func (h *headerWriter) column() int { return len(h.b) - h.line }

// word writes a word that must not be broken, with what follows it directly.
func (h *headerWriter) word(s, suffix string) {
	h.next(len(s) + len(suffix))
	h.b = append(h.b, s...)
	h.b = append(h.b, suffix...)
}

// plain writes a field of one word.
func (h *headerWriter) plain(name, value string) {
	h.begin(name)
	h.word(value, "")
	h.end()
}

// text writes an unstructured field (RFC 5322 s. 3.6.5).
func (h *headerWriter) text(name, value string) {
	h.begin(name)
	if value != "" {
		if needsWords(value, h.utf8, lineWant-h.column()-1, lineMax-h.column()-1) {
			h.encode(value, false)
		} else {
			h.foldText(value)
		}
	}
	h.end()
}

// foldText writes text that needs no encoding, folded at its white space.
func (h *headerWriter) foldText(s string) {
	if h.column()+1+len(s) <= lineWant {
		h.b = append(h.b, ' ')
		h.b = append(h.b, s...)
		return
	}
	for s != "" {
		w := s
		if i := strings.IndexByte(s, ' '); i >= 0 {
			w, s = s[:i], s[i+1:]
		} else {
			s = ""
		}
		h.word(w, "")
	}
}

// needsWords says whether text must go in encoded words: because of its characters; because it looks
// like an encoded word already; or because folding would not bring it back as it was, for white space
// at its ends or in a row is lost in some readers. room is what fits on this line, most what may.
func needsWords(s string, utf8 bool, room, most int) bool {
	if s == "" {
		return false
	}
	if s[0] == ' ' || s[len(s)-1] == ' ' {
		return true
	}
	word := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\t' || c >= 0x80 && !utf8:
			return true
		case c == '=' && i+1 < len(s) && s[i+1] == '?' && strings.Contains(s[i+2:], "?="):
			return true
		case c == ' ':
			if word == 0 && len(s) > room {
				return true
			}
			word = 0
		default:
			if word++; word > most {
				return true
			}
		}
	}
	return false
}

// address writes one address of a list.
func (h *headerWriter) address(a *Address, suffix string) {
	spec, _, _ := parseAddress(a.Address) // checked before
	if a.Name == "" {
		h.word(spec, suffix)
		return
	}
	h.phrase(a.Name)
	h.next(len(spec) + 2 + len(suffix))
	h.b = append(h.b, '<')
	h.b = append(h.b, spec...)
	h.b = append(h.b, '>')
	h.b = append(h.b, suffix...)
}

// addresses writes an address list (RFC 5322 s. 3.4).
func (h *headerWriter) addresses(name string, list []Address) {
	h.begin(name)
	for i := range list {
		suffix := ","
		if i == len(list)-1 {
			suffix = ""
		}
		h.address(&list[i], suffix)
	}
	h.end()
}

// phrase writes a display name: as atoms, in quotes when it has specials, or in encoded words.
func (h *headerWriter) phrase(s string) {
	const room = 60 // a quoted string is not folded, so longer names go in encoded words
	atoms, start := true, true
	for i := 0; i < len(s); i++ {
		if s[i] == ' ' {
			atoms, start = atoms && !start, true
			continue
		}
		atoms, start = atoms && isAtext(s[i]), false
	}
	switch {
	case needsWords(s, h.utf8, 0, room):
		h.encode(s, true)
	case atoms:
		for w := range strings.SplitSeq(s, " ") {
			h.word(w, "")
		}
	case len(s) > room:
		h.encode(s, true)
	default:
		h.next(len(s) + 2)
		h.b = appendQuoted(h.b, s)
	}
}

// messageIDs writes a list of message ids (RFC 5322 s. 3.6.4).
func (h *headerWriter) messageIDs(name string, ids ...string) {
	h.begin(name)
	for _, id := range ids {
		id = trimID(id)
		h.next(len(id) + 2)
		h.b = append(h.b, '<')
		h.b = append(h.b, id...)
		h.b = append(h.b, '>')
	}
	h.end()
}

// structured writes a field whose words are folded at white space and never encoded.
func (h *headerWriter) structured(name, value string) {
	h.begin(name)
	for w := range strings.FieldsSeq(value) {
		h.word(w, "")
	}
	h.end()
}

// trimID takes the angle brackets from an id that was copied with them.
func trimID(id string) string {
	if len(id) > 2 && id[0] == '<' && id[len(id)-1] == '>' {
		return id[1 : len(id)-1]
	}
	return id
}

// checkID checks the inner part of a msg-id. Ids of foreign messages are often not what RFC 5322
// s. 3.6.4 says, and an answer must repeat them as they are: all visible characters but the brackets pass.
func checkID(id string) error {
	id = trimID(id)
	if id == "" {
		return errors.New("empty id")
	}
	if len(id) > lineMax-100 {
		return fmt.Errorf("id of %d octets", len(id))
	}
	for i := 0; i < len(id); i++ {
		if c := id[i]; c <= ' ' || c > '~' || c == '<' || c == '>' {
			return fmt.Errorf("%q is not allowed in an id", c)
		}
	}
	return nil
}

// checkMessageID checks an id that we give out: dot-atom-text "@" and a domain or literal.
func checkMessageID(id string) error {
	if err := checkID(id); err != nil {
		return err
	}
	left, right, ok := strings.Cut(trimID(id), "@")
	if literal := len(right) > 2 && right[0] == '[' && right[len(right)-1] == ']'; literal {
		ok = ok && !strings.ContainsAny(right[1:len(right)-1], `[]@\"`)
	} else {
		ok = ok && isDotString(right)
	}
	if !ok || !isDotString(left) {
		return errors.New("want the form left@domain")
	}
	return nil
}

// checkText checks text for a header field.
func checkText(s string) error {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '\r' || c == '\n' {
			return errors.New("line break")
		}
		if c < ' ' && c != '\t' || c == 0x7f {
			return fmt.Errorf("control character %q", c)
		}
		if c >= 0x80 {
			for j := i; j < len(s); j++ { // the rest, and then its characters
				if s[j] == '\r' || s[j] == '\n' {
					return errors.New("line break")
				}
			}
			return checkRunes(strings.ReplaceAll(s[i:], "\t", " "))
		}
	}
	return nil
}

// checkFieldName checks ftext (RFC 5322 s. 3.6.8).
func checkFieldName(name string) error {
	if name == "" {
		return errors.New("empty field name")
	}
	if len(name) > 70 {
		return fmt.Errorf("field name of %d octets", len(name))
	}
	for i := 0; i < len(name); i++ {
		if name[i] <= ' ' || name[i] > '~' || name[i] == ':' {
			return fmt.Errorf("%q is not allowed in a field name", name[i])
		}
	}
	return nil
}
