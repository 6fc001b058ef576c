package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/sallyport-net/sallyport/node"
)

// duplex is a connection that can end its two directions one by one.
type duplex interface {
	io.ReadWriteCloser
	CloseWrite() error
}

// writeError tells an error of the writing side of a pump from one of the
// reading side.
type writeError struct{ error }

func (e writeError) Unwrap() error { return e.error }

// pump copies until src ends. The error is nil then, a writeError where dst
// took no more, and src's own otherwise. Small pieces are handed on as they
// come.
func pump(dst io.Writer, src io.Reader) (n int64, err error) {
	buf := make([]byte, 64<<10)
	for {
		k, err := src.Read(buf)
		if k > 0 {
			w, werr := dst.Write(buf[:k])
			n += int64(w)
			if werr != nil {
				return n, writeError{werr}
			}
		}
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// traffic counts what came from the peer and what went to it, and has the
// first error of either direction.
type traffic struct {
	received, sent int64
	err            error
}

// far is a connection to a peer.
type far interface {
	duplex
	SetReadDeadline(time.Time) error
	WaitClosed()
	Reset() error
}

// join copies between a peer and something local, both ways, each direction
// half-closed when its source ends, until both have ended or the peer has
// closed altogether. An error in one direction ends the other, so that either
// end learns that it has not got all. Both ends are closed then.
func join(peer far, local duplex) traffic {
	var t traffic
	var first sync.Once
	fail := func(err error) { first.Do(func() { t.err = err }) }
	var both, watch sync.WaitGroup
	both.Go(func() {
		var w writeError
		var down error
		t.received, down = pump(local, peer)
		switch {
		case down == nil:
			_ = local.CloseWrite()
			watch.Go(func() { peer.WaitClosed(); _ = local.Close() })
		case !errors.As(down, &w):
			fail(down)
			abort(local) // the peer is lost
		}
		// A local end that reads no more may still have things to say.
	})
	both.Go(func() {
		var w writeError
		var up error
		t.sent, up = pump(peer, local)
		switch {
		case up == nil:
			_ = peer.CloseWrite()
			return
		case errors.As(up, &w):
			fail(up)
			_ = peer.Close()
		default:
			fail(up)
			_ = peer.Reset()
		}
	})
	both.Wait()
	leave(peer)
	watch.Wait()
	_ = local.Close()
	return t
}

// farewell is how long a peer has to take what it was sent last.
const farewell = 3 * time.Second

// leave closes a connection on which we have said all: what the peer still
// sends is read and dropped for a while, since a close with unread input sends
// an RST, which overtakes what is under way (RFC 2525 §2.17).
func leave(c far) {
	_ = c.CloseWrite()
	_ = c.SetReadDeadline(time.Now().Add(farewell))
	_, _ = io.Copy(io.Discard, c)
	_ = c.Close()
}

// cut ends a connection without the end of the stream, so that the peer knows
// that it has not got all.
func cut(c *node.Conn) { _ = c.Reset() }

// abort closes a local connection so that it reads an error, not the end.
func abort(c io.Closer) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = c.Close()
}

func megabytes(n int64) string {
	if n < 1e6 {
		return plural(n, "byte")
	}
	return fmt.Sprintf("%.1f MB", float64(n)/1e6)
}
