package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/configfile"
)

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
			if err := writeNew(path, configfile.Example("sallyport", c.Flags(), notInExample)); errors.Is(err, fs.ErrExist) {
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
	if _, err := n.sinks.sink(n.app, false, func() sink { return nil }); err != nil {
		return err
	}
	if _, err := parseAllow(n.allow); err != nil {
		return err
	}
	if _, err := n.relay.relaying(); err != nil {
		return err
	}
	_, err := parseBirthday(n.birth)
	return err
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
