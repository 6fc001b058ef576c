package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// app is what all subcommands share: the three streams, and how to talk.
type app struct {
	in       *os.File
	out, err io.Writer
	json     bool // --json: one object per line
	verbose  bool // -v
	quiet    bool // --quiet: nothing but results and errors
	running  bool // the command line was understood
	args     []string
}

func newApp() *app {
	return &app{in: os.Stdin, out: &lines{w: os.Stdout}, err: &lines{w: os.Stderr}}
}

// interactive reports whether a person types at standard input.
func (a *app) interactive() bool { return term.IsTerminal(int(a.in.Fd())) }

func newRoot(a *app) *cobra.Command {
	version := false
	root := &cobra.Command{
		Use:   "sallyport",
		Short: "Direct connections between machines, whatever NATs stand between them",
		Long: `Sallyport opens direct, encrypted TCP connections between machines behind NATs.
Run "sallyport node" on one machine; it prints the command to run on the other.

Exit status: 0 done, 1 failed otherwise, 2 misused, 3 wrong code, 4 the peer
is absent, 5 no network, 6 refused by the peer, 130 interrupted, 143 terminated
("node", "forward" and "serve" end with 0 then).`,
		Example: `  sallyport demo                  see it work, offline, in a few seconds
  sallyport node --echo           wait for peers, and send back what they say
  sallyport connect ADDRESS       talk to a peer
  sallyport send FILE             show a code, for "sallyport receive CODE" elsewhere`,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRun: func(*cobra.Command, []string) {
			a.running = true
		},
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		Args:              cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if version {
				return newVersion(a).RunE(c, nil)
			}
			if len(args) == 0 {
				return c.Help()
			}
			return unknownCommand(c, args[0])
		},
	}
	root.Flags().BoolVar(&version, "version", false, "say which version this is")
	root.SuggestionsMinimumDistance = 2
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.SetUsageFunc(usage)
	root.SetHelpCommand(&cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Say how a command is used",
		Long:  `Say how a command is used.`,
		Example: `  sallyport help
  sallyport help node`,
		RunE: func(c *cobra.Command, args []string) error {
			about, rest, err := root.Find(args)
			if err != nil || about == root && len(rest) > 0 {
				return unknownCommand(root, args[0])
			}
			return about.Help()
		},
	})
	root.AddCommand(
		newNode(a), newConnect(a), newSend(a), newReceive(a), newForward(a), newPing(a), newWhy(a), newNAT(a), newAddr(a),
		newUp(a), newStatus(a), newDown(a), newNick(a), newContact(a), newServe(a), newLab(a), newDemo(a),
		newConfig(a), newCompletion(a), newVersion(a), newReference(a),
	)
	completeTargets(root)
	return root
}

func unknownCommand(c *cobra.Command, name string) error {
	if near := c.SuggestionsFor(name); len(near) > 0 {
		return misused("try sallyport "+near[0], "%q is not a command", name)
	}
	return misused("try sallyport help", "%q is not a command", name)
}

// usage is cobra's, with the examples where people look: at the end. It is no
// template, since those find methods by name, which has the linker keep all
// methods of all types: 2.8 MB more.
func usage(c *cobra.Command) error {
	var b strings.Builder
	b.WriteString("Usage:")
	if c.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "\n  %s COMMAND [flags]\n\nCommands:", c.CommandPath())
		for _, sub := range c.Commands() {
			if sub.IsAvailableCommand() {
				fmt.Fprintf(&b, "\n  %-*s %s", sub.NamePadding(), sub.Name(), sub.Short)
			}
		}
	} else {
		fmt.Fprintf(&b, "\n  %s", c.UseLine())
	}
	if c.HasAvailableLocalFlags() {
		fmt.Fprintf(&b, "\n\nFlags:\n%s", flagUsages(c))
	}
	if c.HasExample() {
		fmt.Fprintf(&b, "\n\nExamples:\n%s", c.Example)
	}
	_, err := fmt.Fprintln(c.OutOrStderr(), b.String())
	return err
}
