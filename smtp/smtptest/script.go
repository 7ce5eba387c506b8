package smtptest

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// step is one line of a dialogue file.
type step struct {
	line int
	op   string // "C", "C~", "C=", "S", "S=", or a directive
	text string
	re   *regexp.Regexp
	wait time.Duration
}

// directives are the words that may stand alone on a line.
var directives = map[string]bool{"BODY": true, "TLS": true, "WAIT": true, "EOF": true, "DROP": true,
	"STALL": true, "CONNECT": true, "REFUSE": true}

// readScript parses a dialogue file into the connections that it describes.
func readScript(file string) ([][]step, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	connections := [][]step{nil}
	n := 0
	for line := range strings.SplitSeq(string(text), "\n") {
		n++
		line = strings.TrimSuffix(line, "\r")
		if line == "" || line[0] == '#' {
			continue
		}
		s, err := parseStep(line)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, n, err)
		}
		s.line = n
		last := len(connections) - 1
		if s.op == "CONNECT" {
			if connections[last] != nil {
				connections = append(connections, nil)
			}
			continue
		}
		connections[last] = append(connections[last], s)
	}
	return connections, nil
}

func parseStep(line string) (step, error) {
	op, rest, _ := strings.Cut(line, " ")
	s := step{op: strings.TrimSuffix(op, ":"), text: rest}
	var err error
	switch op {
	case "C:", "S:":
	case "C~":
		s.re, err = regexp.Compile("^(?:" + rest + ")$")
	case "C=", "S=":
		s.text, err = strconv.Unquote(rest)
	case "WAIT":
		s.wait, err = time.ParseDuration(rest)
	default:
		if !directives[op] {
			err = fmt.Errorf("unknown step %q", line)
		}
	}
	return s, err
}

// bdatSize finds the size in a BDAT command, for the BODY that follows it.
var bdatCommand = regexp.MustCompile(`(?i)^BDAT ([0-9]{1,9})( LAST)?$`)

// play is one connection of a dialogue.
type play struct {
	file string
	r    *bufio.Reader
	w    *bufio.Writer
	size int // of the last BDAT, -1 after any other command
}

// expect reads what the client says and compares it.
func (p *play) expect(s step) error {
	if s.op == "C=" {
		got := make([]byte, len(s.text))
		n, err := io.ReadFull(p.r, got)
		if string(got[:n]) != s.text {
			return fmt.Errorf("client sent %q (%v), want %q", got[:n], err, s.text)
		}
		return nil
	}
	line, err := p.r.ReadString('\n')
	if err != nil {
		return fmt.Errorf("the connection ended after %q, want %q: %v", line, s.text, err)
	}
	text, ok := strings.CutSuffix(line, "\r\n")
	if !ok {
		return fmt.Errorf("client sent a line without CR: %q", line)
	}
	if s.re != nil && !s.re.MatchString(text) || s.re == nil && text != s.text {
		return fmt.Errorf("client sent %q, want %q", text, s.text)
	}
	p.size = -1
	if m := bdatCommand.FindStringSubmatch(text); m != nil {
		p.size, _ = strconv.Atoi(m[1])
	}
	return nil
}

// body skips a message: as many octets as the directive or the BDAT before it says, or up to the dot.
func (p *play) body(s step) error {
	size := p.size
	if s.text != "" {
		n, err := strconv.Atoi(s.text)
		if err != nil {
			return err
		}
		size = n
	}
	if size >= 0 {
		if _, err := p.r.Discard(size); err != nil {
			return fmt.Errorf("the body was cut: %v", err)
		}
		return nil
	}
	for {
		line, err := p.r.ReadString('\n')
		if err != nil {
			return fmt.Errorf("the body was cut: %v", err)
		}
		if line == ".\r\n" {
			return nil
		}
	}
}
