package main

import (
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	names := []string{"port", "portmap", "broker", "turn", "turn-secret", "timeout"}
	for word, want := range map[string]string{
		"prot": "port", "brokr": "broker", "Broker": "broker", "timeouts": "timeout", "turn_secret": "turn-secret",
		"portmaps": "portmap", "x": "", "": "", "something": "", strings.Repeat("a", 1000): "",
	} {
		if got := nearest(word, names); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
	for pair, want := range map[[2]string]int{{"", ""}: 0, {"ab", "ba"}: 1, {"kitten", "sitting"}: 3, {"", "abc"}: 3} {
		if got := distance(pair[0], pair[1]); got != want {
			t.Errorf("%q: %d, want %d", pair, got, want)
		}
	}
}
