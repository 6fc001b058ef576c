//go:build !linux

package natlab

import (
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"time"
)

// errNeedsLinux is what everything below gives; New asks Available first, so
// that the rest is never reached.
var errNeedsLinux = errors.New("natlab: needs Linux (network namespaces and TUN devices)")

// Available tells why a lab can't run here, in a sentence fit for testing.T's Skip.
func Available() error { return errNeedsLinux }

// Main does nothing on this system.
func Main() {}

const maxPacket = 0

var everywhere, everywhere6 netip.Prefix

type alarm struct{}

func newAlarm() (*alarm, error)  { return nil, errNeedsLinux }
func (*alarm) set(time.Duration) {}
func (*alarm) wait() bool        { return false }
func (*alarm) close()            {}

type namespace struct{}

func newNamespace() (*namespace, error)     { return nil, errNeedsLinux }
func (*namespace) run(func() error) error   { return errNeedsLinux }
func (*namespace) enter(func() error) error { return errNeedsLinux }
func (*namespace) close()                   {}

type tun struct{ file *os.File }

func openTUN(string) (*tun, error)                     { return nil, errNeedsLinux }
func loopbackUp() error                                { return errNeedsLinux }
func looseReversePath() error                          { return errNeedsLinux }
func (*tun) configure([]netip.Prefix) error            { return errNeedsLinux }
func (*tun) route(netip.Prefix, netip.Addr, int) error { return errNeedsLinux }
func (*tun) close()                                    {}

type router struct {
	ns       *namespace
	wan, lan *tun
}

func newRouter(*Box) (*router, error) { return nil, errNeedsLinux }
func (*router) flush() error          { return errNeedsLinux }
func (*router) close()                {}

func startTied(*exec.Cmd) error { return errNeedsLinux }
func killInside(*namespace)     {}
