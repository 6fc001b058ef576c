package main

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/pipe"
	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/spare"
	"github.com/sallyport-net/sallyport/node"
)

// maxServed is how many connections are served at once. More wait in the
// node's backlog, and are turned away when that is full.
const maxServed = 256

// nodeCommand is sallyport node.
type nodeCommand struct {
	*app
	flags   nodeFlags
	sinks   sinkFlags
	allow   string
	birth   string
	relay   relayingFlags
	serving sync.WaitGroup
}

func newNode(a *app) *cobra.Command {
	n := &nodeCommand{app: a}
	c := &cobra.Command{
		Use:   "node",
		Short: "Run a node; it prints its address",
		Long: `Run a node. It prints its address, and the command for the other side, on
standard output as soon as it is ready. What arrives goes to one of

  --echo               back to where it came from, until the peer has ended
  --forward HOST:PORT  a TCP service; each peer gets a connection of its own
  --exec CMD           a shell command for each peer, as its standard input and
                       output; it is killed when the connection is lost
  standard output      otherwise, from all peers as it comes. Standard input
                       goes to the peer that has been there longest, so that
                       two people can type to each other. A connection ends
                       when the peer has ended, but a file or pipe on standard
                       input is sent to its end first. Empty standard input
                       means to receive only

Beside that, "sallyport forward" of peers gets what these allow:

  --allow-forward HOST:PORT,...   TCP services that it may reach
  --allow-listen [BIND:]PORT,...  ports here that may lead to services there

With --relay-for, the node relays as well: two others meet through it where nothing
else connects them. It may sit behind a NAT, and sees ciphertext only. It prints
the flag with which they name it.

SIGTERM ends the node with exit status 0, an interrupt with 130. With --json,
events go to standard output, one object per line: ready, then accepted, data
(without a sink), wanted (of a forward) and ended, circuit and circuit_ended
(of those that it relays), and address whenever the machine's networks have
changed and its address with them.`,
		Example: `  sallyport node
  sallyport node --echo
  sallyport node --forward 127.0.0.1:22
  sallyport node --allow-forward 127.0.0.1:80,127.0.0.1:5432
  sallyport node --echo --allow-forward 127.0.0.1:80
  sallyport node --exec 'tar x -C inbox' --allow 26vGxSb9PMjdqAkEtixBBHm6tt9o72xX4YBBHJQWsJnQb
  sallyport node --relay-for 26vGxSb9PMjdqAkEtixBBHm6tt9o72xX4YBBHJQWsJnQb
  sallyport node < big.iso`,
		Args: nothingElse,
	}
	n.register(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := n.sinks.fromCommandLine(c); err != nil {
			return err
		}
		if err := n.flags.settle(a, c); err != nil {
			return err
		}
		return n.run(c.Context())
	}
	return c
}

func (n *nodeCommand) register(c *cobra.Command) {
	n.flags.register(n.app, c)
	n.sinks.register(c)
	c.Flags().StringVar(&n.allow, "allow", "everyone", "who may connect: `WHO` is everyone, nobody, or node ids with commas between")
	c.Flags().StringVar(&n.birth, "birthday", "listed", "for whom to dial many ports at once when a NAT leaves no other way: `WHO` is listed (those of --allow), always or never")
	n.relay.register(c)
}

func (n *nodeCommand) run(ctx context.Context) error {
	admission, err := parseAllow(n.allow)
	if err != nil {
		return err
	}
	serve, err := n.sinks.sink(n.app, admission.Everyone(), func() sink { return newConsole(n.app).serve })
	if err != nil {
		return err
	}
	birthday, err := parseBirthday(n.birth)
	if err != nil {
		return err
	}
	cfg, err := n.nodeConfig(ctx, &n.flags)
	if err != nil {
		return err
	}
	cfg.Admission, cfg.Birthday, cfg.Tunnels = &admission, birthday, n.sinks.tunnels()
	if cfg.Relaying, err = n.relay.relaying(); err != nil {
		return err
	}
	nd, err := n.startNode(ctx, cfg, false)
	if err != nil {
		return err
	}
	defer nd.Close()
	defer spare.WhileIdle()()
	self := nd.Address()
	n.announce(self)
	keeper, err := n.keepNames(&n.flags, cfg)
	if err != nil {
		return err
	}
	defer keeper.Close()
	n.warnHealth(nd)
	stop := context.AfterFunc(ctx, func() { _ = nd.Close() })
	defer stop()
	defer n.serving.Wait()
	following, end := context.WithCancel(ctx)
	defer end()
	n.serving.Go(func() { n.follow(following, nd, self) })
	if !cfg.Relaying.For.IsZero() {
		n.serving.Go(func() { n.tellCircuits(nd.Events(following)) })
	}
	return n.acceptAll(ctx, nd, func(c net.Conn) { n.serve(ctx, c, serve) })
}

// acceptAll hands each connection to serve, so many at once, until ctx ends and
// the node with it.
func (n *nodeCommand) acceptAll(ctx context.Context, nd *node.Node, serve func(net.Conn)) error {
	places := make(chan struct{}, maxServed)
	for {
		select {
		case places <- struct{}{}:
		case <-ctx.Done():
			return daemonEnd(ctx)
		}
		conn, err := nd.Accept()
		if ctx.Err() != nil {
			if err == nil {
				_ = conn.Close()
			}
			return daemonEnd(ctx)
		}
		if err != nil {
			return failed(err, "try it again with -v", "the node takes no more connections")
		}
		n.serving.Go(func() {
			defer func() { <-places }()
			serve(conn)
		})
	}
}

// announce prints the address, before anything else.
func (n *nodeCommand) announce(self address.Address) {
	compact := compactly(self)
	relay := n.relay.flag(compact)
	if n.json {
		emit(n.out, addressEvent{"ready", self.Key.String(), self.String(), compact, n.pasteable(compact), relay})
		return
	}
	fmt.Fprintf(n.out, "Address: %s\nCompact: %s\nConnect: %s\n", self, compact, n.pasteable(compact))
	if relay != "" {
		fmt.Fprintf(n.out, "Relay:   %s\n", relay)
	}
}

// follow tells of every address that is not as the last one, until ctx or the
// node ends.
func (n *nodeCommand) follow(ctx context.Context, nd *node.Node, last address.Address) {
	for {
		self, err := nd.NextAddress(ctx, last)
		if err != nil {
			return
		}
		last = self
		compact := compactly(self)
		switch {
		case n.json:
			emit(n.out, addressEvent{"address", self.Key.String(), self.String(), compact, n.pasteable(compact), ""})
		case !leads(self):
			n.say("This machine has no network now; waiting for one.")
		default:
			n.say("The address is another now; the one from before is still good.\nAddress: %s\nCompact: %s", self, compact)
		}
	}
}

// leads reports whether an address leads to this machine from any other.
func leads(a address.Address) bool {
	return slices.ContainsFunc(slices.Concat(a.V4, a.V6), func(i address.Interface) bool { return !i.External.IsLoopback() })
}

func compactly(a address.Address) string {
	compact, err := a.Compact()
	if err != nil {
		return a.String() // it has no compact form, but the long one does as well
	}
	return compact
}

// pasteable is the command for the other side: our STUN servers are its too,
// where they are not the public ones. Our brokers stand in the address.
func (n *nodeCommand) pasteable(compact string) string {
	words := append([]string{"sallyport"}, n.sinks.counterpart()...)
	for _, s := range n.flags.stun {
		words = append(words, "--stun", s)
	}
	return strings.Join(append(words, compact), " ")
}

// addressEvent is "ready", with the first address, or "address", with another.
type addressEvent struct {
	Event   string `json:"event"`
	ID      string `json:"id"`
	Address string `json:"address"`
	Compact string `json:"compact"`
	Connect string `json:"connect"`
	Relay   string `json:"relay,omitempty"` // the flag with which others have this node relay
}

// serve hands one connection to the sink, and tells of both ends.
func (n *nodeCommand) serve(ctx context.Context, c net.Conn, to sink) {
	conn := c.(*node.Conn)
	begun := time.Now()
	peer, remote := conn.Peer().String(), conn.RemoteAddr().String()
	if n.json {
		emit(n.out, acceptedEvent{"accepted", peer, remote})
	}
	n.say("%s has connected from %s.", conn.Peer().Short(), remote)
	stop := context.AfterFunc(ctx, func() { pipe.Cut(conn) })
	t := to(ctx, conn)
	stop()
	_ = conn.Close()

	e := endedEvent{Event: "ended", Peer: peer, Remote: remote, MS: milliseconds(time.Since(begun)), Received: t.Received, Sent: t.Sent}
	why := ""
	if t.Err != nil && ctx.Err() == nil {
		e.Error = pipe.Plainly(t.Err)
		why = ": " + e.Error
	}
	if n.json {
		emit(n.out, e)
	}
	n.say("%s is gone after %v; %s came, %s went%s.", conn.Peer().Short(),
		time.Since(begun).Round(time.Millisecond), megabytes(t.Received), megabytes(t.Sent), why)
}

type acceptedEvent struct {
	Event  string `json:"event"`
	Peer   string `json:"peer"`
	Remote string `json:"remote"`
}

type endedEvent struct {
	Event    string  `json:"event"`
	Peer     string  `json:"peer"`
	Remote   string  `json:"remote"`
	MS       float64 `json:"ms"`
	Received int64   `json:"received"`
	Sent     int64   `json:"sent"`
	Error    string  `json:"error,omitempty"`
}
