package main

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/forward"
	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/pipe"
	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/node/tunnel"
)

// sink does with a connection what the node is for, and returns when that is
// over. When ctx ends, the connection is closed under it.
type sink func(ctx context.Context, c *node.Conn) pipe.Traffic

// sinkFlags choose one.
type sinkFlags struct {
	echo    bool
	forward string
	exec    string

	allowForward, allowListen []string
}

// sinkNames are the flags that choose where plain connections go, of which there
// is one; tunnelNames those of what "sallyport forward" may ask for beside that.
var (
	sinkNames   = []string{"echo", "forward", "exec"}
	tunnelNames = []string{"allow-forward", "allow-listen"}
)

func (f *sinkFlags) register(c *cobra.Command) {
	c.Flags().BoolVar(&f.echo, "echo", false, "send back what arrives")
	c.Flags().StringVar(&f.forward, "forward", "", "connect each peer to the TCP service at `HOST:PORT`")
	c.Flags().StringVar(&f.exec, "exec", "", "run the shell command `CMD` for each peer")
	c.Flags().StringSliceVar(&f.allowForward, "allow-forward", nil, "let \"sallyport forward\" of peers reach the TCP service at `HOST:PORT`; HOST may be a network (10.0.0.0/8) or *, PORT may be *; repeatable (default: nothing)")
	c.Flags().StringSliceVar(&f.allowListen, "allow-listen", nil, "let \"sallyport forward -R\" of peers listen here on `[BIND:]PORT`, on 127.0.0.1 unless told; repeatable (default: nowhere)")
}

// fromCommandLine sees to it that a sink on the command line is the only one,
// whatever the configuration file has; and what is allowed there, all that is.
func (f *sinkFlags) fromCommandLine(c *cobra.Command) error {
	fs := c.Flags()
	for _, names := range [][]string{sinkNames, tunnelNames} {
		if slices.ContainsFunc(names, fs.Changed) {
			for _, name := range names {
				fs.Lookup(name).Changed = true
			}
		}
	}
	return f.check()
}

// check finds more than one sink.
func (f *sinkFlags) check() error {
	var named []string
	for n, is := range []bool{f.echo, f.forward != "", f.exec != ""} {
		if is {
			named = append(named, "--"+sinkNames[n])
		}
	}
	if len(named) > 1 {
		return misused("try one of them", "%s exclude each other", strings.Join(named, " and "))
	}
	return nil
}

// plain reports whether a sink for plain connections was chosen.
func (f *sinkFlags) plain() bool { return f.echo || f.forward != "" || f.exec != "" }

// tunnels reports whether "sallyport forward" may ask for anything.
func (f *sinkFlags) tunnels() bool { return len(f.allowForward)+len(f.allowListen) > 0 }

// sink gives the one for every connection, each by its kind: plain ones go where
// the flags say, or else to otherwise. everyone says whether everyone may
// connect.
func (f *sinkFlags) sink(a *app, everyone bool, otherwise func() sink) (sink, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	t, err := newTunnels(a, f.allowForward, f.allowListen)
	if err != nil {
		return nil, err
	}
	plain, err := f.plainSink(a, otherwise)
	if err != nil || !f.tunnels() {
		return plain, err
	}
	t.warn(everyone)
	return func(ctx context.Context, c *node.Conn) pipe.Traffic {
		if c.Tunnel() {
			return t.Serve(ctx, c)
		}
		return plain(ctx, c)
	}, nil
}

func (f *sinkFlags) plainSink(a *app, otherwise func() sink) (sink, error) {
	switch {
	case f.echo:
		return echo, nil
	case f.exec != "":
		return a.execute(f.exec), nil
	case f.forward != "":
		if err := checkHostPort(f.forward); err != nil {
			return nil, misused("try --forward 127.0.0.1:22", "--forward %q: %v", f.forward, err)
		}
		return toService(f.forward), nil
	}
	return otherwise(), nil
}

// counterpart is the command that the other side uses.
func (f *sinkFlags) counterpart() []string {
	if f.plain() || !f.tunnels() {
		return []string{"connect"}
	}
	rules, _ := tunnel.ParseRules(f.allowForward)
	for _, r := range rules {
		if p, ok := r.Place(); ok {
			return []string{"forward", "-L", fmt.Sprintf("%d:%v", otherPort(p.Port), p)}
		}
	}
	if len(rules) > 0 {
		return []string{"forward", "--socks", "1080"}
	}
	rules, _ = tunnel.ParseRules(listenPlaces(f.allowListen))
	for _, r := range rules {
		if p, ok := r.Place(); ok {
			return []string{"forward", "-R", fmt.Sprintf("%v:127.0.0.1:%d", p, p.Port)}
		}
	}
	return []string{"forward", "-R", "0:127.0.0.1:8080"}
}

// otherPort is one to know a service's by that needs no privilege, and works on
// the service's own machine, too: 8022 for 22, 8080 for 80, 15432 for 5432.
func otherPort(port uint16) uint16 {
	switch {
	case port < 1024:
		return 8000 + port
	case port < 1<<16-10000:
		return 10000 + port
	}
	return port - 10000
}

// echo sends everything back until the peer has ended.
func echo(_ context.Context, c *node.Conn) pipe.Traffic {
	n, err := pipe.Copy(c, c)
	if err == nil {
		pipe.Leave(c)
	}
	return pipe.Traffic{Received: n, Sent: n, Err: err}
}

// toService gives each peer a connection of its own to the service.
func toService(service string) sink {
	return func(ctx context.Context, c *node.Conn) pipe.Traffic {
		d := net.Dialer{Timeout: forward.DialTimeout}
		local, err := d.DialContext(ctx, "tcp", service)
		if err != nil {
			pipe.Leave(c) // the peer reads a clean end
			return pipe.Traffic{Err: fmt.Errorf("the service does not answer: %w", err)}
		}
		tcp := local.(*net.TCPConn)
		stop := context.AfterFunc(ctx, func() { _ = tcp.Close() })
		defer stop()
		return pipe.Join(c, tcp)
	}
}
