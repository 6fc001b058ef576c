// Package pipe carries bytes between a peer and something local, a service or a
// command, so that each end learns how the other one ended: an end of the stream
// stays an end in its direction alone, and a cut becomes an error at the other end,
// never a clean end of what is incomplete.
package pipe

import (
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/sallyport-net/sallyport/nat/errno"
)

// Duplex is a connection that can end its two directions one by one.
type Duplex interface {
	io.ReadWriteCloser
	CloseWrite() error
}

// WriteError tells an error of the writing side of a Copy from one of the
// reading side.
type WriteError struct{ error }

func (e WriteError) Unwrap() error { return e.error }

// Copy copies until src ends. The error is nil then, a WriteError where dst
// took no more, and src's own otherwise. Small pieces are handed on as they
// come.
func Copy(dst io.Writer, src io.Reader) (n int64, err error) {
	buf := make([]byte, 64<<10)
	for {
		k, err := src.Read(buf)
		if k > 0 {
			w, werr := dst.Write(buf[:k])
			n += int64(w)
			if werr != nil {
				return n, WriteError{werr}
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

// Traffic counts the bytes that came from the peer and those that went to it, and
// has the first error of either direction, nil where both ended well.
type Traffic struct {
	Received, Sent int64
	Err            error
}

// Far is a connection to a peer. Reset ends it without the end of the stream, and
// WaitClosed returns when it is over altogether.
type Far interface {
	Duplex
	SetReadDeadline(time.Time) error
	WaitClosed()
	Reset() error
}

// Join copies between a peer and something local, both ways, each direction
// half-closed when its source ends, until both have ended or the peer has
// closed altogether. An error in one direction ends the other, so that either
// end learns that it has not got all. Both ends are closed then.
func Join(peer Far, local Duplex) Traffic {
	var t Traffic
	var first sync.Once
	fail := func(err error) { first.Do(func() { t.Err = err }) }
	var both, watch sync.WaitGroup
	both.Go(func() {
		var w WriteError
		var down error
		t.Received, down = Copy(local, peer)
		switch {
		case down == nil:
			_ = local.CloseWrite()
			watch.Go(func() { peer.WaitClosed(); _ = local.Close() })
		case !errors.As(down, &w):
			fail(down)
			Abort(local) // the peer is lost
		}
		// A local end that reads no more may still have things to say.
	})
	both.Go(func() {
		var w WriteError
		var up error
		t.Sent, up = Copy(peer, local)
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
	Leave(peer)
	watch.Wait()
	_ = local.Close()
	return t
}

// farewell is how long a peer has to take what it was sent last.
const farewell = 3 * time.Second

// Leave closes a connection on which we have said all: what the peer still
// sends is read and dropped for a while, since a close with unread input sends
// an RST, which overtakes what is under way (RFC 2525 §2.17).
func Leave(c Far) {
	_ = c.CloseWrite()
	_ = c.SetReadDeadline(time.Now().Add(farewell))
	_, _ = io.Copy(io.Discard, c)
	_ = c.Close()
}

// Cut ends a connection to a peer without the end of the stream, so that the peer
// knows that it has not got all.
func Cut(c interface{ Reset() error }) { _ = c.Reset() }

// Abort closes a local connection so that it reads an error, not the end.
func Abort(c io.Closer) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = c.Close()
}

// Plainly puts the errors that connections end with into words; of any other it
// gives the text.
func Plainly(err error) string {
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), errno.Is(err, syscall.ECONNRESET), errno.Is(err, syscall.EPIPE):
		return "the connection was cut"
	case errno.Is(err, syscall.ETIMEDOUT):
		return "the peer has vanished"
	case errors.Is(err, net.ErrClosed):
		return "the connection was closed"
	case errno.Is(err, syscall.ECONNREFUSED):
		return "the service does not answer: connection refused"
	}
	return err.Error()
}
