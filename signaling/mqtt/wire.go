package mqtt

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// maxGreeting is how many bytes a server may send up to its CONNACK,
// certificates and HTTP headers included.
const maxGreeting = 512 << 10

var (
	errEnded    = errors.New("connection ended")
	errSilent   = errors.New("broker went silent")
	errHangup   = errors.New("broker closed the connection")
	errStuck    = errors.New("broker takes nothing")
	errGreeting = fmt.Errorf("broker sent more than %d kB and no CONNACK", maxGreeting>>10)
)

// wire is the connection that Dial gave. Every read and write has a deadline
// of its own, and the deadlines that are set from above (paho, gorilla,
// crypto/tls) are not applied: they would undo ours.
type wire struct {
	net.Conn
	idle, write time.Duration
	dialled     time.Duration // what Dial took

	open    atomic.Bool  // past its CONNACK
	greeted atomic.Int64 // bytes read before
	polite  atomic.Bool  // closed with FIN rather than RST

	mu    sync.Mutex
	ended bool
	cause error           // of the end, the first one
	await []chan struct{} // closed when something comes
}

func newWire(c net.Conn, idle, write time.Duration) *wire {
	return &wire{Conn: c, idle: idle, write: write}
}

func (w *wire) Read(p []byte) (int, error) {
	if err := w.Conn.SetReadDeadline(time.Now().Add(w.idle)); err != nil {
		return 0, w.fail(err)
	}
	n, err := w.Conn.Read(p)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = fmt.Errorf("%w for %v", errSilent, w.idle)
	case err == io.EOF:
		err = errHangup
	}
	if err == nil && !w.open.Load() && w.greeted.Add(int64(n)) > maxGreeting {
		err = errGreeting
	}
	if err != nil {
		return n, w.fail(err)
	}
	w.tell()
	return n, nil
}

// sign gives a channel that is closed when something comes from the broker.
func (w *wire) sign() <-chan struct{} {
	c := make(chan struct{})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.await = append(w.await, c)
	return c
}

func (w *wire) tell() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.await {
		close(c)
	}
	w.await = nil
}

func (w *wire) Write(p []byte) (int, error) {
	if err := w.Conn.SetWriteDeadline(time.Now().Add(w.write)); err != nil {
		return 0, w.fail(err)
	}
	n, err := w.Conn.Write(p)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = fmt.Errorf("%w for %v", errStuck, w.write)
	}
	if err != nil {
		// What was written may have ended within a packet.
		w.abort(err)
		return n, w.fail(err)
	}
	return n, nil
}

func (w *wire) SetDeadline(time.Time) error      { return nil }
func (w *wire) SetReadDeadline(time.Time) error  { return nil }
func (w *wire) SetWriteDeadline(time.Time) error { return nil }

// fail remembers err as the cause if it is the first, and gives the cause. It
// never gives net.ErrClosed: by its words paho takes a connection for one that
// it closed itself, and goes on as if it were open.
func (w *wire) fail(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cause == nil {
		if errors.Is(err, net.ErrClosed) || err == nil {
			err = errEnded
		}
		w.cause = err
	}
	return w.cause
}

// explain gives the cause of the end if it is known, else err.
func (w *wire) explain(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cause != nil {
		return w.cause
	}
	return err
}

// abort ends the connection with a reset, whatever Close does.
func (w *wire) abort(cause error) {
	w.fail(cause)
	w.polite.Store(false)
	_ = w.Close()
}

// Close closes the connection, with a reset unless it is polite. After a loss
// a FIN would never be answered, and the kernel would keep the four-tuple for
// minutes in FIN_WAIT1: each redial from the same local port would fail.
func (w *wire) Close() error {
	w.mu.Lock()
	ended := w.ended
	w.ended = true
	w.mu.Unlock()
	if ended {
		return nil
	}
	if !w.polite.Load() {
		setLingerZero(w.Conn)
	}
	return w.Conn.Close()
}

// setLingerZero makes the close of c a reset, if there is a TCP socket to be
// found in it.
func setLingerZero(c net.Conn) {
	if l, ok := c.(interface{ SetLinger(sec int) error }); ok { // *net.TCPConn
		_ = l.SetLinger(0)
		return
	}
	lingerZeroRaw(c)
}

// addrPort reads the address of a connection's end, the zero AddrPort if it
// has none.
func addrPort(a net.Addr) netip.AddrPort {
	if a == nil {
		return netip.AddrPort{}
	}
	if t, ok := a.(*net.TCPAddr); ok {
		ap := t.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	ap, _ := netip.ParseAddrPort(a.String())
	return ap
}
