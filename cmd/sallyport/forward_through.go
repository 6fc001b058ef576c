package main

import (
	"context"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/control"
	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/forward"
	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/node/api"
)

// through has the node in the background forward until ctx ends.
func (f *forwardCommand) through(ctx context.Context, up *control.Client, peer address.Address, specs []forward.Spec) error {
	want := api.Forwarding{Target: peer.String(), TimeoutMS: patienceOf(&f.flags)}
	for _, s := range specs {
		want.Forwards = append(want.Forwards, s.API())
	}
	stop, err := f.tellCall(ctx, up, &f.flags, peer)
	if err != nil {
		return err
	}
	stopped := false
	reached := func() {
		if !stopped {
			stopped = true
			stop()
		}
	}
	defer reached()
	t := &forwardTeller{app: f.app, peer: peer.Key}
	err = up.Forward(ctx, want, func(e api.ForwardEvent) {
		reached()
		t.tell(e)
	})
	if ctx.Err() != nil {
		return daemonEnd(ctx)
	}
	return err
}

// forwardBy is how a node forwards for clients of its API.
func (u *up) forwardBy(nd *node.Node) func(context.Context, address.Address, api.Forwarding, func(api.ForwardEvent)) error {
	return func(ctx context.Context, peer address.Address, want api.Forwarding, tell func(api.ForwardEvent)) error {
		var specs []forward.Spec
		for _, w := range want.Forwards {
			s, err := forward.OfAPI(w)
			if err != nil {
				return misused("GET /openapi.json describes a forward", "%v", err)
			}
			specs = append(specs, s)
		}
		return u.forwarding(ctx, tell, specs, func(ctx context.Context) (forward.Reached, error) {
			if want.TimeoutMS > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, time.Duration(want.TimeoutMS)*time.Millisecond)
				defer cancel()
			}
			conn, err := nd.Ping(ctx, peer)
			if err != nil {
				return forward.Reached{}, u.explainCall(nd, err)
			}
			return admitting(forward.Reached{Node: nd, Peer: peer, Conn: conn, Release: func() {}})
		})
	}
}
