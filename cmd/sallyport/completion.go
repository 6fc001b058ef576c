package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// shells are those that commands can be completed in, with how to load a script
// for good.
var shells = []struct {
	name, load string
	write      func(*cobra.Command, io.Writer) error
}{
	{"bash", "sallyport completion bash > ~/.local/share/bash-completion/completions/sallyport", func(c *cobra.Command, w io.Writer) error { return c.GenBashCompletionV2(w, true) }},
	{"zsh", `sallyport completion zsh > "${fpath[1]}/_sallyport"`, (*cobra.Command).GenZshCompletion},
	{"fish", "sallyport completion fish > ~/.config/fish/completions/sallyport.fish", func(c *cobra.Command, w io.Writer) error { return c.GenFishCompletion(w, true) }},
	{"powershell", "sallyport completion powershell >> $PROFILE", (*cobra.Command).GenPowerShellCompletionWithDesc},
}

func newCompletion(a *app) *cobra.Command {
	var names []string
	var example strings.Builder
	for _, s := range shells {
		names = append(names, s.name)
		fmt.Fprintf(&example, "  %s\n", s.load)
	}
	list := strings.Join(names, ", ")
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "Print a script that completes commands in a shell",
		Long: `Print a script by which SHELL, which is bash, zsh, fish or powershell, completes
commands and flags of sallyport. New shells have it where it is put as below; in
bash, the package bash-completion must be there.`,
		Example:   strings.TrimRight(example.String(), "\n"),
		ValidArgs: names,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("one SHELL is wanted: %s", list)
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			for _, s := range shells {
				if s.name == args[0] {
					return s.write(c.Root(), a.out)
				}
			}
			hint := "try " + list
			if near := nearest(args[0], names); near != "" {
				hint = "try sallyport completion " + near
			}
			return misused(hint, "there is no completion for %q", args[0])
		},
	}
}

// completeTargets has a first argument that is a TARGET completed with the names
// of contacts.
func completeTargets(root *cobra.Command) {
	for _, c := range root.Commands() {
		if words := strings.Fields(c.Use); len(words) > 1 && strings.Trim(words[1], "[]") == "TARGET" {
			c.ValidArgsFunction = contactNames
		}
	}
}

func contactNames(_ *cobra.Command, args []string, _ string) (names []string, _ cobra.ShellCompDirective) {
	all, err := contacts()
	if len(args) > 0 || err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	list, _ := all.List() // a file that can't be read is told elsewhere
	for _, c := range list {
		names = append(names, c.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
