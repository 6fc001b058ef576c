// Package configfile sets the flags of a command by a TOML file with keys of the same
// names, and writes such files. It knows pflag's flags and nothing of what they are
// for: a flag that takes a list takes one in the file, too, and a flag that the command
// line has set wins.
package configfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/spf13/pflag"
)

// maxConfig is how many bytes of a configuration file are read, and maxConfigLine how
// long a line of it may be: the decoder takes minutes for a key of 60 kB with
// a dot after every letter.
const (
	maxConfig     = 64 << 10
	maxConfigLine = 1 << 10
)

// Keys are what a configuration file may hold.
type Keys struct {
	Flags  *pflag.FlagSet // keys are named as these flags
	Except []string       // those of them that make no sense in a file
	Others []string       // keys that are passed over, as of another command
}

// Error says what is wrong with a file, and where.
type Error struct {
	what    string
	hint    string
	unknown string // the key that there is not
	known   []string
}

func (e *Error) Error() string { return e.what }

// Hint is one thing to try; it may be empty.
func (e *Error) Hint() string { return e.hint }

// Unknown gives the key that there is not, and those that there are; "" where the
// error is another one.
func (e *Error) Unknown() (key string, known []string) { return e.unknown, e.known }

func misused(hint, format string, args ...any) error {
	return &Error{what: fmt.Sprintf(format, args...), hint: hint}
}

// Read sets the flags that the file at path names and that are not Changed yet. A
// file of more than 64 kB, or with a line of more than 1 kB, is refused. A file that
// can't be read is the file system's error; every other is an *Error. Flags that stand
// before a bad line are set.
func Read(path string, keys Keys) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err != nil {
		return err
	}
	if len(text) > maxConfig {
		return misused("try a file as \"sallyport config init\" writes it", "%s has more than %d bytes", path, maxConfig)
	}
	return Apply(path, string(text), keys)
}

// Apply is Read for the text of a file; path is for its errors only.
func Apply(path, text string, keys Keys) error {
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
			err = configError(path, err, one.hint)
			if e := (*Error)(nil); one.unknown && errors.As(err, &e) {
				e.unknown, e.known = one.name, keys.names()
			}
			return err
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
	name    string
	keys    Keys
	hint    string // what to try after an error: the decoder keeps only its words
	unknown bool   // there is no such key
}

// UnmarshalTOML takes a string, a number or a boolean, or a list of them where
// the flag may be repeated. The decoder adds the line to its errors.
func (k *configKey) UnmarshalTOML(value any) error {
	flag := k.keys.Flags.Lookup(k.name)
	if flag == nil && slices.Contains(k.keys.Others, k.name) {
		return nil // for another command
	}
	if flag == nil || slices.Contains(k.keys.Except, k.name) {
		k.unknown = true
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
		return fmt.Errorf("%q: %q is not %s", k.name, texts[0], Wanted(flag))
	}
	flag.Changed = true
	return nil
}

// names are the keys that there are.
func (k Keys) names() []string {
	names := slices.Clone(k.Others)
	k.Flags.VisitAll(func(f *pflag.Flag) {
		if !slices.Contains(k.Except, f.Name) {
			names = append(names, f.Name)
		}
	})
	return names
}

// Wanted says what a flag takes, as "a number".
func Wanted(f *pflag.Flag) string {
	switch f.Value.Type() {
	case "duration":
		return "a time, such as 90s or 10m"
	case "uint16":
		return "a number from 0 to 65535"
	case "bool":
		return "true or false"
	case "stringSlice":
		return "a list with commas between, and its quotes closed"
	}
	return "a number"
}
