//go:build linux || darwin || freebsd

package transfer

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// freeSpace is how many bytes its user may still put into root.
func freeSpace(root *os.Root) (uint64, error) {
	f, err := root.Open(".")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var s unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &s); err != nil {
		return 0, err
	}
	return uint64(max(s.Bavail, 0)) * uint64(s.Bsize), nil
}

// isFull reports whether err is for want of room: of the disk's, or of what its
// user may have of it.
func isFull(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }
