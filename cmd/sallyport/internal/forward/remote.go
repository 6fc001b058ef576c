package forward

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/pipe"
	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/node/api"
	"github.com/sallyport-net/sallyport/node/tunnel"
)

// beginRemote has the peer listen, and serves what comes in there until ctx
// ends. A no of the peer's ends the command; later, when the peer has been gone,
// it is asked again.
func (f *forwarder) beginRemote(ctx context.Context, s Spec) error {
	c, at, err := f.listenThere(ctx, s)
	var no *tunnel.RefusedError
	switch {
	case errors.As(err, &no) && no.Status == tunnel.NotAllowed:
		return &Error{what: "-R " + no.Error(), hint: no.Hint(), refused: true, cause: err}
	case errors.As(err, &no):
		return failed(err, no.Hint(), "-R %v", no)
	case errors.Is(err, errNotServed):
		return failed(err, "ask the peer to start its node with --allow-listen", "%v", err)
	case errors.Is(err, errTooOld):
		return failed(err, updateThere, "%v", err)
	case err != nil:
		return f.Explain(f.line.node, err)
	}
	ready := s
	ready.Bind = at
	f.announce(ready)
	f.running.Go(func() {
		for pause := redialFirst; ; {
			if c != nil {
				f.answerKnocks(ctx, s, c)
				pause = redialFirst
			}
			if ctx.Err() != nil {
				return
			}
			if c, at, err = f.listenThere(ctx, s); err == nil {
				ready.Bind = at
				f.announce(ready)
				continue
			}
			if _, gone := f.line.state(); gone == nil && ctx.Err() == nil { // else the line tells
				f.Tell(api.ForwardEvent{Event: "retry", Kind: string(Remote), Error: pipe.Plainly(err), MS: milliseconds(pause)})
			}
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return
			}
			pause = min(2*pause, redialMost)
		}
	})
	return nil
}

// listenThere asks the peer to listen, and gives the stream of the knocks, and
// where it listens.
func (f *forwarder) listenThere(ctx context.Context, s Spec) (*node.Conn, tunnel.Place, error) {
	q := tunnel.Request{Kind: tunnel.Listen, Place: s.Bind}
	c, err := f.line.request(ctx, q)
	if err != nil {
		return nil, tunnel.Place{}, err
	}
	stop := context.AfterFunc(ctx, func() { pipe.Cut(c) })
	defer stop()
	a, err := answer(c, q)
	if err != nil {
		pipe.Cut(c)
		return nil, tunnel.Place{}, err
	}
	return c, a.Place, nil
}

// answerKnocks takes the connections that come in at the peer, until the stream
// or ctx ends.
func (f *forwarder) answerKnocks(ctx context.Context, s Spec, c *node.Conn) {
	stop := context.AfterFunc(ctx, func() { pipe.Cut(c) })
	defer stop()
	defer pipe.Cut(c)
	for {
		k, err := tunnel.ReadKnock(c)
		if err != nil {
			return
		}
		if !f.enter() {
			_, _ = c.Write(k.Ticket[:])
			f.tellFull(k.From.String())
			continue
		}
		f.running.Go(func() {
			defer f.leave()
			f.answerKnock(ctx, s, c, k)
		})
	}
}

// answerKnock connects to the service here, and takes the connection if it
// answers; else the peer is told to turn it away.
func (f *forwarder) answerKnock(ctx context.Context, s Spec, c *node.Conn, k tunnel.Knock) {
	d := net.Dialer{Timeout: DialTimeout}
	local, err := d.DialContext(ctx, "tcp", s.To.String())
	if err != nil {
		_, _ = c.Write(k.Ticket[:])
		status := tunnel.StatusOf(err)
		f.Tell(api.ForwardEvent{Event: "reset", From: k.From.String(), Error: fmt.Sprintf("%v: %v", s.To, status)})
		return
	}
	conn := local.(*net.TCPConn)
	f.carry(ctx, s, k.From.String(), conn, func(*passage) pipe.Traffic {
		q := tunnel.Request{Kind: tunnel.Take, Ticket: k.Ticket, Place: k.From}
		c, err := f.line.request(ctx, q)
		if err != nil {
			pipe.Abort(conn)
			return pipe.Traffic{Err: err}
		}
		return pipe.Join(&asked{Conn: c, request: q}, conn)
	})
}
