package main

import (
	"bytes"
	"os"
	"os/exec"
	"runtime/debug"
	"strings"
	"testing"
)

func TestReferenceIsFresh(t *testing.T) {
	have, err := os.ReadFile("../../docs/reference.md")
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != markdown(newRoot(newApp())) {
		t.Errorf("docs/reference.md is not what the help says any more. At the top of the checkout, run:\n\t%s", regenerate)
	}
}

// TestReferenceHasEverything: every command and flag that is not hidden.
func TestReferenceHasEverything(t *testing.T) {
	root := newRoot(newApp())
	for name, text := range map[string]string{"markdown": markdown(root), "manual": strings.ReplaceAll(manual(root), `\-`, "-")} {
		for _, want := range []string{"sallyport config init", "sallyport nick claim NAME", "--print-config", "-v, --verbose", "(default: 30s)", "Exit status: 0 done", "sallyport node --forward 127.0.0.1:22"} {
			if !strings.Contains(text, want) {
				t.Errorf("the %s lacks %q", name, want)
			}
		}
		if strings.Contains(text, "sallyport reference [flags]") {
			t.Errorf("the %s has a hidden command", name)
		}
	}
}

func TestParagraphs(t *testing.T) {
	got := paragraphs("One\nline.\n  --a  x\n       y\n\n  --b  z\nTwo.\n\nThree\n")
	want := []paragraph{{"One line.", false}, {"--a  x\n     y", true}, {"--b  z", true}, {"Two.", false}, {"Three", false}}
	if len(got) != len(want) {
		t.Fatalf("%v", got)
	}
	for k := range want {
		if got[k] != want[k] {
			t.Errorf("%v, want %v", got[k], want[k])
		}
	}
}

// TestManualIsRoff has groff look at the manual page.
func TestManualIsRoff(t *testing.T) {
	path, err := exec.LookPath("groff")
	if err != nil {
		t.Skip("groff is not installed")
	}
	c := exec.Command(path, "-man", "-Tutf8", "-ww", "-z")
	c.Stdin = strings.NewReader(manual(newRoot(newApp())))
	if out, err := c.CombinedOutput(); err != nil || len(bytes.TrimSpace(out)) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
	if got, want := inMan(".TH --x\n'y \\z"), "\\&.TH \\-\\-x\n\\&'y \\ez"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestVersion(t *testing.T) {
	info := &debug.BuildInfo{Main: debug.Module{Version: "v0.3.0"}, Settings: []debug.BuildSetting{
		{Key: "vcs.revision", Value: "0123456789abcdef0123"}, {Key: "vcs.time", Value: "2026-02-03T04:05:06Z"}, {Key: "vcs.modified", Value: "true"},
	}}
	for _, c := range []struct {
		info *debug.BuildInfo
		want string
	}{
		{info, "sallyport v0.3.0 (commit 0123456789ab of 2026-02-03 with changes, "},
		{&debug.BuildInfo{Main: debug.Module{Version: "(devel)"}}, "sallyport (devel) (go"},
		{nil, "sallyport unknown (go"},
	} {
		if got := versionOf(c.info).String(); !strings.HasPrefix(got, c.want) {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
