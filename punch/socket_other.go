//go:build !linux

package punch

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"

	"github.com/libp2p/go-reuseport"

	"github.com/sallyport-net/sallyport/nat/errno"
)

// CanPrime reports whether this system lets a SYN die on the way without the
// socket noticing.
const CanPrime = false

// tuple is one four-tuple; the SYN leaves when it is waited for.
type tuple struct{ from, remote netip.AddrPort }

func deaf(netip.AddrPort) bool { return false }

func startConnect(local, remote netip.AddrPort, ttl int, device string) (*tuple, error) {
	if ttl > 0 || device != "" {
		return nil, errNeedsLinux
	}
	return &tuple{local, remote}, nil
}

func (t *tuple) wait(ctx context.Context) (net.Conn, error) {
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(t.from), Control: reuseport.Control}
	return d.DialContext(ctx, "tcp", t.remote.String())
}

func (t *tuple) opening() bool { return false }

func (t *tuple) local() (netip.AddrPort, bool) { return t.from, t.from.Port() != 0 }

func (t *tuple) close() {}

var errNeedsLinux = errors.New("priming and binding to a device need Linux")

func bindTo(string, syscall.RawConn) error { return errNeedsLinux }

func held(err error) bool {
	return errno.Is(err, syscall.EADDRNOTAVAIL) || errno.Is(err, syscall.EADDRINUSE)
}

func refused(err error) bool {
	for _, e := range []syscall.Errno{syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.EHOSTUNREACH, syscall.ENETUNREACH} {
		if errno.Is(err, e) {
			return true
		}
	}
	return false
}
