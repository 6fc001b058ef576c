package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/configfile"
)

// How wide help is, and the column of the flags in it at most: what a flag with a
// longer name does stands beneath that.
const (
	helpWidth = 80
	flagWidth = 24
)

// flagUsages describes the flags of a command in two columns.
func flagUsages(c *cobra.Command) string {
	options := optionsOf(c)
	column := 0
	for n, o := range options {
		if strings.HasPrefix(o[0], "--") {
			o[0] = "    " + o[0] // beneath those with a letter
		}
		options[n][0] = "  " + o[0]
		if at := len(options[n][0]); at <= flagWidth {
			column = max(column, at)
		}
	}
	column += 2
	var lines []string
	for _, o := range options {
		left := o[0]
		if len(left) > column-2 {
			lines, left = append(lines, left), ""
		}
		for _, line := range configfile.Wrap(o[1], helpWidth-column) {
			lines, left = append(lines, left+strings.Repeat(" ", column-len(left))+line), ""
		}
	}
	return strings.Join(lines, "\n")
}
