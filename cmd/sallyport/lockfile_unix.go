//go:build unix

package main

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// lockFile takes a lock that ends with the process at the latest; it fails where
// another process has it.
func lockFile(path string) (io.Closer, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
