package forward

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/pipe"
	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/node/api"
	"github.com/sallyport-net/sallyport/node/session"
	"github.com/sallyport-net/sallyport/node/tunnel"
)

const (
	// openPatience is how long a forwarded connection waits for a stream to
	// the peer, and then as long for the peer's word about the service, which
	// the peer dials for DialTimeout at most.
	openPatience = 15 * time.Second
	// anchorBeat is how often the anchor shows the peer that it is wanted.
	anchorBeat = 45 * time.Second
	// redialFirst and redialMost are the pauses before calling a lost peer.
	redialFirst = time.Second
	redialMost  = 15 * time.Second
	// verdictWait is how long a peer that is back has to say whether it admits us.
	verdictWait = 10 * time.Second
)

// line is the way to a peer for as long as a forward lasts: one session, kept
// by a stream of its own, and called for again when it is gone.
type line struct {
	Config
	node     *node.Node
	peer     address.Address
	calling  chan struct{} // one at a time, so that all share the session
	watching sync.WaitGroup

	mu      sync.Mutex
	settled chan struct{} // closed when it is known again whether the peer is there
	gone    error         // why the peer is not there at present; nil where it is
	wanted  chan struct{} // somebody wants the peer now
}

func newLine(r Reached, cfg Config) *line {
	return &line{Config: cfg, node: r.Node, peer: r.Peer, calling: make(chan struct{}, 1), wanted: make(chan struct{}, 1), settled: make(chan struct{})}
}

// connect makes a stream with the given call, on the session that is there or
// on a new one.
func (l *line) connect(ctx context.Context, call func(*node.Node, context.Context, address.Address) (*node.Conn, error)) (*node.Conn, error) {
	select {
	case l.calling <- struct{}{}:
		defer func() { <-l.calling }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return call(l.node, ctx, l.peer)
}

// open gives a stream for a forwarded connection, by a call such as
// Node.ConnectAddress. While the peer is gone, the next call for it decides, and
// is made at once.
func (l *line) open(ctx context.Context, call func(*node.Node, context.Context, address.Address) (*node.Conn, error)) (*node.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, openPatience)
	defer cancel()
	if settled, gone := l.state(); gone != nil {
		select {
		case l.wanted <- struct{}{}:
		default:
		}
		select {
		case <-settled:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if _, gone := l.state(); gone != nil {
			return nil, gone
		}
	}
	return l.connect(ctx, call)
}

func (l *line) state() (settled <-chan struct{}, gone error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.settled, l.gone
}

// settle notes how the peer is, and tells those who wait for that.
func (l *line) settle(gone error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	old := l.settled
	l.gone, l.settled = gone, make(chan struct{})
	close(old)
}

// request opens a stream and asks for something on it.
func (l *line) request(ctx context.Context, q tunnel.Request) (*node.Conn, error) {
	c, err := l.open(ctx, (*node.Node).Tunnel)
	if err != nil {
		return nil, noReply(err)
	}
	if _, err := c.Write(q.Bytes()); err != nil {
		pipe.Cut(c)
		return nil, err
	}
	return c, nil
}

// answer reads the reply to it.
func answer(c *node.Conn, q tunnel.Request) (tunnel.Reply, error) {
	_ = c.SetReadDeadline(time.Now().Add(openPatience))
	a, err := tunnel.ReadReply(c)
	if err != nil {
		return a, noReply(err)
	}
	_ = c.SetReadDeadline(time.Time{})
	if a.Status != tunnel.Done {
		return a, &tunnel.RefusedError{Kind: q.Kind, Place: q.Place, Status: a.Status}
	}
	return a, nil
}

var (
	// errNotServed is the error of a peer whose node forwards nothing, and
	// errTooOld of one whose version does it in another way.
	errNotServed = errors.New("the peer's node does not serve forwards")
	errTooOld    = errors.New("the peer's version is too old to be asked for forwards by this one")
	errSilent    = errors.New("the peer does not answer")
)

// noReply says what a reply means that did not come.
func noReply(err error) error {
	var timeout net.Error
	switch {
	case errors.Is(err, session.ErrNotServed), errors.Is(err, tunnel.ErrForeign):
		return errNotServed
	case errors.Is(err, session.ErrTooOld):
		return errTooOld
	case errors.As(err, &timeout) && timeout.Timeout():
		return errSilent
	}
	return err
}

// keep holds the session until ctx ends: anchor is the stream that keeps it.
// When it is gone, the peer is called for, with growing pauses.
func (l *line) keep(ctx context.Context, anchor *node.Conn) {
	l.watch(ctx, anchor)
	defer l.watching.Wait()
	for {
		lost := l.hold(ctx, anchor)
		over := anchor.Over()
		_ = anchor.Close()
		if ctx.Err() != nil {
			return
		}
		if over {
			l.settle(lost)
			l.Tell(api.ForwardEvent{Event: "gone", Error: pipe.Plainly(lost)})
		}
		if anchor = l.redial(ctx, over); anchor == nil {
			return
		}
	}
}

// watch tells of the changes of a session's path, until it or ctx ends.
func (l *line) watch(ctx context.Context, anchor *node.Conn) {
	if l.Watch != nil {
		l.watching.Go(func() { l.Watch(ctx, anchor) })
	}
}

// hold shows now and again that the anchor is wanted, until it or ctx ends.
func (l *line) hold(ctx context.Context, anchor *node.Conn) error {
	stop := context.AfterFunc(ctx, func() { pipe.Cut(anchor) })
	defer stop()
	ended := make(chan error, 1)
	go func() { // ends with the anchor
		var b [1]byte
		for {
			if _, err := anchor.Read(b[:]); err != nil {
				ended <- err
				return
			}
		}
	}()
	beat := time.NewTicker(anchorBeat)
	defer beat.Stop()
	for {
		select {
		case err := <-ended:
			return err
		case <-beat.C:
			_ = anchor.SetWriteDeadline(time.Now().Add(anchorBeat))
			_, _ = anchor.Write([]byte{0}) // an error shows in Read
		}
	}
}

// redial calls until the peer is there, and gives the new anchor; nil when ctx
// has ended. Somebody who wants the peer cuts a pause short.
func (l *line) redial(ctx context.Context, over bool) *node.Conn {
	begun := time.Now()
	for pause := redialFirst; ; pause = min(2*pause, redialMost) {
		anchor, err := l.connect(ctx, (*node.Node).Ping)
		if err == nil {
			_ = anchor.SetReadDeadline(time.Now().Add(verdictWait))
			if err = anchor.Verdict(); err == nil {
				_ = anchor.SetReadDeadline(time.Time{})
				l.settle(nil)
				if over {
					l.Tell(api.ForwardEvent{Event: "back", Via: string(anchor.Via()), By: anchor.By().String(), Remote: anchor.RemoteAddr().String(), MS: milliseconds(time.Since(begun))})
					l.watch(ctx, anchor)
				}
				return anchor
			}
			pipe.Cut(anchor)
		}
		if ctx.Err() != nil {
			return nil
		}
		l.settle(err)
		over = true
		l.Tell(api.ForwardEvent{Event: "retry", Error: l.Explain(l.node, err).Error(), MS: milliseconds(pause)})
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-l.wanted:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}
