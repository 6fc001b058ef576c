package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/pipe"
	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/node/transfer"
)

// call calls the other side until the transfer is over. Where nobody has to be
// there yet, it calls again and again for as long as wait.
func (m *move) call(ctx context.Context, peer address.Address, wait time.Duration) error {
	cfg, err := m.callerConfig(ctx, m.flags, peer)
	if err != nil {
		return err
	}
	cfg.NoWait = true
	n, err := m.startNode(ctx, cfg, !m.flags.portAsked)
	if err != nil {
		return err
	}
	defer n.Close()
	idle := m.absent
	if idle == "" {
		idle = fmt.Sprintf("No answer from %s yet. Trying for up to %v.", peer.Key.Short(), short(wait))
	}
	silent := m.tellIdle(idle)
	defer func() { silent() }()
	again := false
	deadline := time.Now().Add(wait)
	for {
		conn, err := m.reach(ctx, n, peer, deadline)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil:
			silent()
			silent = func() {}
			go m.watchPath(conn)
			err = m.over(ctx, conn)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err == nil {
				return nil
			}
			var stop *transfer.StopError
			if !goesOn(err) || errors.As(err, &stop) && stop.Reason == transfer.Unattended {
				m.final = m.final || !goesOn(err) && !fullHere(err)
				return m.explain(err)
			}
			m.tellBreak(err)
			again, wait, deadline = true, againWait, time.Now().Add(againWait)
			silent = m.tellIdle(fmt.Sprintf("The %s is not back yet.", m.other()))
		case !goesOn(err) && !(again && m.explain(err).status == statusNoNetwork):
			return m.explain(err)
		case !time.Now().Before(deadline):
			if again || m.absent != "" {
				return m.nobody(wait, again)
			}
			f := m.explain(err)
			if f.status == statusAbsent {
				f.hint = `try to start "sallyport receive" there; it must admit this node, and share a broker with it`
			}
			return f
		}
		select {
		case <-time.After(callPause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// reach connects once.
func (m *move) reach(ctx context.Context, n *node.Node, peer address.Address, deadline time.Time) (*node.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, max(time.Millisecond, min(callTime, time.Until(deadline))))
	defer cancel()
	conn, err := n.ConnectAddress(ctx, peer)
	if err != nil {
		return nil, m.explainCall(n, err)
	}
	c := &call{app: m.app, node: n, conn: conn}
	if err := c.admitted(); err != nil {
		pipe.Cut(conn)
		return nil, err
	}
	return conn, nil
}
