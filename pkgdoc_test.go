package postrider_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strings"
	"testing"
)

// unfinished packages have a first sentence only, until their room is built.
var unfinished = []string{"report"}

// A package comment says the purpose in one sentence, the path of the data, and the RFCs. What a test
// can see of that: who is spoken of, enough lines, and an RFC where a protocol is spoken.
func TestPackageDocs(t *testing.T) {
	for pkg, p := range packages(t) {
		if strings.Contains(pkg, "internal") || slices.Contains(unfinished, pkg) && p.comment != "" {
			continue
		}
		lines := 0
		for line := range strings.Lines(p.comment) {
			if strings.TrimSpace(line) != "" {
				lines++
			}
		}
		switch {
		case p.comment == "":
			t.Errorf("package %s has no comment", pkg)
			continue
		case p.name != "main" && !strings.HasPrefix(p.comment, "Package "+p.name+" "):
			t.Errorf("the comment of %s does not begin with %q", pkg, "Package "+p.name)
		case p.name == "main" && lines < 3:
			t.Errorf("the comment of %s has %d lines; say what the program shows and how to run it", pkg, lines)
		case p.name != "main" && lines < 5:
			t.Errorf("the comment of %s has %d lines; say its purpose, the path of the data, and the RFCs", pkg, lines)
		}
		for _, room := range []string{".", "smtp/...", "dkim/...", "mx/..."} {
			if inside(pkg, room) && !strings.Contains(p.comment, "RFC") {
				t.Errorf("the comment of %s names no RFC", pkg)
			}
		}
	}
}

// pkgFiles is one package as it stands in the tree, whatever its build constraints.
type pkgFiles struct {
	name, comment string
	fset          *token.FileSet
	files, tests  []*ast.File
}

// packages parses all packages, those of nested modules too.
func packages(t *testing.T) map[string]*pkgFiles {
	t.Helper()
	found := map[string]*pkgFiles{}
	for _, f := range goFiles(t) {
		p := found[f.pkg]
		if p == nil {
			p = &pkgFiles{fset: token.NewFileSet()}
			found[f.pkg] = p
		}
		file, err := parser.ParseFile(p.fset, f.path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(f.path, "_test.go") {
			p.tests = append(p.tests, file)
			continue
		}
		p.name = f.name
		p.files = append(p.files, file)
		p.comment += file.Doc.Text()
	}
	for pkg, p := range found {
		if p.name == "" { // only tests
			delete(found, pkg)
		}
	}
	return found
}
