// Package errno asks what the system said of a socket, by POSIX's names. On
// Windows Go hands out Winsock's own numbers, which never equal the constants
// that package syscall has there under POSIX's names.
package errno

import (
	"errors"
	"runtime"
	"slices"
	"syscall"
)

// Is is errors.Is for the error numbers of sockets, on every system.
func Is(err error, want syscall.Errno) bool {
	return errors.Is(err, want) || runtime.GOOS == "windows" && isWinsock(err, want)
}

// winsock are the numbers of winsock2.h.
var winsock = map[syscall.Errno][]syscall.Errno{
	syscall.EACCES:        {10013},
	syscall.ENOPROTOOPT:   {10042},
	syscall.EADDRINUSE:    {10048, 10013}, // the second where a socket has it for itself alone
	syscall.EADDRNOTAVAIL: {10049},
	syscall.ENETUNREACH:   {10051},
	syscall.ECONNRESET:    {10054, 10053}, // the second when our own side has given up
	syscall.EPIPE:         {10058},
	syscall.ETIMEDOUT:     {10060},
	syscall.ECONNREFUSED:  {10061},
	syscall.EHOSTUNREACH:  {10065},
}

func isWinsock(err error, want syscall.Errno) bool {
	var got syscall.Errno
	return errors.As(err, &got) && slices.Contains(winsock[want], got)
}
