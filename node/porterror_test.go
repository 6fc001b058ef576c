package node

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
)

// Who can't have a port is told what is in the way, and what helps against that:
// only one of many things is another node.
func TestPortError(t *testing.T) {
	met := func(n syscall.Errno) error {
		return fmt.Errorf("lock: %w", &net.OpError{Op: "listen", Net: "unix", Err: os.NewSyscallError("socket", n)})
	}
	for _, one := range []struct {
		err        *PortError
		what, hint string
	}{
		{&PortError{4001, true, met(syscall.EADDRINUSE)}, "TCP port 4001 is held by another node", "another --port"},
		{&PortError{4001, false, met(syscall.EADDRINUSE)}, "TCP port 4001 is taken", "another --port"},
		{&PortError{4001, true, met(syscall.EACCES)}, "TCP port 4001 can't be locked against other nodes: the system does not let this program have the lock", lockRight},
		{&PortError{443, false, met(syscall.EACCES)}, "TCP port 443 may not be used by this user", "above 1023"},
		{&PortError{4001, true, met(syscall.EMFILE)}, "TCP port 4001 can't be locked against other nodes: " + syscall.EMFILE.Error(), "ulimit -n"},
		{&PortError{4001, true, met(syscall.ENOBUFS)}, "TCP port 4001 can't be locked against other nodes: " + syscall.ENOBUFS.Error(), "no room"},
		{&PortError{4001, false, met(syscall.EAFNOSUPPORT)}, "TCP port 4001 can't be had: " + syscall.EAFNOSUPPORT.Error(), ""},
	} {
		if got := one.err.Error(); got != one.what {
			t.Errorf("got %q, want %q", got, one.what)
		}
		if got := one.err.Hint(); !strings.Contains(got, one.hint) || one.hint == "" && got != "" {
			t.Errorf("%v: the hint %q, want %q", one.err, got, one.hint)
		}
		if strings.Contains(one.err.Error(), "listen") {
			t.Errorf("%v: it names a call", one.err)
		}
	}
}

// What ends the search for a port in fact comes out as such.
func TestPortErrorOfTaken(t *testing.T) {
	w, err := openWarm(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	var got *PortError
	if _, err := openWarm(t.Context(), w.port); !errors.As(err, &got) || got.Locking || got.Port != w.port {
		t.Errorf("while it listens: %v", err)
	}
	if err := w.listener.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := openWarm(t.Context(), w.port); !errors.As(err, &got) || !got.Locking {
		t.Errorf("while it is locked: %v", err)
	}
}
