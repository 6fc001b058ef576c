package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var (
	fuzzTarget = regexp.MustCompile(`(?ms)^func (Fuzz\w+)\(.*?^}`)
	fuzzRow    = regexp.MustCompile("(?m)^\\| `([a-z/]+)` \\| ((?:`Fuzz\\w+`(?:, )?)+) \\|")
)

// TestDocsFuzz compares the table of fuzz targets in docs/testing.md with those that
// there are, each of which has seeds.
func TestDocsFuzz(t *testing.T) {
	there := make(map[string][]string)
	root := os.DirFS(moduleRoot)
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, "_test.go") {
			return err
		}
		dir := filepath.ToSlash(filepath.Dir(name))
		text, err := fs.ReadFile(root, name)
		for _, m := range fuzzTarget.FindAllSubmatch(text, -1) {
			there[dir] = append(there[dir], string(m[1]))
			if !strings.Contains(string(m[0]), "f.Add(") {
				t.Errorf("%s of %s has no seeds", m[1], name)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(moduleRoot, "docs", "testing.md"))
	if err != nil {
		t.Fatal(err)
	}
	told := make(map[string][]string)
	for _, m := range fuzzRow.FindAllStringSubmatch(string(text), -1) {
		told[m[1]] = strings.Split(strings.ReplaceAll(m[2], "`", ""), ", ")
	}
	for _, names := range there {
		slices.Sort(names)
	}
	if len(there) < 20 {
		t.Errorf("only %v have targets", there)
	}
	if diff := cmp.Diff(there, told); diff != "" {
		t.Errorf("what is there (-) and what docs/testing.md tells (+):\n%s", diff)
	}
}
