// Tally reads the events of "go test -json" (see "go doc test2json") and says what they come to.
//
//	go test -json ./... | tally show FILE     copy the events to FILE; print packages and failures
//	tally sum CHECKS FILE...                  skips, lab tests, go test's lines of the last FILE, and the count
//
// CHECKS holds one line for each check that is not a test, "ok NAME" or "FAIL NAME". A test may be
// skipped in one run (no lab, the race detector) and run in another; one that no run has
// executed is a failure, for nobody would notice that it proves nothing.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
)

// event is one line of "go test -json".
type event struct {
	Action, Package, Test, Output, ImportPath string
	Elapsed                                   float64
}

func main() {
	var err error
	switch {
	case len(os.Args) == 3 && os.Args[1] == "show":
		err = show(os.Args[2])
	case len(os.Args) > 3 && os.Args[1] == "sum":
		err = sum(os.Args[2], os.Args[3:])
	default:
		err = fmt.Errorf("usage: tally show FILE | tally sum CHECKS FILE")
	}
	if err != nil {
		fmt.Println("tally:", err)
		os.Exit(1)
	}
}

// each calls f for each event of r. Lines that are no event (a compiler's message, say) are printed.
func each(r io.Reader, f func(event)) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Println(lines.Text())
			continue
		}
		f(e)
	}
	return lines.Err()
}

// show prints what "go test" without -v would, as it comes.
func show(file string) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	output := map[string][]string{} // of the tests that have not ended
	err = each(io.TeeReader(os.Stdin, f), func(e event) {
		key := e.Package + " " + e.Test
		switch {
		case strings.HasPrefix(e.Output, "=== "): // RUN, PAUSE, CONT, NAME: only -v asks for them
		case e.Action == "build-output":
			fmt.Print(e.Output)
		case e.Action == "output" && (e.Test != "" || !closing(e.Output)):
			output[key] = append(output[key], e.Output)
		case e.Action == "output":
			fmt.Print(e.Output)
		case e.Action == "fail":
			fmt.Print(strings.Join(output[key], ""))
			delete(output, key)
			if e.Test == "" { // a panic, a time limit or os.Exit leaves tests without an end
				for key, lines := range output {
					if strings.HasPrefix(key, e.Package+" ") {
						fmt.Print(strings.Join(lines, ""))
						delete(output, key)
					}
				}
			}
		case e.Action == "pass" || e.Action == "skip":
			delete(output, key)
		}
	})
	if err != nil {
		return err
	}
	return f.Close()
}

// closing says that the line is go test's last word on a package.
func closing(line string) bool {
	for _, start := range []string{"ok  \t", "FAIL\t", "?   \t"} {
		if strings.HasPrefix(line, start) {
			return true
		}
	}
	return strings.Contains(line, "\tcoverage: ") || strings.HasSuffix(line, "[no test files]\n")
}

// tally is what several runs come to.
type tally struct {
	fate   map[string]string // "package test" to pass, fail or skip
	reason map[string]string // what a skipped test said
	lab    map[string]event  // the lab tests that ran, in their longest run: without a lab they end at once
	last   []string          // go test's closing lines of the last run
}

func newTally() *tally {
	return &tally{fate: map[string]string{}, reason: map[string]string{}, lab: map[string]event{}}
}

// add reads the events of one run.
func (t *tally) add(r io.Reader) error {
	said := map[string]string{}
	t.last = nil
	return each(r, func(e event) {
		key := e.Package + " " + e.Test
		switch e.Action {
		case "output":
			if e.Test == "" && closing(e.Output) {
				t.last = append(t.last, e.Output)
			}
			if line := strings.TrimSpace(e.Output); !strings.HasPrefix(line, "---") && !strings.HasPrefix(line, "===") {
				said[key] = line
			}
		case "pass", "fail", "skip", "bench":
			if e.Test == "" && e.Action != "fail" {
				return // a package without tests, or one whose tests have all been counted
			}
			if strings.HasPrefix(e.Test, "TestLab") && e.Action != "skip" && !strings.Contains(e.Test, "/") {
				if was, ok := t.lab[key]; !ok || e.Elapsed > was.Elapsed {
					t.lab[key] = e
				}
			}
			if e.Action == "skip" {
				t.reason[key] = said[key]
			}
			t.fate[key] = worse(t.fate[key], e.Action)
		}
	})
}

// worse joins the fates of one test in two runs: it failed if it ever failed, it was skipped if it
// never ran.
func worse(a, b string) string {
	if a == "fail" || b == "fail" {
		return "fail"
	}
	if b == "skip" && (a == "" || a == "skip") {
		return "skip"
	}
	return "pass"
}

// count prints the lab tests and the skips, and counts.
func (t *tally) count(w io.Writer) (passed, failed int) {
	var skips []string
	blamed := map[string]bool{} // packages that failed by a test, rather than by a panic or a compiler
	for key, fate := range t.fate {
		if pkg, test, _ := strings.Cut(key, " "); fate == "fail" && test != "" {
			blamed[pkg] = true
		}
	}
	for key, fate := range t.fate {
		pkg, test, _ := strings.Cut(key, " ")
		switch {
		case test == "" && blamed[pkg]:
		case fate == "fail":
			failed++
		case fate == "skip":
			failed++
			skips = append(skips, "never run: "+key+": "+t.reason[key])
		default:
			passed++
		}
	}
	slices.Sort(skips)
	fmt.Fprintf(w, "lab tests: %d\n", len(t.lab))
	for _, key := range slices.Sorted(maps.Keys(t.lab)) {
		fmt.Fprintf(w, "%s  %s (%.2f s)\n", t.lab[key].Action, key, t.lab[key].Elapsed)
	}
	for _, line := range skips {
		fmt.Fprintln(w, line)
	}
	return passed, failed
}

// sum prints the end of the whole run.
func sum(checks string, files []string) error {
	t := newTally()
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		err = t.add(f)
		f.Close()
		if err != nil {
			return err
		}
	}
	lines, err := os.ReadFile(checks)
	if err != nil {
		return err
	}
	passed, failed := t.count(os.Stdout)
	for line := range strings.Lines(string(lines)) {
		if strings.HasPrefix(line, "ok") {
			passed++
		} else {
			failed++
			fmt.Print("failed check: " + strings.TrimPrefix(line, "FAIL "))
		}
	}
	fmt.Print(strings.Join(t.last, ""))
	fmt.Printf("%d passed, %d failed\n", passed, failed)
	if failed > 0 {
		os.Exit(1)
	}
	return nil
}
