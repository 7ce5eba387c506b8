package postrider

import (
	"encoding/base64"
	"unicode"
	"unicode/utf8"
)

// Encoded words (RFC 2047): at most 75 octets each, of which "=?utf-8?Q?" and "?=" take 12.
const (
	wordMax  = 75
	wordOver = len("=?utf-8?Q?") + len("?=")
	qRune    = 12 // the longest character in Q
)

// encode writes s as encoded words, in B or in Q, whichever is shorter for the whole. The words are
// split between characters as a reader sees them (an emoji with its joiners, a letter with its accents)
// where these fit, and always between code points. White space between adjacent words is not part of
// the text (s. 6.2), so that of the text stands inside them.
func (h *headerWriter) encode(s string, phrase bool) {
	q, plain := 0, &qText
	if phrase {
		plain = &qPhrase
	}
	for i := 0; i < len(s); i++ {
		if plain[s[i]] {
			q++
		} else {
			q += 3
		}
	}
	b := (len(s) + 2) / 3 * 4
	useB := b < q
	if !h.first && h.column()+1+min(q, b)+wordOver > lineWant && min(q, b)+wordOver <= wordMax {
		// The text fits in one word on a line of its own: then it is not split, which spares us
		// the readers that put a space between the words of a display name.
		h.fold()
	}
	for s != "" {
		room := min(wordMax, lineWant-h.column()-1) - wordOver
		n := fit(s, room, useB, plain)
		if n == 0 {
			// Nothing is folded directly behind the name: a first line without a word is a space
			// of the text to some readers. Only a very long name leaves no choice.
			if h.column() > 0 && (!h.first || room < qRune) {
				h.fold()
				continue
			}
			n = fitRunes(s, room, useB, plain)
		}
		h.b = append(h.b, ' ')
		h.first = false
		if useB {
			h.b = append(h.b, "=?utf-8?B?"...)
			h.b = base64.StdEncoding.AppendEncode(h.b, []byte(s[:n]))
		} else {
			h.b = append(h.b, "=?utf-8?Q?"...)
			h.b = appendQ(h.b, s[:n], plain)
		}
		h.b = append(h.b, '?', '=')
		s = s[n:]
	}
}

// fit is the length of the longest prefix of whole clusters whose encoding has at most room octets.
func fit(s string, room int, useB bool, plain *[256]bool) int {
	n, octets := 0, 0
	for n < len(s) {
		c := cluster(s[n:])
		if useB {
			octets = (n + c + 2) / 3 * 4
		} else {
			octets += qLen(s[n:n+c], plain)
		}
		if octets > room {
			return n
		}
		n += c
	}
	return n
}

// fitRunes is fit for a cluster that is longer than a line: it splits between code points.
func fitRunes(s string, room int, useB bool, plain *[256]bool) int {
	n, octets := 0, 0
	for n < len(s) {
		_, c := utf8.DecodeRuneInString(s[n:])
		if useB {
			octets = (n + c + 2) / 3 * 4
		} else {
			octets += qLen(s[n:n+c], plain)
		}
		if octets > room && n > 0 {
			return n
		}
		n += c
	}
	return n
}

// cluster is the length of the first grapheme cluster of s, near enough to UAX #29 for text in
// headers: marks, joiners, variation selectors, skin tones, tags and pairs of regional indicators.
func cluster(s string) int {
	r, n := utf8.DecodeRuneInString(s)
	flags := regional(r)
	for joined := false; n < len(s); {
		next, size := utf8.DecodeRuneInString(s[n:])
		switch {
		case next == zwj:
			joined = true
		case joined, extends(next):
			joined = false
		case flags && regional(next):
			flags = false
		default:
			return n
		}
		n += size
	}
	return n
}

const zwj = '\u200d'

func regional(r rune) bool { return r >= 0x1f1e6 && r <= 0x1f1ff }

func extends(r rune) bool {
	return r > 0x2ff && (unicode.Is(unicode.M, r) || r >= 0x1f3fb && r <= 0x1f3ff || r >= 0xe0020 && r <= 0xe007f)
}

func qLen(s string, plain *[256]bool) int {
	n := 0
	for i := 0; i < len(s); i++ {
		if plain[s[i]] {
			n++
		} else {
			n += 3
		}
	}
	return n
}

const upperHex = "0123456789ABCDEF"

func appendQ(b []byte, s string, plain *[256]bool) []byte {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == ' ':
			b = append(b, '_')
		case plain[c]:
			b = append(b, c)
		default:
			b = append(b, '=', upperHex[c>>4], upperHex[c&15])
		}
	}
	return b
}

// qText are the octets that stand for themselves (or, the space, for one octet) in a Q word of
// unstructured text (RFC 2047 s. 4.2), qPhrase those of a phrase (s. 5 (3)).
var qText, qPhrase = qTables()

func qTables() (text, phrase [256]bool) {
	for c := '!'; c <= '~'; c++ {
		text[c] = c != '=' && c != '?' && c != '_'
	}
	for _, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/ " {
		phrase[c] = true
	}
	text[' '] = true
	return text, phrase
}
