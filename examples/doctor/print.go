package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/postrider/postrider"
)

// The colours of a terminal, for severities and results.
const (
	red    = "\x1b[31m"
	yellow = "\x1b[33m"
	green  = "\x1b[32m"
	blue   = "\x1b[36m"
	bold   = "\x1b[1m"
	plain  = "\x1b[0m"
)

var marks = map[postrider.Severity]struct{ mark, colour string }{
	postrider.SeverityPass:    {"ok  ", green},
	postrider.SeverityNotice:  {"note", blue},
	postrider.SeverityWarning: {"warn", yellow},
	postrider.SeverityFailure: {"FAIL", red},
}

var results = map[string]string{"pass": green, "at risk": yellow, "refused": red}

// print writes the report, as JSON or for people.
func (s *settings) print(out io.Writer, r *postrider.Report, getenv func(string) string) error {
	if s.json {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(r)
	}
	p := printer{out: out, colour: s.color == "always" || s.color == "auto" && getenv("NO_COLOR") == "" && isTerminal(out)}
	p.report(r, s.quiet)
	return p.err
}

// isTerminal tells whether somebody looks at it. Pipes and files get plain text.
func isTerminal(out io.Writer) bool {
	f, ok := out.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
}

type printer struct {
	out    io.Writer
	colour bool
	err    error
}

func (p *printer) printf(format string, args ...any) {
	if _, err := fmt.Fprintf(p.out, format, args...); err != nil && p.err == nil {
		p.err = err
	}
}

func (p *printer) paint(colour, s string) string {
	if !p.colour {
		return s
	}
	return colour + s + plain
}

func (p *printer) report(r *postrider.Report, quiet bool) {
	p.printf("%s\n", p.paint(bold, "Mail from "+r.From))
	if r.Hello != "" || len(r.Sources) > 0 {
		var addrs []string
		for _, a := range r.Sources {
			addrs = append(addrs, a.String())
		}
		if addrs == nil {
			addrs = []string{"an unknown address"}
		}
		p.printf("leaves %s, as %s\n", strings.Join(addrs, " and "), r.Hello)
	}
	p.printf("\n")
	said := false
	for _, f := range r.Findings {
		if !quiet || f.Severity > postrider.SeverityPass {
			p.finding(f)
			said = true
		}
	}
	if said {
		p.printf("\n")
	}
	for _, j := range r.Judgements {
		line := fmt.Sprintf("%-10s %s", j.Receiver, p.paint(results[j.Result], fmt.Sprintf("%-8s", j.Result)))
		if len(j.Because) > 0 {
			line += " " + strings.Join(j.Because, ", ")
		}
		p.printf("%s\n", strings.TrimRight(line, " "))
	}
}

// finding prints one, with evidence and remedy below its rule.
func (p *printer) finding(f postrider.Finding) {
	m := marks[f.Severity]
	by := ""
	if len(f.By) > 0 && f.Severity > postrider.SeverityPass {
		by = " (" + strings.Join(f.By, ", ") + ")"
	}
	p.printf("%s %s%s\n", p.paint(m.colour, m.mark), p.paint(bold, f.Rule), by)
	p.text("     ", f.Evidence)
	if f.Remedy != "" {
		p.text("     → ", f.Remedy)
	}
}

// text breaks lines between words, but never a record, which people copy: it gets a line of its own.
func (p *printer) text(indent, s string) {
	next := strings.Repeat(" ", len([]rune(indent)))
	if at := strings.Index(s, ". IN "); at >= 0 {
		name := strings.LastIndexByte(s[:at], ' ') + 1
		p.text(indent, strings.TrimRight(s[:name], " "))
		for line := range strings.Lines(s[name:]) {
			p.printf("%s%s\n", next, strings.TrimRight(line, "\n"))
		}
		return
	}
	const width = 100
	for len(s) > width {
		cut := strings.LastIndexByte(s[:width], ' ')
		if cut <= 0 {
			break
		}
		p.printf("%s%s\n", indent, s[:cut])
		indent, s = next, s[cut+1:]
	}
	p.printf("%s%s\n", indent, s)
}
