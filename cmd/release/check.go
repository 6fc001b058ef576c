package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os/exec"
	"path/filepath"
)

// typeCheck finds what a compiler would complain of, in a tenth of its time:
// it compiles nothing, and of other modules it reads declarations only. Packages
// are those of the module in dir, tests left out.
func typeCheck(t target, dir string, packages ...string) error {
	list := exec.Command("go", append([]string{"list", "-deps", "-json=ImportPath,Dir,GoFiles,ImportMap,Standard,Module"}, packages...)...)
	list.Dir, list.Env = dir, t.env()
	var complaint bytes.Buffer
	list.Stderr = &complaint
	out, err := list.Output()
	if err != nil {
		return fmt.Errorf("go list: %v\n%s", err, complaint.Bytes())
	}
	c := checker{target: t, fset: token.NewFileSet(), done: map[string]*types.Package{"unsafe": types.Unsafe}}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := c.check(p); err != nil {
			return err
		}
	}
}

// listed is a package as go list tells it, after all that it imports.
type listed struct {
	ImportPath, Dir string
	GoFiles         []string
	ImportMap       map[string]string
	Standard        bool
	Module          *struct{ Main bool }
}

// checker holds the packages that were looked at.
type checker struct {
	target target
	fset   *token.FileSet
	done   map[string]*types.Package
}

func (c *checker) check(p listed) error {
	if p.ImportPath == "unsafe" {
		return nil
	}
	own := p.Module != nil && p.Module.Main
	mode := parser.SkipObjectResolution
	var files []*ast.File
	for _, name := range p.GoFiles {
		f, err := parser.ParseFile(c.fset, filepath.Join(p.Dir, name), nil, mode)
		if err != nil {
			return err
		}
		files = append(files, f)
	}
	var wrong []error
	cfg := types.Config{
		IgnoreFuncBodies: !own,
		Importer:         imports{c, p.ImportMap},
		Sizes:            types.SizesFor("gc", c.target.arch),
		Error:            func(err error) { wrong = append(wrong, err) },
	}
	pkg, _ := cfg.Check(p.ImportPath, c.fset, files, nil) // its error is the first of wrong
	if own && len(wrong) > 0 {
		return errors.Join(wrong...)
	}
	c.done[p.ImportPath] = pkg
	return nil
}

// imports finds what one package imports.
type imports struct {
	*checker
	names map[string]string // of vendored packages
}

func (i imports) Import(path string) (*types.Package, error) {
	if other := i.names[path]; other != "" {
		path = other
	}
	if p := i.done[path]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("package %s is not there", path)
}
