package postrider_test

import (
	"go/ast"
	"go/doc"
	"maps"
	"slices"
	"strings"
	"testing"
)

// Every exported type is shown by an Example that runs: it has an "Output:" comment, and its code, or
// what it calls in its test file, names the type, one of its constants or a function that
// makes it, or uses a field or a method's result of that type.
func TestPackageDocsExamples(t *testing.T) {
	for pkg, p := range packages(t) {
		if p.name == "main" || inside(pkg, "examples/...") || strings.Contains(pkg, "internal") {
			continue
		}
		shown := map[string]bool{}
		for _, e := range doc.Examples(p.tests...) {
			if e.Output == "" && !e.EmptyOutput {
				continue // compiled, but not run
			}
			own, _, _ := strings.Cut(e.Name, "_")
			shown[own] = true
			maps.Copy(shown, names(e.Code, p.tests))
		}
		yields := results(p.files)
		for name := range maps.Clone(shown) {
			for _, typ := range yields[name] {
				shown[typ] = true
			}
		}
		d, err := doc.NewFromFiles(p.fset, p.files, pkg)
		if err != nil {
			t.Fatal(err)
		}
		for _, typ := range d.Types {
			if !ast.IsExported(typ.Name) || shown[typ.Name] {
				continue
			}
			if !slices.ContainsFunc(typ.Consts, func(v *doc.Value) bool {
				return slices.ContainsFunc(v.Names, func(name string) bool { return shown[name] })
			}) {
				t.Errorf("%s: no Example with output shows type %s", pkg, typ.Name)
			}
		}
	}
}

// names collects what code names after a dot or as the field of a literal, and what the declarations of the test
// files that it uses name.
func names(code ast.Node, tests []*ast.File) map[string]bool {
	found, seen := map[string]bool{}, map[ast.Node]bool{}
	var look func(ast.Node)
	look = func(code ast.Node) {
		if seen[code] {
			return
		}
		seen[code] = true
		ast.Inspect(code, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				found[n.Sel.Name] = true
			case *ast.KeyValueExpr:
				if key, ok := n.Key.(*ast.Ident); ok {
					found[key.Name] = true
				}
			case *ast.Ident:
				for _, d := range declared(n.Name, tests) {
					look(d)
				}
			}
			return true
		})
	}
	look(code)
	return found
}

// declared finds the functions and types of the test files with that name, and the methods of such a type.
func declared(name string, tests []*ast.File) (found []ast.Node) {
	for _, file := range tests {
		for _, d := range file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil && d.Name.Name == name || d.Recv != nil && slices.Contains(typeNames(d.Recv), name) {
					found = append(found, d)
				}
			case *ast.GenDecl:
				for _, s := range d.Specs {
					if s, ok := s.(*ast.TypeSpec); ok && s.Name.Name == name {
						found = append(found, s)
					}
				}
			}
		}
	}
	return found
}

// results says which types of the package a function, method or field yields, by its name.
func results(files []*ast.File) map[string][]string {
	yields := map[string][]string{}
	for _, file := range files {
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if n.Type.Results != nil {
					yields[n.Name.Name] = append(yields[n.Name.Name], typeNames(n.Type.Results)...)
				}
				return false
			case *ast.Field: // of a struct, or a method of an interface
				yielded := ast.Node(n.Type)
				if f, ok := n.Type.(*ast.FuncType); ok && f.Results != nil {
					yielded = f.Results
				}
				for _, name := range n.Names {
					yields[name.Name] = append(yields[name.Name], typeNames(yielded)...)
				}
			}
			return true
		})
	}
	return yields
}

// typeNames lists the names in a type that are of its own package.
func typeNames(n ast.Node) (names []string) {
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			return false // of another package
		case *ast.Field:
			names = append(names, typeNames(n.Type)...)
			return false
		case *ast.Ident:
			names = append(names, n.Name)
		}
		return true
	})
	return names
}
