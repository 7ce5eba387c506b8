package dkim

import (
	"errors"
	"fmt"
	"strings"
)

// folding is the white space that may stand anywhere in a tag list (FWS of RFC 6376 s. 2.8).
const folding = " \t\r\n"

type tag struct{ name, value string }

// parseTags reads a tag list (RFC 6376 s. 3.2): a name that occurs twice makes it invalid.
func parseTags(text string) ([]tag, error) {
	var tags []tag
	for part := range strings.SplitSeq(text, ";") {
		part = strings.Trim(part, folding)
		if part == "" {
			continue // the list may end with ';'
		}
		name, value, ok := strings.Cut(part, "=")
		name = strings.TrimRight(name, folding)
		if !ok || !isTagName(name) {
			return nil, fmt.Errorf("dkim: %.40q is not a tag", part)
		}
		for _, t := range tags {
			if t.name == name {
				return nil, fmt.Errorf("dkim: the tag %.40q occurs twice", name)
			}
		}
		if len(tags) == 100 {
			return nil, errors.New("dkim: too many tags")
		}
		tags = append(tags, tag{name, strings.TrimLeft(value, folding)})
	}
	if len(tags) == 0 {
		return nil, errors.New("dkim: no tag is there")
	}
	return tags, nil
}

func isTagName(s string) bool {
	for i, c := range []byte(s) {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && (i == 0 || c != '_' && (c < '0' || c > '9')) {
			return false
		}
	}
	return s != ""
}

// inList looks for a word in a list with colons.
func inList(list, word string) bool {
	for w := range strings.SplitSeq(list, ":") {
		if strings.EqualFold(strings.Trim(w, folding), word) {
			return true
		}
	}
	return false
}

// withoutSpace takes all white space out of a value.
func withoutSpace(s string) string {
	if !strings.ContainsAny(s, folding) {
		return s
	}
	return strings.Map(func(c rune) rune {
		if strings.ContainsRune(folding, c) {
			return -1
		}
		return c
	}, s)
}
