package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strings"
	"testing"
)

// A failure that is told of comes with something to try.
func TestFailuresHaveHints(t *testing.T) {
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	positions := token.NewFileSet()
	seen := 0
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(positions, e.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			name, _ := call.Fun.(*ast.Ident)
			if name == nil {
				return true
			}
			at, known := map[string]int{"misused": 0, "failed": 1}[name.Name]
			if !known || len(call.Args) <= at {
				return true
			}
			seen++
			if hint, ok := call.Args[at].(*ast.BasicLit); ok && len(hint.Value) <= len(`""`) {
				t.Errorf("%v: no hint", positions.Position(call.Pos()))
			}
			return true
		})
	}
	if seen < 100 {
		t.Errorf("only %d failures were seen", seen)
	}
}
