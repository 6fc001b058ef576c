package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func newConfig(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "config",
		Short: "Write or show the configuration",
		Long: `The configuration file holds what would otherwise stand on every command line: its
keys are named as the flags of "sallyport node", and flags win. All commands that
start a node read it. ("sallyport serve" has one of its own: see its
--print-config.)`,
		Example: `  sallyport config init
  sallyport config show`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return fmt.Errorf("%q is not one of init, show and path", args[0])
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newConfigInit(a), newConfigShow(a), newConfigPath(a))
	return c
}

func newConfigInit(a *app) *cobra.Command {
	n := nodeCommand{app: a}
	c := &cobra.Command{
		Use:   "init",
		Short: "Write a configuration file with every key explained",
		Long: `Write a configuration file in which every key stands with what it means, behind a
# where it has its default. Flags that are given here are written without the #.
It goes to --config, or to where "sallyport config path" says. A file that is
there already is left alone.`,
		Example: `  sallyport config init
  sallyport config init --port 4001 --allow 26vGxSb9PMjdqAkEtixBBHm6tt9o72xX4YBBHJQWsJnQb`,
		Args: nothingElse,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := n.sinks.fromCommandLine(c); err != nil {
				return err
			}
			if err := n.check(); err != nil {
				return err
			}
			path, err := theConfigPath(n.flags.config)
			if err != nil {
				return err
			}
			// A flag that fromCommandLine has put aside is not written.
			c.Flags().VisitAll(func(f *pflag.Flag) { f.Changed = f.Changed && f.Value.String() != f.DefValue })
			if err := writeNew(path, exampleConfig("sallyport", c.Flags())); errors.Is(err, fs.ErrExist) {
				return failed(nil, "edit it, or write another one with --config FILE", "%s is there already, and left as it is", path)
			} else if err != nil {
				return failed(err, "try --config with another file", "the configuration can't be written: %v", err)
			}
			if a.json {
				emit(a.out, configPathEvent{path, true})
			} else {
				fmt.Fprintln(a.out, path)
			}
			a.say("Take the # away from what shall differ from its default.")
			return nil
		},
	}
	n.register(c)
	return c
}

// check finds what the node command would refuse.
func (n *nodeCommand) check() error {
	if err := n.flags.check(); err != nil {
		return err
	}
	if _, err := n.sinks.sink(n.app); err != nil {
		return err
	}
	if _, err := parseAllow(n.allow); err != nil {
		return err
	}
	_, err := parseBirthday(n.birth)
	return err
}

// theConfigPath is asked, or where the file belongs.
func theConfigPath(asked string) (string, error) {
	if asked != "" {
		return asked, nil
	}
	path, err := configPath()
	if err != nil {
		return "", failed(err, "try --config FILE", "there is no home directory to keep a configuration in")
	}
	return path, nil
}

// writeNew writes a file that must not be there. Others may not read it, since
// it may hold a relay's secret.
func writeNew(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, text)
	return errors.Join(err, f.Close())
}

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
			emit(n.out, settingEvent{f.Name, valueOf(f), from})
			return
		}
		if means := defaultOf(f); from == "default" && means != "" {
			from += ": " + means
		}
		fmt.Fprintf(n.out, "%-28s # %s\n", strings.TrimSuffix(asTOML(f), "\n"), from)
	})
}

// valueOf is a flag's value as JSON has it.
func valueOf(f *pflag.Flag) any {
	if list, ok := f.Value.(pflag.SliceValue); ok {
		return append([]string{}, list.GetSlice()...) // none is [], not null
	}
	if slices.Contains(plainTypes, f.Value.Type()) {
		return json.RawMessage(f.Value.String())
	}
	return f.Value.String()
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

func newConfigPath(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:     "path",
		Short:   "Say where the configuration file belongs",
		Long:    `Print the path of the configuration file, whether there is one or not.`,
		Example: `  sallyport config path`,
		Args:    nothingElse,
		RunE: func(*cobra.Command, []string) error {
			path, err := theConfigPath("")
			if err != nil {
				return err
			}
			_, err = os.Stat(path)
			if a.json {
				emit(a.out, configPathEvent{path, err == nil})
				return nil
			}
			fmt.Fprintln(a.out, path)
			if err != nil {
				a.say(`There is no such file yet; "sallyport config init" writes one.`)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&a.json, "json", false, "print one JSON object")
	return c
}

type configPathEvent struct {
	Path   string `json:"path"`
	Exists bool   `json:"exists"`
}
