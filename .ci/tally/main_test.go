package main

import (
	"strings"
	"testing"
)

func TestCount(t *testing.T) {
	const lab = `{"Action":"output","Package":"p","Test":"TestLabX","Output":"    x_test.go:9: lab is not running\n"}
{"Action":"output","Package":"p","Test":"TestLabX","Output":"--- SKIP: TestLabX (0.00s)\n"}
{"Action":"skip","Package":"p","Test":"TestLabX"}
{"Action":"skip","Package":"none"}
`
	for _, c := range []struct {
		name           string
		runs           []string
		passed, failed int
		prints         string
	}{
		{"pass", []string{`{"Action":"pass","Package":"p","Test":"TestA"}` + "\n" + `{"Action":"pass","Package":"p"}`}, 1, 0, "lab tests: 0\n"},
		{"skipped in the only run", []string{lab}, 0, 1, "never run: p TestLabX: x_test.go:9: lab is not running\n"},
		{"skipped, then run", []string{lab, `{"Action":"pass","Package":"p","Test":"TestLabX","Elapsed":1.5}`}, 1, 0, "pass  p TestLabX (1.50 s)\n"},
		{"run, then skipped", []string{`{"Action":"pass","Package":"p","Test":"TestLabX","Elapsed":1.5}`, lab}, 1, 0, "pass  p TestLabX (1.50 s)\n"},
		{"fails once", []string{`{"Action":"fail","Package":"p","Test":"TestA"}` + "\n" + `{"Action":"fail","Package":"p"}`, `{"Action":"pass","Package":"p","Test":"TestA"}`}, 0, 1, ""},
		{"panics or does not compile", []string{`{"Action":"fail","Package":"p"}`}, 0, 1, ""},
		{"benchmark", []string{`{"Action":"bench","Package":"p","Test":"BenchmarkA"}`}, 1, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			sum := newTally()
			for _, run := range c.runs {
				if err := sum.add(strings.NewReader(run)); err != nil {
					t.Fatal(err)
				}
			}
			var out strings.Builder
			passed, failed := sum.count(&out)
			if passed != c.passed || failed != c.failed || !strings.Contains(out.String(), c.prints) {
				t.Errorf("%d passed, %d failed, printed %q; want %d, %d, %q", passed, failed, out.String(), c.passed, c.failed, c.prints)
			}
		})
	}
}

func TestClosingLines(t *testing.T) {
	sum := newTally()
	run := `{"Action":"output","Package":"p","Output":"ok  \tp\t0.1s\n"}
{"Action":"output","Package":"p","Output":"PASS\n"}
{"Action":"output","Package":"q","Output":"?   \tq\t[no test files]\n"}`
	for range 2 {
		if err := sum.add(strings.NewReader(run)); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Join(sum.last, ""); got != "ok  \tp\t0.1s\n?   \tq\t[no test files]\n" {
		t.Errorf("closing lines %q", got)
	}
}
