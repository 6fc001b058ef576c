package main

import (
	"context"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/nat/errno"
	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/node/tunnel"
)

const (
	// maxForwards is how many forwards a command may name.
	maxForwards = 64
	// maxForwarded is how many connections are forwarded at once: a peer takes
	// 256 streams, and some of them are for the session and for remote ports.
	maxForwarded = 190
)

// forwarder is sallyport forward.
type forwarder struct {
	*app
	flags  nodeFlags
	local  []string
	remote []string
	socks  []string

	line    *line
	running sync.WaitGroup
	places  chan struct{} // one for each connection under way
	numbers counter
}

func newForward(a *app) *cobra.Command {
	f := &forwarder{app: a, places: make(chan struct{}, maxForwarded)}
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
back. With --json, events go to standard error: connected, listening, opened,
closed, path, gone, retry, back, failed. It runs until it is interrupted; SIGTERM
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
func (f *forwarder) specs() ([]forwardSpec, error) {
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
		return nil, misused("", "%d forwards are more than %d", len(all), maxForwards)
	}
	return all, nil
}

// run listens, connects, and forwards until ctx ends.
func (f *forwarder) run(ctx context.Context, target string, specs []forwardSpec) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	// A port that is taken is told before anybody is called.
	listeners := make([]*net.TCPListener, len(specs))
	defer func() {
		for _, l := range listeners {
			if l != nil {
				_ = l.Close()
			}
		}
	}()
	for n := range specs {
		if specs[n].kind == remoteForward {
			continue
		}
		l, err := listenHere(ctx, specs[n].bind)
		if err != nil {
			return err
		}
		listeners[n] = l
		specs[n].bind.Port = uint16(l.Addr().(*net.TCPAddr).Port)
	}
	f.line = newLine(f.app)
	call, err := f.dial(ctx, &f.flags, target, func(n *node.Node, ctx context.Context, peer address.Address) (*node.Conn, error) {
		f.line.node, f.line.peer = n, peer
		return n.Ping(ctx, peer)
	})
	if err != nil {
		return err
	}
	defer func() { f.running.Wait(); _ = call.node.Close() }()
	defer end(nil)
	conn := call.conn.(*node.Conn) // of a node of our own
	if err := call.admitted(); err != nil {
		cut(conn)
		return explainCut(err)
	}
	f.running.Go(func() { f.line.keep(ctx, conn) })
	for n, s := range specs {
		if s.kind == remoteForward {
			err = f.beginRemote(ctx, s)
		} else {
			f.beginLocal(ctx, s, listeners[n])
		}
		if err != nil {
			return err
		}
	}
	<-ctx.Done()
	return daemonEnd(ctx)
}

func listenHere(ctx context.Context, at tunnel.Place) (*net.TCPListener, error) {
	var cfg net.ListenConfig
	l, err := cfg.Listen(ctx, "tcp", at.String())
	switch {
	case err == nil:
		return l.(*net.TCPListener), nil
	case errno.Is(err, syscall.EADDRINUSE):
		return nil, failed(err, "try another port, or 0 for any", "%v is taken", at)
	case errno.Is(err, syscall.EACCES):
		return nil, failed(err, "try a port above 1023", "%v may not be used by this user", at)
	case errno.Is(err, syscall.EADDRNOTAVAIL):
		return nil, failed(err, "try 127.0.0.1, or * for every address", "%v is no address of this machine", at.Host)
	}
	return nil, failed(err, "", "%v can't be listened on: %v", at, err)
}

// announce tells of a forward that is ready.
func (f *forwarder) announce(s forwardSpec) {
	peer := f.line.peer.Key.Short()
	if f.json {
		e := listeningEvent{Event: "listening", Kind: string(s.kind), Bind: s.bind.String()}
		if (s.to != tunnel.Place{}) {
			e.To = s.to.String()
		}
		emit(f.err, e)
		return
	}
	where := "here"
	if s.kind == remoteForward {
		where = "at " + peer
	}
	f.say("Forwarding %v %s to %s.", s.bind, where, s.what(peer))
	if s.wide() {
		f.say("Warning: other machines can use %v %s, too.", s.bind, where)
	}
}

type listeningEvent struct {
	Event string `json:"event"`
	Kind  string `json:"kind"` // local, remote or socks
	Bind  string `json:"bind"`
	To    string `json:"to,omitempty"`
}

// counter numbers the connections, for those who read events.
type counter struct {
	mu sync.Mutex
	n  int
}

func (c *counter) next() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	return c.n
}

// enter takes a place for a connection, if there is one left.
func (f *forwarder) enter() bool {
	select {
	case f.places <- struct{}{}:
		return true
	default:
		return false
	}
}

func (f *forwarder) leave() { <-f.places }

// carry serves one connection and tells of both ends. The connection is closed
// under it when ctx ends.
func (f *forwarder) carry(ctx context.Context, s forwardSpec, from string, conn *net.TCPConn, serve func(*passage) traffic) {
	stop := context.AfterFunc(ctx, func() { abort(conn) })
	defer stop()
	p := &passage{number: f.numbers.next(), kind: s.kind, from: from, to: s.to, begun: time.Now()}
	f.tellOpened(p)
	p.traffic = serve(p)
	f.tellClosed(ctx, p)
}

// tellFull tells of a connection for which there was no place.
func (f *forwarder) tellFull(from string) {
	f.say("A connection from %s was reset: %d are forwarded already.", from, maxForwarded)
}
