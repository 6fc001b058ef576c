package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

func newVersion(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "version",
		Short: "Say which version this is",
		Long: `Say which version this is, of which commit, and what it was built with. A
binary that was built outside of a repository knows of no commit.`,
		Example: `  sallyport version
  sallyport version --json`,
		Args: nothingElse,
		RunE: func(*cobra.Command, []string) error {
			info, _ := debug.ReadBuildInfo()
			v := versionOf(info)
			if a.json {
				emit(a.out, v)
			} else {
				_, _ = io.WriteString(a.out, v.String()+"\n")
			}
			return nil
		},
	}
	c.Flags().BoolVar(&a.json, "json", false, "print one JSON object")
	return c
}

type versionEvent struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Time     string `json:"time,omitempty"`     // of the commit
	Modified bool   `json:"modified,omitempty"` // what was built is not just the commit
	Go       string `json:"go"`
	System   string `json:"system"`
}

// versionOf reads what Go wrote into the binary. info may be nil.
func versionOf(info *debug.BuildInfo) versionEvent {
	v := versionEvent{Version: "unknown", Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH}
	if info == nil {
		return v
	}
	if info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Commit = s.Value
		case "vcs.time":
			v.Time = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}

func (v versionEvent) String() string {
	about := []string{v.Go, v.System}
	if v.Commit != "" {
		commit := "commit " + v.Commit[:min(12, len(v.Commit))]
		if day, _, ok := strings.Cut(v.Time, "T"); ok {
			commit += " of " + day
		}
		if v.Modified {
			commit += " with changes"
		}
		about = append([]string{commit}, about...)
	}
	return fmt.Sprintf("sallyport %s (%s)", v.Version, strings.Join(about, ", "))
}
