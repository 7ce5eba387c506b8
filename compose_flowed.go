package postrider

import "strings"

// flow makes format=flowed text (RFC 3676) of paragraphs, one on each line: lines are broken behind a
// space at 72 columns or so, and lines that begin with a space or with "From " get one more. Lines that
// begin with ">" are quotations; their depth is repeated on each line.
func flow(s string) string {
	const width = 72
	var b strings.Builder
	b.Grow(len(s) + len(s)/32)
	for line := range strings.Lines(s) {
		text := strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
		ended := len(text) < len(line)
		depth := 0
		for depth < len(text) && text[depth] == '>' {
			depth++
		}
		quote := text[:depth]
		text = text[depth:]
		if depth > 0 {
			text = strings.TrimPrefix(text, " ")
		}
		// Space at the end would make the line flow into the next; the signature's line is fixed
		// all the same (s. 4.3).
		if text != "-- " {
			text = strings.TrimRight(text, " ")
		}
		for first := true; first || text != ""; first = false {
			n := len(text)
			if n > width-depth {
				n = flowBreak(text, width-depth)
			}
			b.WriteString(quote)
			if depth > 0 || n > 0 && (text[0] == ' ' || text[0] == '>' || strings.HasPrefix(text, "From ")) {
				b.WriteByte(' ')
			}
			b.WriteString(text[:n])
			text = text[n:]
			if text != "" {
				b.WriteString("\r\n")
			}
		}
		if ended {
			b.WriteString("\r\n")
		}
	}
	return b.String()
}

// flowBreak is where a line of at most width octets ends: behind a run of spaces, or at the next one if
// a word is longer.
func flowBreak(s string, width int) int {
	width = max(width, 20)
	n := 0
	if width < len(s) {
		n = strings.LastIndexByte(s[:width], ' ') + 1
	}
	if n <= 0 || strings.Trim(s[:n], " ") == "" {
		from := len(s) - len(strings.TrimLeft(s, " "))
		i := strings.IndexByte(s[from:], ' ')
		if i < 0 {
			return len(s)
		}
		n = from + i + 1
	}
	for n < len(s) && s[n] == ' ' {
		n++
	}
	return n
}
