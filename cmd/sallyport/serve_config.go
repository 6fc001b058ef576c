package main

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/spf13/pflag"
)

// leastPorts is how many ports --ports must have: those of the services, and a
// few for what is relayed.
const leastPorts = 8

// settlePorts deals the ports of --ports out, to those that were not given
// otherwise, and checks the limits.
func (f *serveFlags) settlePorts(flags *pflag.FlagSet) error {
	var wrong error
	flags.VisitAll(func(flag *pflag.Flag) {
		n, err := strconv.ParseFloat(flag.Value.String(), 64)
		if err == nil && n <= 0 && !strings.HasSuffix(flag.Name, "-port") && wrong == nil {
			wrong = misused("", "--%s must be more than 0", flag.Name)
		}
	})
	if wrong == nil && (f.turnAge <= 0 || f.drain < 0) {
		wrong = misused("", "--turn-age and --drain can't be less than nothing")
	}
	if wrong != nil || f.ports == "" {
		return wrong
	}
	from, to, _ := strings.Cut(f.ports, "-")
	first, err := strconv.ParseUint(from, 10, 16)
	last, err2 := strconv.ParseUint(to, 10, 16)
	if err != nil || err2 != nil || first == 0 || last < first+leastPorts-1 {
		return misused("try --ports 3478-3733", "--ports %q is no range of at least %d ports", f.ports, leastPorts)
	}
	next := uint16(first)
	for _, one := range []struct {
		flag string
		port *uint16
	}{{"stun-port", &f.stun}, {"alternate-port", &f.alternate}, {"turn-port", &f.turn}, {"mqtt-port", &f.mqtt}, {"mqtts-port", &f.mqtts}} {
		if !flags.Changed(one.flag) {
			*one.port = next
		}
		next++
	}
	f.firstRelayed, f.lastRelayed = next, uint16(last)
	return nil
}

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
