package main

import (
	"path/filepath"
	"testing"
)

// What os.UserConfigDir gives on macOS and Windows does not depend on
// XDG_CONFIG_HOME; homes apart must be apart there as well.
func TestConfigDirs(t *testing.T) {
	usual := func() (string, error) { return "usual", nil }
	xdg := t.TempDir()
	for given, want := range map[string]string{"": "usual", "relative": "usual", xdg: xdg} {
		got, err := configDirOf(given, usual)
		if want = filepath.Join(want, "sallyport"); got != want || err != nil {
			t.Errorf("with XDG_CONFIG_HOME=%q: %q, %v, not %q", given, got, err, want)
		}
	}
}
