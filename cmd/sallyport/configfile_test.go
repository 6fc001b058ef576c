package main

import (
	"bytes"
	"testing"

	"github.com/spf13/cobra"
)

// Whatever a configuration file holds, it sets flags or is refused.
func FuzzConfig(f *testing.F) {
	for _, s := range []string{"port = 1", "broker = [\"0\", \"1\"]\n", "[x]\ny = 1\n", "stun = [[1]]", "echo = true", "timeout = 1979-05-27", "a.b = 1", "json = \"true\""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a := &app{out: &bytes.Buffer{}, err: &bytes.Buffer{}}
		var flags nodeFlags
		c := &cobra.Command{}
		flags.register(a, c)
		if err := applyConfig("file", text, configKeys{"node", c.Flags(), nodeOnly}); err != nil && explain(err).status != statusMisused {
			t.Errorf("%q: %v", text, err)
		}
	})
}
