package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// A failure that is told of comes with something to try.
func TestFailuresHaveHints(t *testing.T) {
	var files []string
	for _, pattern := range []string{"*.go", "internal/*/*.go"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	positions := token.NewFileSet()
	seen := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(positions, name, nil, 0)
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
