package errno

import (
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"
)

func TestIs(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := net.Listen("tcp", l.Addr().String()); !Is(err, syscall.EADDRINUSE) || Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a second listener met %v", err)
	}
	l.Close()
	if _, err := net.Dial("tcp", l.Addr().String()); !Is(err, syscall.ECONNREFUSED) || Is(err, syscall.EADDRINUSE) {
		t.Errorf("a dial to nobody met %v", err)
	}
	if Is(nil, syscall.ECONNREFUSED) {
		t.Error("nil is an error")
	}
}

// What Windows answers is told by its numbers, whatever system this runs on.
func TestWinsock(t *testing.T) {
	of := func(n syscall.Errno) error {
		return fmt.Errorf("dial: %w", &net.OpError{Op: "dial", Err: os.NewSyscallError("connectex", n)})
	}
	for n, want := range map[syscall.Errno]syscall.Errno{
		10013: syscall.EADDRINUSE, 10048: syscall.EADDRINUSE, 10049: syscall.EADDRNOTAVAIL, 10051: syscall.ENETUNREACH,
		10053: syscall.ECONNRESET, 10054: syscall.ECONNRESET, 10060: syscall.ETIMEDOUT, 10061: syscall.ECONNREFUSED, 10065: syscall.EHOSTUNREACH,
	} {
		if !isWinsock(of(n), want) {
			t.Errorf("%d is not %v", n, want)
		}
		for other := range winsock {
			if n != 10013 && other != want && isWinsock(of(n), other) {
				t.Errorf("%d is %v, too", n, other)
			}
		}
	}
	if isWinsock(of(10061), syscall.ENOENT) || isWinsock(net.ErrClosed, syscall.ECONNREFUSED) {
		t.Error("it knows what it can't")
	}
}
