package mtasts

import (
	"errors"
	"strings"
)

// errNoRecord says that a TXT record is about something else.
var errNoRecord = errors.New("mtasts: not an MTA-STS record")

// parseRecord returns the id of a TXT record "v=STSv1; id=...;" (RFC 8461 s. 3.1). Fields with
// other names are extensions and are ignored; of two fields with one name the first counts.
func parseRecord(txt string) (id string, err error) {
	version, rest, more := strings.Cut(txt, ";")
	if strings.TrimRight(version, " \t") != "v=STSv1" {
		return "", errNoRecord
	}
	for more {
		var field string
		field, rest, more = strings.Cut(rest, ";")
		field = strings.Trim(field, " \t")
		if field == "" && !more {
			break // the final delimiter
		}
		name, value, found := strings.Cut(field, "=")
		if !found || !isFieldName(name) || value == "" || strings.ContainsFunc(value, notRecordValue) {
			return "", errors.New("mtasts: the TXT record has a malformed field")
		}
		if name != "id" || id != "" {
			continue
		}
		if len(value) > 32 || strings.ContainsFunc(value, func(c rune) bool { return !isAlphanumeric(c) }) {
			return "", errors.New("mtasts: the id is not 1 to 32 letters and digits")
		}
		id = value
	}
	if id == "" {
		return "", errors.New("mtasts: the TXT record has no id")
	}
	return id, nil
}

// chooseRecord finds the id among the TXT records of a name: there must be one MTA-STS record, no more.
func chooseRecord(txts []string) (id string, err error) {
	err = errNoRecord
	for _, txt := range txts {
		if i, e := parseRecord(txt); e != errNoRecord {
			if err != errNoRecord {
				return "", errors.New("mtasts: more than one MTA-STS record")
			}
			id, err = i, e
		}
	}
	return id, err
}

func isAlphanumeric(c rune) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// isFieldName says that name fits the grammar of extension names, which all names do.
func isFieldName(name string) bool {
	for i, c := range name {
		if !isAlphanumeric(c) && (i == 0 || c != '_' && c != '-' && c != '.') {
			return false
		}
	}
	return name != "" && len(name) <= 32
}

func notRecordValue(c rune) bool { return c <= ' ' || c == ';' || c == '=' || c > '~' }
