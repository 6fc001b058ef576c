//go:build !(linux || darwin || freebsd || windows)

package transfer

import (
	"errors"
	"os"
	"syscall"
)

// freeSpace is not known here.
func freeSpace(*os.Root) (uint64, error) { return 0, errors.ErrUnsupported }

// isFull reports whether err is for want of room.
func isFull(err error) bool { return errors.Is(err, syscall.ENOSPC) }
