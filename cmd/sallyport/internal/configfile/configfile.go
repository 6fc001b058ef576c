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

// maxSize is how many bytes of a file are read, and maxLine how long a line of it
// may be: the decoder takes minutes for a key of 60 kB with a dot after every letter.
const (
	maxSize = 64 << 10
	maxLine = 1 << 10
)

// Keys are what a file may hold.
type Keys struct {
	Flags  *pflag.FlagSet // keys are named as these flags
	Except []string       // those of them that make no sense in a file
	Others []string       // keys that are passed over, as of another command
}

// UnknownKeyError is the error of a file with a key that there is not.
type UnknownKeyError struct {
	Key   string
	Known []string // the keys that there are

	where string // the file and the line
}

func (e *UnknownKeyError) Error() string {
	return fmt.Sprintf("%s: there is no key %q", e.where, e.Key)
}

// Read sets the flags that the file at path names and that are not Changed yet. A
// file of more than 64 kB, or with a line of more than 1 kB, is refused. Its errors
// say in which line: an *UnknownKeyError, or words; one that comes from the file
// system can be told by errors.Is. Flags that stand before a bad line are set.
func Read(path string, keys Keys) error {
	f, err := os.Open(path)
	if err != nil {
		return unreadable(err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return unreadable(err)
	}
	if len(text) > maxSize {
		return fmt.Errorf("%s has more than %d bytes", path, maxSize)
	}
	return Apply(path, string(text), keys)
}

func unreadable(err error) error { return fmt.Errorf("the configuration can't be read: %w", err) }

// Apply is Read for the text of a file; path is for its errors only.
func Apply(path, text string, keys Keys) error {
	number := 0
	for line := range strings.Lines(text) {
		if number++; len(line) > maxLine {
			return fmt.Errorf("%s, line %d: longer than %d bytes", path, number, maxLine)
		}
	}
	var file map[string]toml.Primitive
	meta, err := toml.Decode(text, &file)
	if err != nil {
		return worded(path, err)
	}
	for _, key := range meta.Keys() { // in the order of the file
		// No flag has a name with parts, as in a.b = 1, but it is refused where
		// it stands.
		value := file[key[0]]
		for _, part := range key[1:] {
			var table map[string]toml.Primitive
			if err := meta.PrimitiveDecode(value, &table); err != nil {
				return worded(path, err)
			}
			value = table[part]
		}
		one := &entry{name: key.String(), keys: keys}
		if err := meta.PrimitiveDecode(value, one); err != nil {
			if one.unknown {
				return &UnknownKeyError{Key: one.name, Known: keys.names(), where: where(path, err)}
			}
			return worded(path, err)
		}
	}
	return nil
}

// worded is what the decoder says, and where.
func worded(path string, err error) error {
	text := err.Error()
	if parse := (toml.ParseError{}); errors.As(err, &parse) {
		text = parse.Message
	}
	return fmt.Errorf("%s: %s", where(path, err), text)
}

// where is the file, and the line where that is known.
func where(path string, err error) string {
	if parse := (toml.ParseError{}); errors.As(err, &parse) {
		return fmt.Sprintf("%s, line %d", path, parse.Position.Line)
	}
	return path
}

// entry is one key of the file, on its way into the flag of that name.
type entry struct {
	name    string
	keys    Keys
	unknown bool // there is no such key: of an error the decoder keeps only the words
}

// UnmarshalTOML takes a string, a number or a boolean, or a list of them where
// the flag may be repeated. The decoder adds the line to its errors.
func (e *entry) UnmarshalTOML(value any) error {
	flag := e.keys.Flags.Lookup(e.name)
	if flag == nil && slices.Contains(e.keys.Others, e.name) {
		return nil
	}
	if flag == nil || slices.Contains(e.keys.Except, e.name) {
		e.unknown = true
		return fmt.Errorf("there is no key %q", e.name)
	}
	values, isList := value.([]any)
	if !isList {
		values = []any{value}
	}
	list, repeatable := flag.Value.(pflag.SliceValue)
	if isList && !repeatable {
		return fmt.Errorf("%q takes one value, not a list", e.name)
	}
	var texts []string
	for _, v := range values {
		switch v.(type) {
		case string, int64, float64, bool:
			texts = append(texts, fmt.Sprint(v))
		default:
			return fmt.Errorf("%q takes a text, a number, true or false", e.name)
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
		return fmt.Errorf("%q: %v", e.name, err)
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
