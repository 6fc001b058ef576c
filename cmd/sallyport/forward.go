package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node"
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
func (f *forwardCommand) specs() ([]forwardSpec, error) {
	var all []forwardSpec
	for _, of := range []struct {
		kind  forwardKind
		flag  string
		texts []string
		hint  string
	}{
		{localForward, "-L", f.local, "try -L 8080:127.0.0.1:80"},
		{remoteForward, "-R", f.remote, "try -R 8080:127.0.0.1:80"},
		{socksForward, "--socks", f.socks, "try --socks 1080"},
	} {
		for _, text := range of.texts {
			s, err := parseForward(of.kind, text)
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
func (f *forwardCommand) run(ctx context.Context, target string, specs []forwardSpec) error {
	up, peer, err := f.throughBackground(ctx, &f.flags, target)
	if err != nil {
		return err
	}
	if up != nil {
		return f.through(ctx, up, peer, specs)
	}
	defer spareWhileIdle()()
	t := &forwardTeller{app: f.app}
	return newForwarder(t.tell, f.explainCall).run(ctx, specs, func(ctx context.Context) (reached, error) {
		var r reached
		call, err := f.dial(ctx, &f.flags, target, func(n *node.Node, ctx context.Context, peer address.Address) (*node.Conn, error) {
			r.node, r.peer = n, peer
			t.peer = peer.Key
			return n.Ping(ctx, peer)
		})
		if err != nil {
			return r, err
		}
		r.conn, r.release = call.conn.(*node.Conn), func() { _ = call.node.Close() }
		return r, nil
	})
}
