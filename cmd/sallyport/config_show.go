package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/configfile"
)

func newConfigShow(a *app) *cobra.Command {
	n := nodeCommand{app: a}
	c := &cobra.Command{
		Use:   "show",
		Short: "Show all settings in effect, and where each comes from",
		Long: `Show what "sallyport node" would go by if it were called with the same flags: each
setting, and whether it comes from a flag, from the file, or is the default. What
opens a relay is left out.`,
		Example: `  sallyport config show
  sallyport config show --config other.toml --port 4001`,
		Args: nothingElse,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := n.sinks.fromCommandLine(c); err != nil {
				return err
			}
			var given []string // and what they put aside
			c.Flags().VisitAll(func(f *pflag.Flag) {
				if f.Changed {
					given = append(given, f.Name)
				}
			})
			if err := n.flags.settle(a, c); err != nil {
				return err
			}
			if err := n.check(); err != nil {
				return err
			}
			n.show(c.Flags(), given)
			return nil
		},
	}
	n.register(c)
	return c
}

// settingEvent is one setting.
type settingEvent struct {
	Key   string `json:"key"`
	Value any    `json:"value"`
	From  string `json:"from"` // flag, file or default
}

// show prints all settings; given are those from the command line.
func (n *nodeCommand) show(flags *pflag.FlagSet, given []string) {
	n.hideSecrets()
	path, err := theConfigPath(n.flags.config)
	if err == nil {
		if _, err = os.Stat(path); err != nil {
			path += " (there is none)"
		}
		if !n.json {
			fmt.Fprintf(n.out, "# File: %s\n", path)
		}
	}
	flags.VisitAll(func(f *pflag.Flag) {
		from := "default"
		switch {
		case slices.Contains(notInExample, f.Name):
			return
		case slices.Contains(given, f.Name):
			from = "flag"
		case f.Changed:
			from = "file"
		}
		if n.json {
			emit(n.out, settingEvent{f.Name, configfile.Value(f), from})
			return
		}
		if means := defaultOf(f); from == "default" && means != "" {
			from += ": " + means
		}
		fmt.Fprintf(n.out, "%-28s # %s\n", strings.TrimSuffix(configfile.Line(f), "\n"), from)
	})
}

// hideSecrets takes away what opens the relays, which are valid.
func (n *nodeCommand) hideSecrets() {
	for k, text := range n.flags.turn {
		_, host, _ := strings.Cut(text, "@")
		n.flags.turn[k] = "turn:…@" + host
	}
}

// defaultOf is what the help says of a default that the value itself does not
// say; "" where there is nothing to say.
func defaultOf(f *pflag.Flag) string {
	_, after, ok := strings.Cut(f.Usage, "(default: ")
	if !ok {
		return ""
	}
	return strings.TrimSuffix(after, ")")
}
