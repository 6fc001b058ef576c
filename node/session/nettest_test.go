package session

import (
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/nettest"
)

// TestStreamIsAGoodConn holds both ends of a stream against what net.Conn
// promises: deadlines that end one call and not the next, calls from many
// goroutines, Close while others wait.
func TestStreamIsAGoodConn(t *testing.T) {
	e := begin(t)
	keep, _ := e.open() // else the session would end with each test's stream
	defer keep.Close()
	pair := func() (near, far *Stream, stop func()) {
		near, far = e.open()
		return near, far, func() { near.Close(); far.Close() }
	}
	t.Run("opener", func(t *testing.T) {
		nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
			c1, c2, stop = pair()
			return c1, c2, stop, nil
		})
	})
	t.Run("acceptor", func(t *testing.T) {
		nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
			c2, c1, stop = pair()
			return c1, c2, stop, nil
		})
	})
}

// A deadline without a monotonic reading is kept by the monotonic clock all the
// same.
func TestDeadlinesKeepToTheMonotonicClock(t *testing.T) {
	e := begin(t)
	near, far := e.open()
	defer far.Close()
	defer near.Close()
	wall := time.Now().Add(20 * time.Millisecond).Round(0)
	if err := near.SetReadDeadline(wall); err != nil {
		t.Fatal(err)
	}
	if at := near.readBy.at; !strings.Contains(at.String(), " m=") {
		t.Errorf("%v hangs on the wall clock", at)
	}
	if _, err := near.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Now().Before(wall) {
		t.Errorf("%v at %v, with a deadline at %v", err, time.Now(), wall)
	}
}
