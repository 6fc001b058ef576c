package main

import (
	"fmt"
	"strings"

	"github.com/sallyport-net/sallyport/node/transfer"
)

// namesShown is how many names of an offer are told.
const namesShown = 10

// names are those of what lies at the top of an offer, not too many.
func names(o transfer.Offer) []string {
	list := []string{}
	for _, e := range o.Top() {
		if len(list) < namesShown {
			list = append(list, e.Path)
		}
	}
	return list
}

// describe says what an offer has: `"small.bin" (64 kB)`.
func describe(o transfer.Offer) string {
	top := o.Top()
	if len(top) == 1 && !top[0].Folder {
		return fmt.Sprintf("%q (%s)", top[0].Path, amount(o.Size()))
	}
	var list []string
	for _, name := range names(o) {
		list = append(list, fmt.Sprintf("%q", name))
	}
	text := strings.Join(list, ", ")
	if more := len(top) - len(list); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return fmt.Sprintf("%s (%s, %s)", text, plural(o.Files(), "file"), amount(o.Size()))
}
