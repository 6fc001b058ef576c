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
