package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/spf13/cobra"
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

// TestDocsCommands has every command line in the documents parsed: the command
// is there, and so are its flags, with such values.
func TestDocsCommands(t *testing.T) {
	seen := 0
	for _, p := range pages(t) {
		for _, f := range p.fences {
			if f.language == "go" || f.language == "json" || p.made() {
				continue
			}
			for _, line := range f.lines {
				for _, command := range commandsIn(line) {
					seen++
					if err := parses(command, true); err != nil {
						t.Errorf("%s: %q: %v", p.path, command, err)
					}
				}
			}
		}
		for _, span := range p.spans() {
			for _, command := range commandsIn(span) {
				seen++
				if err := parses(command, false); err != nil {
					t.Errorf("%s: %q: %v", p.path, command, err)
				}
			}
		}
	}
	if seen < 40 {
		t.Errorf("only %d commands were found", seen)
	}
}

func TestDocsCommandsAreJudged(t *testing.T) {
	for text, ok := range map[string]bool{
		"sallyport connect ADDRESS":                           true,
		"$ sallyport node --forward localhost:22":             true,
		"ssh -o ProxyCommand='sallyport ping A' u@h":          true,
		"tar c x | sallyport connect --timeout 5s A":          true,
		"sallyport lab -- a: sallyport nat --json":            true,
		"sallyport node --echo --port N   # and so on":        true,
		"sallyport connect":                                   false,
		"sallyport conect ADDRESS":                            false,
		"sallyport connect A B":                               false,
		"sallyport node --eco":                                false,
		"sallyport connect --timeout soon ADDRESS":            false,
		"ssh -o ProxyCommand='sallyport pin A' u@h":           false,
		"sallyport lab -- sallyport node --- b: sallyport nt": false,
	} {
		commands := commandsIn(text)
		if len(commands) == 0 {
			t.Errorf("%q: no command was found", text)
		}
		var err error
		for _, c := range commands {
			if e := parses(c, true); e != nil {
				err = e
			}
		}
		if (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// ours begins a command of ours in a line: not after a quote, where it is a label
// that is hashed, or a message.
var ours = regexp.MustCompile(`(?:^|[ \t'=(/])sallyport ((?:[a-z]|--).*)`)

// commandsIn finds the command lines of sallyport in a line of a shell or a unit.
func commandsIn(line string) [][]string {
	var all [][]string
	for {
		at := ours.FindStringSubmatchIndex(line)
		if at == nil {
			return all
		}
		rest := line[at[2]:]
		if strings.HasPrefix(rest, "sallyport ") { // an image, before the command
			line = line[at[2]-1:]
			continue
		}
		// In a quoted argument the command ends with the quote.
		if strings.Count(line[:at[2]], "'")%2 == 1 {
			rest, _, _ = strings.Cut(rest, "'")
		}
		rest, _, _ = strings.Cut(rest, "  ") // what is beside it: a remark, another terminal
		if !strings.HasPrefix(rest, "lab ") {
			rest, _, _ = strings.Cut(rest, " --- ") // the next command of a lab
		}
		all = append(all, words(rest))
		line = line[at[2]:]
	}
}

// words splits a command as a shell does, up to where it ends.
func words(s string) []string {
	var all []string
	var word strings.Builder
	quote, began := rune(0), false
	end := func() {
		if began {
			all = append(all, word.String())
		}
		word.Reset()
		began = false
	}
	for _, r := range s {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, began = r, true
		case unicode.IsSpace(r):
			end()
		case strings.ContainsRune("|&;<>)", r), r == '#' && !began:
			end()
			return all
		default:
			word.WriteRune(r)
			began = true
		}
	}
	end()
	return all
}

// placeholder is what stands for a value in a usage line: HOST:PORT, ID,ID, N, …
var placeholder = regexp.MustCompile(`^[A-Z…][A-Z0-9:,.…|-]*$`)

// parses says why args are no command line of ours. Where it is not whole, only
// a name with some of its flags, arguments may be missing.
func parses(args []string, whole bool) error {
	top := newRoot(newApp())
	command, rest, err := top.Find(args)
	if err != nil {
		return err
	}
	if command == top && len(rest) > 0 && !strings.HasPrefix(rest[0], "-") && rest[0] != "help" {
		return fmt.Errorf("there is no command %q", rest[0])
	}
	command.InitDefaultHelpFlag()
	var positional []string
	for len(rest) > 0 && rest[0] != "--" {
		arg := rest[0]
		rest = rest[1:]
		if !strings.HasPrefix(arg, "-") || arg == "-" {
			positional = append(positional, arg)
			continue
		}
		name, value, given := strings.Cut(arg, "=")
		f := command.Flags().Lookup(strings.TrimLeft(name, "-"))
		if f == nil && !strings.HasPrefix(name, "--") && len(name) == 2 {
			f = command.Flags().ShorthandLookup(name[1:])
		}
		if f == nil {
			return fmt.Errorf("there is no flag %s", arg)
		}
		if !given && f.NoOptDefVal == "" {
			if len(rest) == 0 {
				if whole {
					return fmt.Errorf("%s has no value", arg)
				}
				break
			}
			value, rest, given = rest[0], rest[1:], true
		}
		if given {
			if err := f.Value.Set(value); err != nil && !placeholder.MatchString(value) {
				return fmt.Errorf("%s: %w", arg, err)
			}
		}
	}
	// What follows -- is what "sallyport lab" runs, and has been looked at as a
	// command of its own.
	positional = append(positional, strings.Fields(strings.TrimPrefix(strings.Join(rest, " "), "--"))...)
	if !whole && len(positional) == 0 || slices.Contains(positional, "…") {
		return nil
	}
	return checkArgs(command, positional)
}

func checkArgs(command *cobra.Command, positional []string) error {
	if command.HasSubCommands() && len(positional) == 0 {
		return nil
	}
	return command.ValidateArgs(positional)
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
