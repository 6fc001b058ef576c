package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// moduleRoot is where the module begins.
const moduleRoot = "../.."

// page is a document: its lines in fences, by the fence's language, and the rest.
type page struct {
	path   string
	fences []fence
	prose  []string
}

type fence struct {
	language string
	lines    []string
}

func pages(t *testing.T) []page {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(moduleRoot, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	var all []page
	for _, path := range append(paths, filepath.Join(moduleRoot, "README.md")) {
		all = append(all, readPage(t, path))
	}
	if len(all) < 15 {
		t.Fatalf("only %d pages were found", len(all))
	}
	return all
}

func readPage(t *testing.T, path string) page {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	p := page{path: path}
	inside := false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\r\n")
		language, isFence := strings.CutPrefix(line, "```")
		switch {
		case isFence && !inside:
			p.fences = append(p.fences, fence{language: language})
			inside = true
		case isFence:
			inside = false
		case inside:
			f := &p.fences[len(p.fences)-1]
			f.lines = append(f.lines, line)
		default:
			p.prose = append(p.prose, line)
		}
	}
	if inside {
		t.Errorf("%s: a fence is not closed", path)
	}
	return p
}

// made reports whether the page is made out of the help texts.
func (p page) made() bool {
	return slices.ContainsFunc(p.prose, func(line string) bool { return strings.HasPrefix(line, "<!-- Made by: ") })
}

// spans is the code within the prose, of which some goes over the end of a line.
func (p page) spans() []string {
	var all []string
	for _, paragraph := range strings.Split(strings.Join(p.prose, "\n"), "\n\n") {
		for _, span := range codeSpan.FindAllString(paragraph, -1) {
			all = append(all, strings.Join(strings.Fields(strings.Trim(span, "`")), " "))
		}
	}
	return all
}

var (
	codeSpan = regexp.MustCompile("`[^`]+`")
	linkTo   = regexp.MustCompile(`\]\(([^)\s]+)\)`)
)

// TestDocsLinks follows every relative link of the documents, to the heading.
func TestDocsLinks(t *testing.T) {
	seen := 0
	for _, p := range pages(t) {
		for _, line := range p.prose {
			for _, m := range linkTo.FindAllStringSubmatch(codeSpan.ReplaceAllString(line, "`"), -1) {
				file, heading, _ := strings.Cut(m[1], "#")
				if strings.Contains(file, "://") {
					continue
				}
				seen++
				path := p.path
				if file != "" {
					path = filepath.Join(filepath.Dir(p.path), file)
				}
				if _, err := os.Stat(path); err != nil {
					t.Errorf("%s links to %s, which is not there", p.path, m[1])
				} else if heading != "" && !slices.Contains(headings(readPage(t, path)), heading) {
					t.Errorf("%s links to %s: there is no such heading", p.path, m[1])
				}
			}
		}
	}
	if seen < 50 {
		t.Errorf("only %d links were found", seen)
	}
}

// headings are the names by which a page's headings are linked to.
func headings(p page) []string {
	var all []string
	for _, line := range p.prose {
		text, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " ")
		if !ok || !strings.HasPrefix(line, "#") {
			continue
		}
		all = append(all, strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, text))
	}
	return all
}

var (
	goFile   = regexp.MustCompile(`^[a-z][a-z_/]*/[a-z_]+\.go$`)
	testName = regexp.MustCompile(`^(Test|Example|Fuzz)[A-Z]\w*$`)
)

// TestDocsSources looks for the files and tests that the documents name.
func TestDocsSources(t *testing.T) {
	var tests strings.Builder
	err := filepath.WalkDir(moduleRoot, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		tests.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, p := range pages(t) {
		for _, span := range p.spans() {
			switch {
			case goFile.MatchString(span):
				seen++
				if _, err := os.Stat(filepath.Join(moduleRoot, span)); err != nil {
					t.Errorf("%s names %s, which is not there", p.path, span)
				}
			case testName.MatchString(span):
				seen++
				if !strings.Contains(tests.String(), "\nfunc "+span+"(") {
					t.Errorf("%s names %s, which is not there", p.path, span)
				}
			}
		}
	}
	if seen < 30 {
		t.Errorf("only %d files and tests were found", seen)
	}
}

// TestDocsGo looks for the Go code of the documents among what is compiled.
func TestDocsGo(t *testing.T) {
	var compiled []string
	for _, pattern := range []string{"node/example*_test.go", "docs/examples/*/*.go"} {
		paths, err := filepath.Glob(filepath.Join(moduleRoot, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			compiled = append(compiled, bare(string(text)))
		}
	}
	seen := 0
	for _, name := range []string{"README.md", "docs/go.md"} {
		for _, f := range readPage(t, filepath.Join(moduleRoot, name)).fences {
			if f.language != "go" {
				continue
			}
			seen++
			code := bare(strings.Join(f.lines, "\n"))
			if !slices.ContainsFunc(compiled, func(file string) bool { return strings.Contains(file, code) }) {
				t.Errorf("%s has code that stands in none of node/example*_test.go and docs/examples:\n%s", name, strings.Join(f.lines, "\n"))
			}
		}
	}
	if seen < 5 {
		t.Errorf("only %d pieces of code were found", seen)
	}
}

// bare is code without indentation, alignment and empty lines, in whole lines.
func bare(code string) string {
	var b strings.Builder
	b.WriteByte('\n')
	for line := range strings.Lines(code) {
		if line = strings.Join(strings.Fields(line), " "); line != "" {
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}
