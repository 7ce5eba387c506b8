package postrider_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"strings"
	"testing"
)

// The first block of Go in README is the body of Example, so that what people copy compiles.
func TestReadmeExample(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(readme), "```go\n")
	block, _, ok := strings.Cut(block, "```\n")
	if !ok {
		t.Fatal("README.md has no block of Go")
	}
	if _, body, ok := strings.Cut(block, "func main() {\n"); ok { // a whole program
		block, _, _ = strings.Cut(body, "\n}\n")
	}
	body := exampleBody(t, "example_test.go", "Example")
	if got, want := flat(block), flat(body); got != want {
		t.Errorf("README.md shows\n%s\nand Example in example_test.go is\n%s", got, want)
	}
}

// exampleBody returns the statements of a function, without the comment that holds its output.
func exampleBody(t *testing.T, file, name string) string {
	t.Helper()
	source, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	parsed, err := parser.ParseFile(fset, file, source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range parsed.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Name.Name == name && f.Recv == nil {
			body := string(source[fset.Position(f.Body.Lbrace).Offset+1 : fset.Position(f.Body.Rbrace).Offset])
			body, _, _ = strings.Cut(body, "// Output:")
			return body
		}
	}
	t.Fatalf("%s has no %s", file, name)
	return ""
}

// flat takes the indentation away, which differs between a program and a fragment.
func flat(code string) string {
	var lines []string
	for line := range strings.Lines(strings.TrimSpace(code)) {
		lines = append(lines, strings.TrimSpace(line))
	}
	return strings.Join(lines, "\n")
}

// What README tells to run is there.
func TestReadmeCommands(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"go run ./examples/quickstart", "go test ./..."} {
		if !strings.Contains(string(readme), command) {
			t.Errorf("README.md does not say %q", command)
		}
	}
	for _, path := range regexp.MustCompile(`(examples|\.ci|\.github)/[\w./-]*\w`).FindAllString(string(readme), -1) {
		if _, err := os.Stat(path); err != nil {
			t.Errorf("README.md names %s, which is not there", path)
		}
	}
}
