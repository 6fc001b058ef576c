//go:build !(linux || darwin || freebsd || windows)

package transfer

import (
	"errors"
	"os"
)

// freeSpace is not known here.
func freeSpace(*os.Root) (uint64, error) { return 0, errors.ErrUnsupported }
