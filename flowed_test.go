package postrider

import (
	"strings"
	"testing"
)

const flowedText = `A paragraph of text that is quite a bit longer than the seventy-two columns that a line of flowed text should have, so that it is broken twice at least.

> A quotation that is long enough to be broken too, and whose second line must say that it is quoted like the first.
>> And one of two levels.
From here on it is stuffed.
 A line that begins with a space.
>

-- 
Ada
`

// readFlowed reads format=flowed as RFC 3676 s. 4 says.
func readFlowed(s string) string {
	var out []string
	open, depth := false, 0
	for _, line := range strings.Split(strings.TrimSuffix(s, "\r\n"), "\r\n") {
		d := len(line) - len(strings.TrimLeft(line, ">"))
		text := strings.TrimPrefix(line[d:], " ")
		if open && d == depth && text != "-- " {
			out[len(out)-1] += text
		} else {
			if d > 0 && text != "" {
				text = " " + text
			}
			out = append(out, strings.Repeat(">", d)+text)
		}
		open, depth = strings.HasSuffix(line, " ") && text != "-- ", d
	}
	return strings.Join(out, "\n") + "\n"
}

func TestFlow(t *testing.T) {
	for _, in := range []string{
		flowedText,
		"short\n",
		"\n\n",
		strings.Repeat("word ", 100) + "end\n",
		strings.Repeat("x", 500) + " " + strings.Repeat("y", 500) + "\n",
		strings.Repeat("x", 71) + "  y\n",
		strings.Repeat(german+" ", 20) + "x\n",
		strings.Repeat(" ", 100) + "x\n",
		strings.Repeat(">", 100) + " " + strings.Repeat("deep ", 50) + "x\n",
		strings.Repeat("From ", 50) + "x\n",
		strings.Repeat("x", 71) + " > not a quotation\n",
		strings.Repeat("x", 71) + " -- and more\n",
	} {
		flowed := flow(in)
		if got := readFlowed(flowed); got != in {
			t.Errorf("read back as\n%q, want\n%q; flowed:\n%q", got, in, flowed)
		}
		for line := range strings.SplitSeq(flowed, "\r\n") {
			if len(line) > 140 && strings.Count(strings.TrimLeft(line, "> "), " ") > 1 {
				t.Errorf("line of %d octets: %q", len(line), line)
			}
		}
	}
}

func TestFlowedMessage(t *testing.T) {
	m := plainMessage()
	m.Text, m.Flowed = flowedText, true
	raw, _ := octets(t, m, nil)
	if head, body, _ := strings.Cut(string(raw), "\r\n\r\n"); !strings.Contains(head, "; format=flowed") || readFlowed(body) != flowedText {
		t.Errorf("%s\n\n%s", head, body)
	}
}
