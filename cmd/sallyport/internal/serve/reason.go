package serve

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"strings"
	"syscall"

	"github.com/sallyport-net/sallyport/nat/errno"
)

// cannotListen is the error of a service, who, that did not get its sockets. hint
// is what to try where somebody else has them.
func cannotListen(cause error, who, hint string) error {
	why, better := whyNotListen(cause)
	if better != "" {
		hint = better
	}
	return failed(cause, hint, "%s can't listen: %s", who, why)
}

// whyNotListen says in one clause why there is no socket, and what to try
// where something else helps than another port.
func whyNotListen(cause error) (why, hint string) {
	var op *net.OpError
	if !errors.As(cause, &op) || op.Addr == nil {
		return cause.Error(), ""
	}
	at, err := netip.ParseAddrPort(op.Addr.String())
	if err != nil {
		return inWords(cause), ""
	}
	port := fmt.Sprintf("%s port %d", strings.ToUpper(strings.TrimRight(op.Net, "46")), at.Port())
	if !at.Addr().IsUnspecified() {
		port += " of " + at.Addr().String()
	}
	switch {
	case errno.Is(cause, syscall.EADDRINUSE):
		return port + " is taken", ""
	case errno.Is(cause, syscall.EACCES):
		return port + " is kept for programs with more rights", "try ports from 1024 on, or give this program the right (CAP_NET_BIND_SERVICE on Linux)"
	case errno.Is(cause, syscall.EADDRNOTAVAIL):
		return at.Addr().String() + " is no address of this machine", "try --listen with one of this machine's addresses, and --advertise with the one that others use"
	}
	return port + " can't be had: " + inWords(cause), ""
}

// inWords is what err comes to, without the names of the calls that met it. A
// file is named.
func inWords(err error) string {
	var file *fs.PathError
	var number syscall.Errno
	switch {
	case errors.As(err, &file):
		return fmt.Sprintf("%q: %v", file.Path, file.Err)
	case errors.As(err, &number):
		return number.Error()
	}
	return strings.TrimPrefix(err.Error(), "tls: ")
}
