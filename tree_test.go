package postrider_test

import (
	"bytes"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// top is what the top level holds beside the root package's files.
var top = map[string]string{
	"smtp": "a room", "dkim": "a room", "mx": "a room", "queue": "a room", "report": "a room",
	"examples":  "whole programs people copy",
	"testdata":  "golden files of the root package; the name is the go command's",
	"go.mod":    "the module",
	"go.sum":    "its checksums",
	"README.md": "the newcomer's page",
	"LICENSE":   "MIT",
}

func TestDepsTop(t *testing.T) {
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		name := e.Name()
		ignored := slices.Contains([]string{".test", ".prof"}, path.Ext(name)) // as .gitignore says
		if top[name] == "" && !strings.HasPrefix(name, ".") && !ignored && (e.IsDir() || path.Ext(name) != ".go") {
			t.Errorf("%s at the top level: see top in deps_test.go", name)
		}
	}
}

// longest is the most lines of a file that is not a test: one idea a file, and it fits a head.
const longest = 400

func TestDepsFileLength(t *testing.T) {
	for _, name := range tree(t) {
		if path.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") || strings.Contains(name, "testdata/") {
			continue
		}
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(b, []byte("\n")); n > longest {
			t.Errorf("%s has %d lines, more than %d", name, n, longest)
		}
	}
}

// Tests wait in a testing/synctest bubble, where time is not spent; other code waits for a timer or
// a context, never blindly.
func TestDepsSleep(t *testing.T) {
	for _, f := range goFiles(t) {
		if inside(f.pkg, "examples/...") || slices.Contains(f.imports, "testing/synctest") {
			continue
		}
		b, err := os.ReadFile(f.path)
		if err != nil {
			t.Fatal(err)
		}
		if f.path != "tree_test.go" && bytes.Contains(b, []byte("time.Sleep(")) {
			t.Errorf("%s calls time.Sleep outside a testing/synctest bubble", f.path)
		}
	}
}

// private matches what says something about one machine or one contributor's desk, not the product.
// It is tried on lines that hold one of the hints, for it is slow.
var (
	private = regexp.MustCompile(`(^|[^\w.}])/(work|root|home|tmp)/\w|\.\./shared\b|\b(issue|session) #?[0-9]|\b(claude|chatgpt|copilot|sub-?agents?)\b`)
	hints   = []string{"/work/", "/root/", "/home/", "/tmp/", "../shared", "issue ", "session ", "claude", "chatgpt", "copilot", "agent"}
)

func TestDepsPrivateWords(t *testing.T) {
	for _, name := range tree(t) {
		if name == "tree_test.go" || path.Base(name) == "go.sum" {
			continue
		}
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.IndexByte(b, 0) >= 0 { // not text
			continue
		}
		text := strings.ToLower(string(b))
		if !slices.ContainsFunc(hints, func(hint string) bool { return strings.Contains(text, hint) }) {
			continue
		}
		n := 0
		for line := range strings.Lines(text) {
			n++
			if !slices.ContainsFunc(hints, func(hint string) bool { return strings.Contains(line, hint) }) {
				continue
			}
			if m := private.FindString(line); m != "" {
				t.Errorf("%s:%d: %q does not belong into the repository", name, n, m)
			}
		}
	}
}

// goFile is one Go file of the repository.
type goFile struct {
	path, pkg, name string // smtp/pool.go, smtp, smtp
	imports         []string
	nested          bool // below a go.mod of its own
}

// goFiles reads the package clauses and imports of all Go files, whatever their build constraints.
func goFiles(t *testing.T) (files []goFile) {
	t.Helper()
	nested := []string{}
	for _, name := range tree(t) {
		if path.Base(name) == "go.mod" && name != "go.mod" {
			nested = append(nested, path.Dir(name)+"/")
		}
	}
	for _, name := range tree(t) {
		if path.Ext(name) != ".go" || strings.HasPrefix(name, ".") || strings.Contains(name, "testdata/") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		f := goFile{path: name, pkg: path.Dir(name), name: parsed.Name.Name}
		for _, i := range parsed.Imports {
			f.imports = append(f.imports, strings.Trim(i.Path.Value, `"`))
		}
		f.nested = slices.ContainsFunc(nested, func(dir string) bool { return strings.HasPrefix(name, dir) })
		files = append(files, f)
	}
	return files
}

// tree lists all files of the repository, with slashes, without what git ignores.
func tree(t *testing.T) (names []string) {
	t.Helper()
	err := fs.WalkDir(os.DirFS("."), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == ".git" || d.Name() == ".cache") {
			return fs.SkipDir
		}
		if !d.IsDir() && d.Name() != ".git" && d.Name() != ".run" {
			names = append(names, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
