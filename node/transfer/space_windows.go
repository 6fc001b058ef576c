package transfer

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// freeSpace is how many bytes its user may still put into root.
func freeSpace(root *os.Root) (uint64, error) {
	path, err := windows.UTF16PtrFromString(root.Name())
	if err != nil {
		return 0, err
	}
	var free uint64
	err = windows.GetDiskFreeSpaceEx(path, &free, nil, nil)
	return free, err
}

// isFull reports whether err is for want of room.
func isFull(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL) || errors.Is(err, windows.ERROR_DISK_QUOTA_EXCEEDED)
}
