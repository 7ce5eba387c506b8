package postrider_test

import (
	"go/ast"
	"go/doc"
	"slices"
	"strings"
	"testing"
)

// unshown packages still lack an Example for some of their types.
var unshown = []string{".", "smtp", "smtp/smtptest", "queue", "queue/queuetest", "queue/disk", "dkim", "dkim/dmarc", "dkim/spf", "mx", "mx/mtasts", "mx/tlsrpt", "report"}

// Every exported type has an Example with an "Output:" comment, either its own (ExampleType,
// ExampleType_method), or one that uses it, a constant
// of it or a function that makes it.
func TestPackageDocsExamples(t *testing.T) {
	for pkg, p := range packages(t) {
		if p.name == "main" || inside(pkg, "examples/...") || strings.Contains(pkg, "internal") || slices.Contains(unshown, pkg) {
			continue
		}
		shown := map[string]bool{}
		for _, e := range doc.Examples(p.tests...) {
			if e.Output == "" && !e.EmptyOutput {
				continue // compiled, but not run
			}
			own, _, _ := strings.Cut(e.Name, "_")
			shown[own] = true
			ast.Inspect(e.Code, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok {
					shown[s.Sel.Name] = true
				}
				return true
			})
		}
		d, err := doc.NewFromFiles(p.fset, p.files, pkg)
		if err != nil {
			t.Fatal(err)
		}
		for _, typ := range d.Types {
			names := []string{typ.Name}
			for _, v := range typ.Consts {
				names = append(names, v.Names...)
			}
			for _, f := range typ.Funcs {
				names = append(names, f.Name)
			}
			if ast.IsExported(typ.Name) && !slices.ContainsFunc(names, func(n string) bool { return shown[n] }) {
				t.Errorf("%s: no Example with output shows type %s", pkg, typ.Name)
			}
		}
	}
}
