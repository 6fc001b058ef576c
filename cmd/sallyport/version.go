package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/sallyport-net/sallyport/node/api"
)

func newVersion(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:     "version",
		Short:   "Say which version this is",
		Long:    `Say which version this is, and what it was built with.`,
		Example: `  sallyport version`,
		Args:    nothingElse,
		RunE: func(*cobra.Command, []string) error {
			v := versionOf()
			if a.json {
				emit(a.out, v)
				return nil
			}
			fmt.Fprintf(a.out, "sallyport %s (%s, %s)\n", v.Version, v.Go, v.System)
			return nil
		},
	}
	c.Flags().BoolVar(&a.json, "json", false, "print one JSON object")
	return c
}

// versionOf says what this program is.
func versionOf() api.Version {
	v := api.Version{Version: "unknown", Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	return v
}
