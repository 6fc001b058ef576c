package main

import (
	"context"
	"net/http"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/control"
	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/node/api"
)

// reach connects to target through the node in the background, or by one of its
// own: a stream, or an echo. It tells of every change of the path.
func (a *app) reach(ctx context.Context, f *nodeFlags, target string, echo bool) (*call, error) {
	up, peer, err := a.throughBackground(ctx, f, target)
	if err != nil {
		return nil, err
	}
	if up != nil {
		return a.through(ctx, up, f, peer, echo)
	}
	connect := (*node.Node).ConnectAddress
	if echo {
		connect = (*node.Node).Ping
	}
	c, err := a.dial(ctx, f, target, connect)
	if err == nil {
		go a.watchPath(c.conn.(*node.Conn)) // ends with the connection
	}
	return c, err
}

// throughBackground gives the node in the background and whom it shall call; nil
// where a node of our own has to: there is none, the flags want one, or the target
// is that node itself.
func (a *app) throughBackground(ctx context.Context, f *nodeFlags, target string) (*control.Client, address.Address, error) {
	up := a.background(f)
	if up == nil {
		return nil, address.Address{}, nil
	}
	peer, err := a.resolve(ctx, f, target)
	if err != nil {
		return nil, peer, err
	}
	st, err := up.Status(ctx)
	if err != nil {
		return nil, peer, err
	}
	if peer.Key.String() == st.Address.ID || peer.Foreign != "" {
		return nil, peer, nil
	}
	a.tellBackground(st.PID)
	return up, peer, nil
}

// tellBackground says whose answers these are.
func (a *app) tellBackground(pid int) {
	a.say("Using the node in the background (process %d).", pid)
}

// patienceOf is for how long the node in the background may call a peer.
func patienceOf(f *nodeFlags) int64 { return min(f.timeout, 2*time.Minute).Milliseconds() }

// through connects to peer through the node in the background.
func (a *app) through(ctx context.Context, up *control.Client, f *nodeFlags, peer address.Address, echo bool) (*call, error) {
	stop, err := a.tellCall(ctx, up, f, peer)
	if err != nil {
		return nil, err
	}
	defer stop()
	var c api.Connection
	open := api.Open{Target: peer.String(), Echo: echo, TimeoutMS: patienceOf(f)}
	if err := up.Ask(ctx, http.MethodPost, "/v1/connections", open, &c); err != nil {
		return nil, err
	}
	conn, err := up.Tunnel(ctx, peer.Key, c)
	if err != nil {
		return nil, err
	}
	go a.watchPath(conn) // ends with the connection
	return &call{app: a, conn: conn}, nil
}

// tellCall tells what a call by the node in the background is at, from when it
// returns until stop is called.
func (a *app) tellCall(ctx context.Context, up *control.Client, f *nodeFlags, peer address.Address) (stop func(), err error) {
	story := newNarrator(a).story
	silent := a.tellWaiting(f.timeout, peer, story)
	following, end := context.WithCancel(ctx)
	followed, listening := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(followed)
		up.Follow(following, func() { close(listening) }, func(e api.Event) {
			if e.Event == "step" && e.Peer == peer.Key.String() {
				a.tellStep(e, story)
			}
		})
	}()
	stop = func() { silent(); end(); <-followed }
	select {
	case <-listening:
		return stop, nil
	case <-ctx.Done():
		stop()
		return nil, context.Cause(ctx)
	}
}

// tellStep notes a step of a call, and tells of it with -v.
func (a *app) tellStep(e api.Event, s *story) {
	s.note(e.Strategy, e.What)
	switch {
	case !a.verbose:
	case a.json:
		emit(a.err, stepEvent{"step", e.MS, e.Strategy, e.What, e.Error})
	default:
		a.say("%9.1f ms  %-8s %s", e.MS, e.Strategy, inFull(e.What, e.Error))
	}
}
