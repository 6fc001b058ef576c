//go:build unix

package address

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestKeyFileThatIsAPipe must not wait for somebody to write into it.
func TestKeyFileThatIsAPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Skip(err)
	}
	if _, _, err := LoadOrCreateKey(path); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a pipe: %v", err)
	}
}
