package main

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// What a command says of itself fits a terminal of 84 columns, but for examples,
// which are to be pasted.
func TestHelpFits(t *testing.T) {
	for _, c := range documented(newRoot(newApp())) {
		text, _, _ := strings.Cut(c.Long+"\n"+c.UsageString(), "\nExamples:\n")
		for line := range strings.Lines(text) {
			line = strings.TrimSuffix(line, "\n")
			if utf8.RuneCountInString(line) > 84 && strings.Contains(strings.TrimSpace(line), " ") && !strings.HasPrefix(line, "  open, ") {
				t.Errorf("%s: %d columns: %s", c.CommandPath(), utf8.RuneCountInString(line), line)
			}
		}
	}
}

// What a flag does begins where the eye expects it, however long the names are.
func TestFlagsFit(t *testing.T) {
	for _, c := range documented(newRoot(newApp())) {
		_, flags, _ := strings.Cut(c.UsageString(), "\nFlags:\n")
		flags, _, _ = strings.Cut(flags, "\nExamples:\n")
		for line := range strings.Lines(flags) {
			line = strings.TrimSuffix(line, "\n")
			name, what, _ := strings.Cut(strings.TrimLeft(line, " "), "  ")
			at := len(line) - len(strings.TrimLeft(what, " "))
			if !strings.HasPrefix(name, "-") {
				at = len(line) - len(name)
			}
			if utf8.RuneCountInString(line) > 80 || at > 26 && what != "" {
				t.Errorf("%s: what it does begins in column %d: %s", c.CommandPath(), at, line)
			}
		}
	}
}
