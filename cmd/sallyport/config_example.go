package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/spf13/pflag"
)

// notInExample are flags that a service's file has no use for.
var notInExample = append(slices.Clone(notKeys), "json", "verbose")

// exampleConfig is a configuration file: every key with what it means, and
// behind a # where it has its default.
func exampleConfig(about string, flags *pflag.FlagSet) string {
	var b strings.Builder
	b.WriteString("# Configuration of " + about + ". Flags of the same names win.\n")
	flags.VisitAll(func(flag *pflag.Flag) {
		if slices.Contains(notInExample, flag.Name) {
			return
		}
		_, usage := pflag.UnquoteUsage(flag)
		b.WriteString("\n")
		for _, line := range wrapped(usage, 76) {
			b.WriteString("# " + line + "\n")
		}
		if !flag.Changed {
			b.WriteString("#")
		}
		b.WriteString(asTOML(flag))
	})
	return b.String()
}

// plainTypes are those of flags whose text is TOML, and JSON, as it stands.
var plainTypes = []string{"bool", "int", "int64", "uint16", "float64"}

// asTOML is a line that sets a flag to what it is.
func asTOML(flag *pflag.Flag) string {
	var value any = flag.Value.String()
	if list, ok := flag.Value.(pflag.SliceValue); ok {
		value = append([]string{}, list.GetSlice()...) // none is [], not nothing
	}
	if slices.Contains(plainTypes, flag.Value.Type()) {
		return fmt.Sprintf("%s = %s\n", flag.Name, flag.Value)
	}
	var b bytes.Buffer
	if err := toml.NewEncoder(&b).Encode(map[string]any{flag.Name: value}); err != nil {
		panic(err) // texts and lists of them can be written
	}
	return b.String()
}

// wrapped breaks a text between words into lines of at most width bytes, where
// words allow it.
func wrapped(text string, width int) []string {
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
