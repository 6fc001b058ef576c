package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// newReference writes what --help says of every command as one document: it is
// how docs/reference.md and the man page are made.
func newReference(a *app) *cobra.Command {
	var man bool
	c := &cobra.Command{
		Use:   "reference",
		Short: "Print the help of all commands as one document",
		Long:  `Print the help of all commands as one document, in Markdown.`,
		Example: `  sallyport reference > docs/reference.md
  sallyport reference --man | man -l -`,
		Hidden: true,
		Args:   nothingElse,
		RunE: func(c *cobra.Command, _ []string) error {
			text := markdown(c.Root())
			if man {
				text = manual(c.Root())
			}
			_, err := io.WriteString(a.out, text)
			return err
		},
	}
	c.Flags().BoolVar(&man, "man", false, "print a manual page instead")
	return c
}

// documented are root and all commands below it that are not hidden, parents
// first.
func documented(root *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{root}
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() {
			all = append(all, documented(c)...)
		}
	}
	return all
}

// optionsOf are the flags of a command as the help shows them: one text for the
// flag and its argument, one for what it does.
func optionsOf(c *cobra.Command) (options [][2]string) {
	c.InitDefaultHelpFlag()
	c.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		argument, usage := pflag.UnquoteUsage(f)
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		if argument != "" {
			name += " " + argument
		}
		says := f.DefValue
		if f.Value.Type() == "duration" { // 2m0s
			says = strings.Replace(strings.Replace(says, "m0s", "m", 1), "h0m", "h", 1)
		}
		if says != "" && says != "[]" && says != "false" && says != "0" && !strings.Contains(usage, "(default") {
			usage += " (default: " + says + ")"
		}
		options = append(options, [2]string{name, usage})
	})
	return options
}

// examplesOf are the lines of a command's examples.
func examplesOf(c *cobra.Command) string {
	var lines []string
	for line := range strings.Lines(c.Example) {
		lines = append(lines, strings.TrimPrefix(strings.TrimRight(line, "\n"), "  "))
	}
	return strings.Join(lines, "\n")
}

// paragraph is one of a help text: prose, or lines that stay as they are,
// such as a list whose second column is aligned.
type paragraph struct {
	text    string
	columns bool
}

// paragraphs takes a help text apart.
func paragraphs(long string) (parts []paragraph) {
	var prose, columns []string
	end := func() {
		if len(prose) > 0 {
			parts = append(parts, paragraph{strings.Join(prose, " "), false})
		}
		if len(columns) > 0 {
			parts = append(parts, paragraph{strings.Join(columns, "\n"), true})
		}
		prose, columns = nil, nil
	}
	for line := range strings.Lines(long) {
		line = strings.TrimRight(line, "\n ")
		indented := strings.HasPrefix(line, " ")
		if line == "" || indented && len(prose) > 0 || !indented && len(columns) > 0 {
			end()
		}
		switch {
		case indented:
			columns = append(columns, strings.TrimPrefix(line, "  "))
		case line != "":
			prose = append(prose, line)
		}
	}
	end()
	return parts
}

// markdown is docs/reference.md.
func markdown(root *cobra.Command) string {
	var b strings.Builder
	b.WriteString("# Commands\n\n<!-- Made by: " + regenerate + " -->\n\nThis is what `--help` says of each command, and what `sallyport reference --man` makes a manual page of.\n")
	for _, c := range documented(root) {
		fmt.Fprintf(&b, "\n## %s\n\n%s.\n\n```\n%s\n```\n", c.CommandPath(), c.Short, usageLine(c))
		for _, p := range paragraphs(c.Long) {
			switch {
			case p.columns:
				fmt.Fprintf(&b, "\n```\n%s\n```\n", p.text)
			case strings.TrimSuffix(p.text, ".") != c.Short:
				fmt.Fprintf(&b, "\n%s\n", inMarkdown.Replace(p.text))
			}
		}
		if options := optionsOf(c); len(options) > 0 {
			b.WriteString("\n| flag | |\n| --- | --- |\n")
			for _, o := range options {
				fmt.Fprintf(&b, "| `%s` | %s |\n", o[0], strings.ReplaceAll(inMarkdown.Replace(o[1]), "|", `\|`))
			}
		}
		if c.HasExample() {
			fmt.Fprintf(&b, "\nExamples:\n\n```\n%s\n```\n", examplesOf(c))
		}
	}
	return b.String()
}

// regenerate is how docs/reference.md is brought up to date.
const regenerate = "go run ./cmd/sallyport reference > docs/reference.md"

// inMarkdown keeps prose from being read as markup.
var inMarkdown = strings.NewReplacer("<", `\<`, ">", `\>`, "*", `\*`, "_", `\_`, "[", `\[`, "`", "\\`")

func usageLine(c *cobra.Command) string {
	if c.HasAvailableSubCommands() {
		return c.CommandPath() + " COMMAND [flags]"
	}
	return c.UseLine()
}

// manual is the manual page, sallyport(1), in the macros of man(7).
func manual(root *cobra.Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, ".TH SALLYPORT 1 \"\" \"sallyport\" \"User Commands\"\n.SH NAME\nsallyport \\- %s\n.SH SYNOPSIS\n.B sallyport\n.I COMMAND\n[flags]\n.SH DESCRIPTION\n", inMan(root.Short))
	for n, c := range documented(root) {
		switch n {
		case 0:
		case 1:
			b.WriteString(".SH COMMANDS\n")
			fallthrough
		default:
			fmt.Fprintf(&b, ".SS %s\n", inMan(usageLine(c)))
		}
		for _, p := range paragraphs(c.Long) {
			if p.columns {
				fmt.Fprintf(&b, ".PP\n.nf\n%s\n.fi\n", inMan(p.text))
			} else {
				fmt.Fprintf(&b, ".PP\n%s\n", inMan(p.text))
			}
		}
		for _, o := range optionsOf(c) {
			fmt.Fprintf(&b, ".TP\n\\fB%s\\fR\n%s\n", inMan(o[0]), inMan(o[1]))
		}
		if c.HasExample() {
			fmt.Fprintf(&b, ".PP\nExamples:\n.PP\n.RS 4\n.nf\n%s\n.fi\n.RE\n", inMan(examplesOf(c)))
		}
	}
	return b.String()
}

// inMan keeps text from being read as requests: no line begins with one, and
// hyphens stay what they are when pasted.
func inMan(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "…", `\[u2026]`).Replace(text)
	lines := strings.Split(text, "\n")
	for k, line := range lines {
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			lines[k] = `\&` + line
		}
	}
	return strings.Join(lines, "\n")
}
