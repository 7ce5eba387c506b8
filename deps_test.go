package postrider_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/postrider/postrider"

// permission lets the packages of a pattern import those of another, for a reason.
type permission struct{ pkg, may, because string }

// rooms says what a package may import of this module. "smtp/..." is smtp and all below it, "." is
// the root package. What no line allows is forbidden: above all, smtp, dkim, mx and queue never
// import each other, so that each can be read, tested and used alone.
var rooms = []permission{
	{".", "smtp", "envelopes, results and the pool that delivers them"},
	{".", "smtp/dsn", "a bounce goes to the return path as a delivery status notification"},
	{".", "dkim/...", "keys named in a transport URL, and the doctor's judgement of records"},
	{".", "mx/...", "direct delivery asks where mail for a domain goes and how safely"},
	{".", "queue", "the client puts mail into a store and works it"},
	{".", "queue/disk", "postrider.Open knows queue=disk:PATH"},
	{"smtp/...", "smtp/...", "one room"},
	{"dkim/...", "dkim/...", "one room"},
	{"mx/...", "mx/...", "one room"},
	{"queue/...", "queue/...", "one room"},
	{"report/...", "report/...", "one room"},
	{"report/...", ".", "it reads the client's events, and its tracker is a filter of messages"},
	{"report/...", "smtp", "it reads results: replies and phases"},
	{"report/...", "smtp/dsn", "bounces and complaints come back as messages that it parses"},
	{"report/...", "queue", "the console page lists what waits"},
	{"examples/...", "...", "whole programs use everything"},
}

// kits are the public test kits: every test may import them, and no package that is not itself a
// kit or an example may, so that no user links a test server.
var kits = []string{"smtp/smtptest", "mx/mxtest", "queue/queuetest"}

// modules says which packages may import which module, and why we depend on it at all. Tests may
// import any module that is listed here. A module with its own go.mod is free in its own choice:
// that is why it has one.
var modules = []permission{
	{"smtp/...", "github.com/emersion/go-smtp", "the server behind the guard; its error type at the edge"},
	{"smtp/...", "github.com/emersion/go-sasl", "AUTH mechanisms"},
	{"smtp/...", "github.com/xdg-go/scram", "SCRAM, which go-sasl lacks"},
	{"smtp/...", "golang.org/x/net/idna", "A-labels in envelopes for servers without SMTPUTF8"},
	{"smtp/...", "golang.org/x/net/proxy", "SOCKS5"},
	{"smtp/dsn", "github.com/emersion/go-message", "reading MIME"},
	{"dkim/...", "github.com/emersion/go-msgauth", "the second opinion on our signatures and verdicts, in tests"},
	{"dkim/...", "golang.org/x/net/idna", "A-labels in d= and in DNS names"},
	{"dkim/...", "golang.org/x/net/publicsuffix", "a parent that may sign for a domain is in its organisation"},
	{"mx/...", "github.com/miekg/dns", "all DNS"},
	{"mx/...", "golang.org/x/net/idna", "A-labels before the lookup"},
	{"queue/disk", "go.etcd.io/bbolt", "the index over the log"},
	{"queue/disk", "golang.org/x/sys", "fdatasync, fallocate and the lock on the folder"},
	{".", "github.com/emersion/go-smtp", "its error type is in the chain of ours"},
	{".", "github.com/emersion/go-message", "reading raw messages"},
	{".", "github.com/miekg/dns", "the doctor asks for records that are no route"},
	{".", "golang.org/x/net/idna", "A-labels in header fields"},
	{".", "golang.org/x/net/html", "plain text made from HTML"},
	{".", "golang.org/x/net/publicsuffix", "lanes are sites, not host names"},
	{"dkim/spf", "blitiri.com.ar/go/spf", "evaluating records: does our address pass for this sender?"},
	{"report/...", "github.com/emersion/go-message", "reading bounces and complaints"},
	{"report/...", "golang.org/x/net/html", "links and images in HTML that is tracked"},
}

// exported is the most exported names (as "go doc -short" lists them: one for a function or type,
// one for a group of constants or variables) a package may have. It is soft: raise it when the names
// earn their place, in the commit that adds them.
var exported = map[string]int{".": 60, "smtp": 40, "": 30}

func TestDepsRooms(t *testing.T) {
	for _, f := range goFiles(t) {
		for _, imp := range f.imports {
			if imp != module && !strings.HasPrefix(imp, module+"/") {
				continue
			}
			to := strings.TrimPrefix(strings.TrimPrefix(imp, module), "/")
			if to == "" {
				to = "."
			}
			test := strings.HasSuffix(f.path, "_test.go") || slices.Contains(kits, f.pkg)
			example := inside(f.pkg, "examples/...")
			switch {
			case to == f.pkg:
			case inside(to, "examples/..."):
				t.Errorf("%s imports %s: nothing imports examples", f.path, imp)
			case slices.Contains(kits, to):
				if !test && !example {
					t.Errorf("%s imports %s: a test kit is for tests", f.path, imp)
				}
			case test && f.pkg == ".": // tests of the whole may look into every room
			case !slices.ContainsFunc(rooms, func(r permission) bool {
				return inside(f.pkg, r.pkg) && inside(to, r.may)
			}):
				t.Errorf("%s imports %s: no line of rooms in deps_test.go lets %s see %s", f.path, imp, f.pkg, to)
			}
		}
	}
}

func TestDepsModules(t *testing.T) {
	for _, f := range goFiles(t) {
		if f.nested {
			continue
		}
		for _, imp := range f.imports {
			if !strings.Contains(strings.Split(imp, "/")[0], ".") || imp == module || strings.HasPrefix(imp, module+"/") {
				continue // the standard library, or this module
			}
			free := strings.HasSuffix(f.path, "_test.go") || inside(f.pkg, "examples/...") || slices.Contains(kits, f.pkg)
			if !slices.ContainsFunc(modules, func(m permission) bool {
				return (free || inside(f.pkg, m.pkg)) && (imp == m.may || strings.HasPrefix(imp, m.may+"/"))
			}) {
				t.Errorf("%s imports %s: no line of modules in deps_test.go lets %s use it", f.path, imp, f.pkg)
			}
		}
	}
}

// Every direct requirement has its reason in modules.
func TestDepsReasons(t *testing.T) {
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mod)) {
		name, version, _ := strings.Cut(strings.TrimSpace(strings.TrimPrefix(line, "require ")), " ")
		if !strings.HasPrefix(version, "v") || strings.Contains(version, "// indirect") {
			continue
		}
		if !slices.ContainsFunc(modules, func(m permission) bool {
			return m.may == name || strings.HasPrefix(m.may, name+"/")
		}) {
			t.Errorf("go.mod requires %s, and no line of modules in deps_test.go says why", name)
		}
	}
}

func TestDepsExported(t *testing.T) {
	names := map[string]int{}
	for _, f := range goFiles(t) {
		if strings.HasSuffix(f.path, "_test.go") || f.name == "main" || strings.Contains(f.pkg, "internal") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), f.path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			names[f.pkg] += exportedNames(d)
		}
	}
	for pkg, n := range names {
		limit, ok := exported[pkg]
		if !ok {
			limit = exported[""]
		}
		if n > limit {
			t.Errorf("package %s exports %d names, more than %d: see exported in deps_test.go", pkg, n, limit)
		}
	}
}

// exportedNames counts a declaration as "go doc -short" does.
func exportedNames(d ast.Decl) (n int) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil && d.Name.IsExported() {
			n++
		}
	case *ast.GenDecl:
		group := false
		for _, s := range d.Specs {
			switch s := s.(type) {
			case *ast.TypeSpec:
				if s.Name.IsExported() {
					n++
				}
			case *ast.ValueSpec:
				group = group || slices.ContainsFunc(s.Names, (*ast.Ident).IsExported)
			}
		}
		if group {
			n++
		}
	}
	return n
}

// inside says whether a package is named by a pattern as the go command writes it.
func inside(pkg, pattern string) bool {
	room, all := strings.CutSuffix(pattern, "...")
	return pkg == pattern || all && (pkg+"/" == room || strings.HasPrefix(pkg, room))
}
