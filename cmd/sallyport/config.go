package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/configfile"
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

// notKeys are the flags that make no sense in a file, and notInExample those that a
// service's file has no use for.
var (
	notKeys      = []string{"config", "help", "print-config", "local", "remote", "socks", "foreground", "detached", "open"}
	notInExample = append(slices.Clone(notKeys), "json", "verbose")
)

// configPath is where the user's configuration file is, if there is one.
func configPath() (string, error) {
	dir, err := configDir()
	return filepath.Join(dir, "config.toml"), err
}

// readConfig sets the flags that the file names and the command line does not; keys of
// others are passed over. Without a path it takes config.toml from the user's
// configuration directory, if that exists.
func readConfig(path, command string, flags *pflag.FlagSet, others []string) error {
	optional := path == ""
	if optional {
		var err error
		if path, err = configPath(); err != nil {
			return nil // nowhere to look
		}
	}
	err := configfile.Read(path, configfile.Keys{Flags: flags, Except: notKeys, Others: others})
	var bad *configfile.Error
	switch {
	case err == nil, optional && errors.Is(err, fs.ErrNotExist):
		return nil
	case !errors.As(err, &bad):
		return unread(path, err, command)
	}
	hint := bad.Hint()
	if key, known := bad.Unknown(); key != "" {
		hint = "try a key that is named as a flag of sallyport " + command
		if near := nearest(key, known); near != "" {
			hint = fmt.Sprintf("try %q", near)
		}
	}
	return misused(hint, "%v", bad)
}

// unread is a configuration file that can't be read.
func unread(path string, err error, command string) error {
	hint := "try another file with --config"
	if errors.Is(err, fs.ErrNotExist) {
		hint = `try a file that is there; "sallyport config init" writes one`
		if command == "serve" {
			hint = `try a file that is there; "sallyport serve --print-config" prints one`
		}
	}
	return &failure{status: statusMisused, what: fmt.Sprintf("the configuration file %q can't be read: %s", path, reasonOf(err)), hint: hint, cause: err}
}
