package link

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/sallyport-net/sallyport/address"
)

// What a callee may answer to a nomination; Read on the caller's side gives
// them.
var (
	// ErrRefused: the callee's policy does not admit this node.
	ErrRefused = errors.New("the peer refuses this node")
	// ErrLost: the callee has already taken another link of this attempt, or
	// stopped waiting for one.
	ErrLost = errors.New("the nomination was lost")
	// ErrBusy: the callee has no room for another connection now.
	ErrBusy = errors.New("the peer has no room for another connection")
	// ErrCut: the connection ended without the end of the stream, as when the
	// other process was killed: what has arrived is not all.
	ErrCut = fmt.Errorf("the connection was cut: %w", io.ErrUnexpectedEOF)
	// ErrOtherNode: the other end proved another key than the one called.
	ErrOtherNode = errors.New("another node answered")
	// ErrForged: TLS has refused what came, which was changed, repeated, left out
	// or made up on the way. The link is at its end.
	ErrForged = errors.New("TLS refused what came, as changed on the way")
)

type verdict byte

const (
	admitted verdict = iota
	refused
	lost
	busy
)

func (v verdict) err() error {
	switch v {
	case admitted:
		return nil
	case refused:
		return ErrRefused
	case lost:
		return ErrLost
	case busy:
		return ErrBusy
	}
	return fmt.Errorf("verdict %d is not understood", byte(v))
}

// Conn is a nominated link: a net.Conn with half-close, between two proven
// keys.
type Conn struct {
	tls  *tls.Conn
	peer address.Key

	mu     sync.Mutex // guards the verdict
	await  bool       // the verdict has not been read yet
	denied error
}

var _ net.Conn = (*Conn)(nil)

// Peer is the proven key of the other end.
func (c *Conn) Peer() address.Key { return c.peer }

// Read reads application bytes. On the caller's side the first Read also takes
// the callee's verdict, and gives ErrRefused, ErrLost or ErrBusy where it is
// a no.
func (c *Conn) Read(p []byte) (int, error) {
	if err := c.Verdict(); err != nil {
		return 0, err
	}
	n, err := c.tls.Read(p)
	if err != nil {
		err = named(err) // which allocates, and is not for every read
	}
	return n, err
}

// named tells what TLS has refused itself from what it was told: by an alert of the
// peer, or by the connection beneath.
func named(err error) error {
	var alert *net.OpError
	var header tls.RecordHeaderError
	if errors.As(err, &alert) && alert.Op == "local error" || errors.As(err, &header) {
		return fmt.Errorf("%w: %w", ErrForged, err)
	}
	return err
}

// Verdict waits for the callee's answer to the nomination, if it has not been
// read yet: nil means admitted. Later calls give the same answer at once. The
// read deadline applies; a deadline that passes leaves the verdict to a later
// call.
func (c *Conn) Verdict() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.await {
		return c.denied
	}
	var v [1]byte
	n, err := c.tls.Read(v[:])
	if n == 0 {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return named(err)
	}
	c.await, c.denied = false, verdict(v[0]).err()
	return c.denied
}

// WriteBatch writes the pieces one after another, and hands them to the network
// together: of many small writes, and of the records of a big one, it makes a
// few. It must not be called concurrently with Write or itself.
func (c *Conn) WriteBatch(pieces ...[]byte) error {
	beneath := c.tls.NetConn().(*whole)
	beneath.hold()
	var failed error
	for _, p := range pieces {
		if _, failed = c.tls.Write(p); failed != nil {
			break
		}
	}
	return errors.Join(failed, beneath.release())
}

// Export gives length bytes that only the two ends of this connection can know
// (RFC 8446 §7.5).
func (c *Conn) Export(label string, context []byte, length int) ([]byte, error) {
	state := c.tls.ConnectionState()
	return state.ExportKeyingMaterial(label, context, length)
}

// Write writes application bytes.
func (c *Conn) Write(p []byte) (int, error) { return c.tls.Write(p) }

// CloseWrite ends what we send; the peer reads EOF and may go on sending.
func (c *Conn) CloseWrite() error { return c.tls.CloseWrite() }

// NetConn is the connection beneath. CloseWrite ends the TLS stream only, so
// that once Read has given io.EOF, the first Read beneath ends when the peer
// has closed altogether. Closing it cuts the connection, which the peer's Read
// tells from an end by ErrCut. Anything else done to it breaks the stream.
func (c *Conn) NetConn() net.Conn { return c.tls.NetConn() }

// Close ends the connection.
func (c *Conn) Close() error { return c.tls.Close() }

// LocalAddr is this end's address.
func (c *Conn) LocalAddr() net.Addr { return c.tls.LocalAddr() }

// RemoteAddr is the other end's address as this machine sees it.
func (c *Conn) RemoteAddr() net.Addr { return c.tls.RemoteAddr() }

// SetDeadline sets both deadlines.
func (c *Conn) SetDeadline(t time.Time) error { return c.tls.SetDeadline(t) }

// SetReadDeadline sets the deadline of Read and Verdict.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.tls.SetReadDeadline(t) }

// SetWriteDeadline sets the deadline of Write. As crypto/tls has it, a write
// that timed out leaves the connection unusable for writing.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.tls.SetWriteDeadline(t) }
