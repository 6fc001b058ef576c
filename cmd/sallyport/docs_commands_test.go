package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/spf13/cobra"
)

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
