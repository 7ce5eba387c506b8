package tlsrpt

import (
	"context"
	"errors"
	"net/mail"
	"net/url"
	"strings"

	"github.com/postrider/postrider/mx"
	"github.com/postrider/postrider/mx/internal/ask"
)

// errNoRecord says that a TXT record is about something else.
var errNoRecord = errors.New("tlsrpt: not a TLSRPT record")

// maxURIs bounds the places that a domain may have a report sent to.
const maxURIs = 5

// ParseRecord returns the places for reports of a TXT record "v=TLSRPTv1; rua=mailto:...,https:..."
// (RFC 8460 s. 3). Fields with other names are extensions and are ignored, and so are places of
// other schemes; a record without a usable place is an error.
func ParseRecord(txt string) ([]*url.URL, error) {
	version, rest, more := strings.Cut(txt, ";")
	if strings.TrimRight(version, " \t") != "v=TLSRPTv1" {
		return nil, errNoRecord
	}
	var uris []*url.URL
	for more {
		var field string
		field, rest, more = strings.Cut(rest, ";")
		field = strings.Trim(field, " \t")
		if field == "" && !more {
			break // the final delimiter
		}
		name, value, found := strings.Cut(field, "=")
		if !found || !isFieldName(name) || value == "" || strings.ContainsFunc(value, isControl) {
			return nil, errors.New("tlsrpt: the TXT record has a malformed field")
		}
		if name != "rua" || uris != nil {
			continue
		}
		for text := range strings.SplitSeq(value, ",") {
			if u := place(strings.Trim(text, " \t")); u != nil && len(uris) < maxURIs {
				uris = append(uris, u)
			}
		}
	}
	if len(uris) == 0 {
		return nil, errors.New("tlsrpt: the TXT record names no place for reports")
	}
	return uris, nil
}

// place returns a URI to which a report may go, and nil for others. A comma, "!" or ";" in a URI is
// percent-encoded (RFC 8460 s. 3).
func place(text string) *url.URL {
	u, err := url.Parse(text)
	if err != nil {
		return nil
	}
	switch u.Scheme {
	case "mailto":
		if mailbox(u) == "" {
			return nil
		}
	case "https":
		// Another port would let a domain have us knock at any door.
		if u.Hostname() == "" || u.Port() != "" && u.Port() != "443" || u.User != nil {
			return nil
		}
	default:
		return nil
	}
	return u
}

// mailbox returns the address of a mailto URI; header fields in it are ignored.
func mailbox(u *url.URL) string {
	text, err := url.PathUnescape(u.Opaque)
	if err != nil {
		return ""
	}
	a, err := mail.ParseAddress(text)
	if err != nil || a.Address != text {
		return ""
	}
	return text
}

// lookup asks for a domain's record. There must be one and no more.
func lookup(ctx context.Context, r mx.Resolver, domain string) ([]*url.URL, error) {
	txts, err := ask.TXT(ctx, r, "_smtp._tls."+domain)
	if err != nil {
		return nil, err
	}
	var uris []*url.URL
	err = errNoRecord
	for _, txt := range txts {
		if u, e := ParseRecord(txt); e != errNoRecord {
			if err != errNoRecord {
				return nil, errors.New("tlsrpt: more than one TLSRPT record")
			}
			uris, err = u, e
		}
	}
	return uris, err
}

func isControl(c rune) bool { return c < ' ' || c > '~' }

func isFieldName(name string) bool {
	for i, c := range name {
		letter := '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c != '_' && c != '-' && c != '.') {
			return false
		}
	}
	return name != "" && len(name) <= 32
}
