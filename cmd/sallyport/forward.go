package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/forward"
	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/pipe"
	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/spare"
	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/node/api"
)

// maxForwards is how many forwards a command may name.
const maxForwards = 64

// forwardCommand is sallyport forward.
type forwardCommand struct {
	*app
	flags  nodeFlags
	local  []string
	remote []string
	socks  []string
}

func newForward(a *app) *cobra.Command {
	f := &forwardCommand{app: a}
	c := &cobra.Command{
		Use:   "forward TARGET",
		Short: "Make a peer's TCP services appear here, or ours there",
		Long: `Forward TCP ports to and from a peer, all over one connection. The peer runs
"sallyport node", and allows there what may be reached. TARGET is an address in
either form, a bare node id, a nickname or a contact.

  -L [BIND:]PORT:HOST:PORT  what connects to PORT here gets to HOST:PORT, as the
                            peer sees it (node --allow-forward HOST:PORT)
  -L [BIND:]PORT            the same, to what the peer's node is for, such as
                            node --forward HOST:PORT
  -R [BIND:]PORT:HOST:PORT  what connects to PORT at the peer gets to HOST:PORT,
                            as this machine sees it (node --allow-listen PORT)
  --socks [BIND:]PORT       a SOCKS5 proxy here; the peer connects to what its
                            clients ask for (node --allow-forward)

BIND is 127.0.0.1 unless told; * is every address. PORT 0 is any free one. If
the peer goes away, connections are reset, and it is called again until it is
back. Where "sallyport up" has a node in the background, that one forwards, for as
long as this command runs, unless a flag says how a node is to be.

With --json, events go to standard error: connected, listening, opened, closed,
reset, path, gone, retry, back, failed. It runs until it is interrupted; SIGTERM
ends it with exit status 0.`,
		Example: `  sallyport forward -L 8080:127.0.0.1:80 ADDRESS
  sallyport forward -L 5432:db.internal:5432 -L 8022:127.0.0.1:22 ADDRESS
  sallyport forward -R 8080:127.0.0.1:3000 ADDRESS
  sallyport forward --socks 1080 ADDRESS`,
		Args: oneTarget,
	}
	f.flags.register(a, c)
	c.Flags().StringArrayVarP(&f.local, "local", "L", nil, "listen here for a service at the peer, as `[BIND:]PORT:HOST:PORT`; repeatable")
	c.Flags().StringArrayVarP(&f.remote, "remote", "R", nil, "listen at the peer for a service here, as `[BIND:]PORT:HOST:PORT`; repeatable")
	c.Flags().StringArrayVarP(&f.socks, "socks", "D", nil, "be a SOCKS5 proxy at `[BIND:]PORT`; repeatable")
	c.RunE = func(c *cobra.Command, args []string) error {
		specs, err := f.specs()
		if err != nil {
			return err
		}
		if err := f.flags.settle(a, c); err != nil {
			return err
		}
		return f.run(c.Context(), args[0], specs)
	}
	return c
}

// specs reads what shall be forwarded.
func (f *forwardCommand) specs() ([]forward.Spec, error) {
	var all []forward.Spec
	for _, of := range []struct {
		kind  forward.Kind
		flag  string
		texts []string
		hint  string
	}{
		{forward.Local, "-L", f.local, "try -L 8080:127.0.0.1:80"},
		{forward.Remote, "-R", f.remote, "try -R 8080:127.0.0.1:80"},
		{forward.SOCKS, "--socks", f.socks, "try --socks 1080"},
	} {
		for _, text := range of.texts {
			s, err := forward.Parse(of.kind, text)
			if err != nil {
				return nil, misused(of.hint, "%s %q: %v", of.flag, text, err)
			}
			all = append(all, s)
		}
	}
	switch {
	case len(all) == 0:
		return nil, misused("try -L 8080:127.0.0.1:80, -R or --socks", "there is nothing to forward")
	case len(all) > maxForwards:
		return nil, misused("run \"sallyport forward\" twice", "%d forwards are more than %d", len(all), maxForwards)
	}
	return all, nil
}

// run forwards until ctx ends, by the node in the background or by one of its own.
func (f *forwardCommand) run(ctx context.Context, target string, specs []forward.Spec) error {
	up, peer, err := f.throughBackground(ctx, &f.flags, target)
	if err != nil {
		return err
	}
	if up != nil {
		return f.through(ctx, up, peer, specs)
	}
	defer spare.WhileIdle()()
	t := &forwardTeller{app: f.app}
	return f.forwarding(ctx, t.tell, specs, func(ctx context.Context) (r forward.Reached, err error) {
		call, err := f.dial(ctx, &f.flags, target, func(n *node.Node, ctx context.Context, peer address.Address) (*node.Conn, error) {
			r.Node, r.Peer = n, peer
			t.peer = peer.Key
			return n.Ping(ctx, peer)
		})
		if err != nil {
			return r, err
		}
		r.Conn, r.Release = call.conn.(*node.Conn), func() { _ = call.node.Close() }
		return admitting(r)
	})
}

// forwarding forwards until ctx ends.
func (a *app) forwarding(ctx context.Context, tell func(api.ForwardEvent), specs []forward.Spec, reach func(context.Context) (forward.Reached, error)) error {
	err := forward.Run(ctx, forward.Config{
		Tell:    tell,
		Explain: func(n *node.Node, err error) error { return explainCut(a.explainCall(n, err)) },
		Watch: func(ctx context.Context, c *node.Conn) {
			watchPath(ctx, c, func(e pathEvent) {
				tell(api.ForwardEvent{Event: e.Event, State: e.State, Via: e.Via, By: e.By, Remote: e.Remote, MS: e.MS})
			})
		},
	}, specs, reach)
	var can *forward.Error
	switch {
	case err == nil:
		return daemonEnd(ctx)
	case errors.As(err, &can) && can.Refused():
		return &failure{status: statusRefused, what: can.Error(), hint: can.Hint(), cause: can.Unwrap()}
	case errors.As(err, &can):
		return failed(can.Unwrap(), can.Hint(), "%v", can)
	}
	return err
}

// admitting waits for the yes of a peer that was reached.
func admitting(r forward.Reached) (forward.Reached, error) {
	if err := verdict(r.Conn); err != nil {
		pipe.Cut(r.Conn)
		r.Release()
		return r, explainCut(err)
	}
	return r, nil
}
