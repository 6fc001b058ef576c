package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/spf13/pflag"
)

// maxConfig is how much of a configuration file is read, and maxConfigLine how
// long a line of it may be: the decoder takes minutes for a key of 60 kB with
// a dot after every letter.
const (
	maxConfig     = 64 << 10
	maxConfigLine = 1 << 10
)

// configKeys are what a configuration file may hold: keys named as the flags of
// a command, and others that are passed over.
type configKeys struct {
	command string
	flags   *pflag.FlagSet
	others  []string
}

// notKeys are the flags that make no sense in a file.
var notKeys = []string{"config", "help", "print-config", "local", "remote", "socks", "foreground", "detached", "open"}

// readConfig sets the flags that the file names and the command line does not.
// Without a path it takes config.toml from the user's configuration directory,
// if that exists.
func readConfig(path string, keys configKeys) error {
	optional := path == ""
	if optional {
		var err error
		if path, err = configPath(); err != nil {
			return nil // nowhere to look
		}
	}
	f, err := os.Open(path)
	if optional && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return unread(path, err, keys.command)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err != nil {
		return unread(path, err, keys.command)
	}
	if len(text) > maxConfig {
		return misused("try a file as \"sallyport config init\" writes it", "%s has more than %d bytes", path, maxConfig)
	}
	return applyConfig(path, string(text), keys)
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

// configPath is where the user's configuration file is, if there is one.
func configPath() (string, error) {
	dir, err := configDir()
	return filepath.Join(dir, "config.toml"), err
}

// applyConfig is readConfig without the file.
func applyConfig(path, text string, keys configKeys) error {
	number := 0
	for line := range strings.Lines(text) {
		if number++; len(line) > maxConfigLine {
			return misused("divide it into several lines", "%s, line %d: longer than %d bytes", path, number, maxConfigLine)
		}
	}
	var file map[string]toml.Primitive
	meta, err := toml.Decode(text, &file)
	if err != nil {
		return configError(path, err, "")
	}
	for _, key := range meta.Keys() { // in the order of the file
		// No flag has a name with parts, as in a.b = 1, but it is refused where
		// it stands.
		value := file[key[0]]
		for _, part := range key[1:] {
			var table map[string]toml.Primitive
			if err := meta.PrimitiveDecode(value, &table); err != nil {
				return configError(path, err, "")
			}
			value = table[part]
		}
		one := &configKey{name: key.String(), keys: keys}
		if err := meta.PrimitiveDecode(value, one); err != nil {
			return configError(path, err, one.hint)
		}
	}
	return nil
}

func configError(path string, err error, hint string) error {
	var parse toml.ParseError
	if hint == "" {
		hint = "correct that line, or take it out"
	}
	if !errors.As(err, &parse) {
		return misused(hint, "%s: %v", path, err)
	}
	return misused(hint, "%s, line %d: %s", path, parse.Position.Line, parse.Message)
}

// configKey is one key of the file, on its way into the flag of that name.
type configKey struct {
	name string
	keys configKeys
	hint string // what to try after an error: the decoder keeps only its words
}

// UnmarshalTOML takes a string, a number or a boolean, or a list of them where
// the flag may be repeated. The decoder adds the line to its errors.
func (k *configKey) UnmarshalTOML(value any) error {
	flag := k.keys.flags.Lookup(k.name)
	if flag == nil && slices.Contains(k.keys.others, k.name) {
		return nil // for another command
	}
	if flag == nil || slices.Contains(notKeys, k.name) {
		k.hint = "try a key that is named as a flag of sallyport " + k.keys.command
		if near := nearest(k.name, k.keys.names()); near != "" {
			k.hint = fmt.Sprintf("try %q", near)
		}
		return fmt.Errorf("there is no key %q", k.name)
	}
	values, isList := value.([]any)
	if !isList {
		values = []any{value}
	}
	list, repeatable := flag.Value.(pflag.SliceValue)
	if isList && !repeatable {
		return fmt.Errorf("%q takes one value, not a list", k.name)
	}
	var texts []string
	for _, v := range values {
		switch v.(type) {
		case string, int64, float64, bool:
			texts = append(texts, fmt.Sprint(v))
		default:
			return fmt.Errorf("%q takes a text, a number, true or false", k.name)
		}
	}
	if flag.Changed {
		return nil // the command line wins
	}
	if isList {
		flag.Changed = true
		return list.Replace(texts)
	}
	if err := flag.Value.Set(texts[0]); err != nil {
		k.hint = "try a value as the flag --" + k.name + " takes it"
		return fmt.Errorf("%q: %q is not %s", k.name, texts[0], wantedBy(flag))
	}
	flag.Changed = true
	return nil
}

// names are the keys that there are.
func (k configKeys) names() []string {
	names := slices.Clone(k.others)
	k.flags.VisitAll(func(f *pflag.Flag) {
		if !slices.Contains(notKeys, f.Name) {
			names = append(names, f.Name)
		}
	})
	return names
}
