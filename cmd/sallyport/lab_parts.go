package main

import (
	"fmt"
	"slices"
	"strings"
)

// labPart is one command and the host that it runs on.
type labPart struct {
	host    string
	command []string
}

// splitCommands splits the words after -- at each ---. A part that begins with
// NAME: runs on that host, the others on the hosts in their order.
func splitCommands(words, hosts []string) ([]labPart, error) {
	var parts []labPart
	for n := 0; ; n++ {
		end := slices.Index(words, "---")
		part := words
		if end >= 0 {
			part = words[:end]
		}
		var p labPart
		if name, ok := strings.CutSuffix(first(part), ":"); ok {
			if !slices.Contains(hosts, name) {
				return nil, fmt.Errorf("there is no host %q; there are %s", name, strings.Join(hosts, ", "))
			}
			p.host, part = name, part[1:]
		} else if n < len(hosts) {
			p.host = hosts[n]
		} else {
			return nil, fmt.Errorf("command %d has no host; NAME: before it gives it one", n+1)
		}
		if len(part) == 0 {
			return nil, fmt.Errorf("there is nothing to run on host %q", p.host)
		}
		p.command = part
		parts = append(parts, p)
		if end < 0 {
			return parts, nil
		}
		words = words[end+1:]
	}
}

func first(words []string) string {
	if len(words) == 0 {
		return ""
	}
	return words[0]
}
