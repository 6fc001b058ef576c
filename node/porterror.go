package node

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/sallyport-net/sallyport/nat/errno"
)

// PortError is a warm port that New could not take. It wraps what the system
// said.
type PortError struct {
	Port uint16 // 0 where any would have done
	// Locking says that nobody listens there, but that it could not be locked
	// against other nodes.
	Locking bool
	Err     error
}

func (e *PortError) Error() string {
	port := fmt.Sprintf("TCP port %d", e.Port)
	switch {
	case e.Locking && errno.Is(e.Err, syscall.EADDRINUSE):
		return port + " is held by another node"
	case errno.Is(e.Err, syscall.EADDRINUSE):
		return port + " is taken"
	case e.Locking && errors.Is(e.Err, fs.ErrPermission):
		return port + " can't be locked against other nodes: the system does not let this program have the lock"
	case errors.Is(e.Err, fs.ErrPermission):
		return port + " may not be used by this user"
	case e.Locking:
		return port + " can't be locked against other nodes: " + bareReason(e.Err)
	}
	return port + " can't be had: " + bareReason(e.Err)
}

// Unwrap gives what the system said.
func (e *PortError) Unwrap() error { return e.Err }

// Hint is one thing to try; it may be empty.
func (e *PortError) Hint() string {
	switch {
	case errno.Is(e.Err, syscall.EADDRINUSE):
		return "try another --port, or none for any"
	case e.Locking && errors.Is(e.Err, fs.ErrPermission):
		return lockRight
	case errors.Is(e.Err, fs.ErrPermission):
		return "try a --port above 1023"
	case errors.Is(e.Err, syscall.EMFILE), errors.Is(e.Err, syscall.ENFILE):
		return "end programs that hold many files and connections, or raise the limit (ulimit -n)"
	case errors.Is(e.Err, syscall.ENOBUFS), errors.Is(e.Err, syscall.ENOMEM), errors.Is(e.Err, syscall.ENOSPC):
		return "end other programs: the system has no room for another socket"
	}
	return ""
}

// bareReason is what the system said, without the names of the calls.
func bareReason(err error) string {
	var number syscall.Errno
	if errors.As(err, &number) {
		return number.Error()
	}
	return err.Error()
}
