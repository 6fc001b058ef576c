package configfile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/spf13/pflag"
)

// Example is a file for a command: every key but those in except with what it means,
// and behind a # where its flag is not Changed.
func Example(command string, flags *pflag.FlagSet, except []string) string {
	var b strings.Builder
	b.WriteString("# Configuration of " + command + ". Flags of the same names win.\n")
	flags.VisitAll(func(flag *pflag.Flag) {
		if slices.Contains(except, flag.Name) {
			return
		}
		_, usage := pflag.UnquoteUsage(flag)
		b.WriteString("\n")
		for _, line := range Wrap(usage, 76) {
			b.WriteString("# " + line + "\n")
		}
		if !flag.Changed {
			b.WriteString("#")
		}
		b.WriteString(Line(flag))
	})
	return b.String()
}

// plainTypes are those of flags whose text is TOML, and JSON, as it stands.
var plainTypes = []string{"bool", "int", "int64", "uint16", "float64"}

// Line is the line of a file, with its end, that sets a flag to what it is.
func Line(flag *pflag.Flag) string {
	var value any = flag.Value.String()
	if list, ok := flag.Value.(pflag.SliceValue); ok {
		value = append([]string{}, list.GetSlice()...) // none is [], not nothing
	}
	if slices.Contains(plainTypes, flag.Value.Type()) {
		return fmt.Sprintf("%s = %s\n", flag.Name, strings.ToLower(flag.Value.String())) // +Inf is +inf there
	}
	var b bytes.Buffer
	if err := toml.NewEncoder(&b).Encode(map[string]any{flag.Name: value}); err != nil {
		panic(err) // texts and lists of them can be written
	}
	return b.String()
}

// Value is a flag's value as encoding/json takes it: a number, a boolean, a text, or
// a list of texts.
func Value(flag *pflag.Flag) any {
	if list, ok := flag.Value.(pflag.SliceValue); ok {
		return append([]string{}, list.GetSlice()...) // none is [], not null
	}
	if text := flag.Value.String(); slices.Contains(plainTypes, flag.Value.Type()) && json.Valid([]byte(text)) { // NaN is not
		return json.RawMessage(text)
	}
	return flag.Value.String()
}

// Wrap breaks a text between words into lines of at most width bytes, where
// words allow it.
func Wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = ""
		}
		line = strings.TrimSpace(line + " " + word)
	}
	return append(lines, line)
}
