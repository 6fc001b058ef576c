package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/sallyport-net/sallyport/nat/errno"
)

// homeTrouble is the failure of a file that this program keeps for itself.
func homeTrouble(err error, path string) error {
	return failed(err, homeHint(err, path), "%q can't be used: %s", path, reasonOf(err))
}

// homeHint is what helps.
func homeHint(err error, path string) string {
	elsewhere := "XDG_STATE_HOME"
	if dir, e := configDir(); e == nil && strings.HasPrefix(path, dir+string(filepath.Separator)) {
		elsewhere = "XDG_CONFIG_HOME"
	}
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Sprintf("let this user write there, or name another folder with %s", elsewhere)
	case errno.Is(err, syscall.ENOSPC), errno.Is(err, syscall.EDQUOT):
		return fmt.Sprintf("make room on that disk, or name a folder on another one with %s", elsewhere)
	case errno.Is(err, syscall.ENOTDIR), errno.Is(err, syscall.EISDIR), errors.Is(err, fs.ErrExist):
		return fmt.Sprintf("move away what is there, or name another folder with %s", elsewhere)
	}
	return fmt.Sprintf("try another folder with %s", elsewhere)
}

// reasonOf is what the system says of a file, without the names of its calls and
// the paths that they were given.
func reasonOf(err error) string {
	var number syscall.Errno
	if errors.As(err, &number) {
		return number.Error()
	}
	return withoutCalls(err)
}
