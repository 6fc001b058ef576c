package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport-net/sallyport/node"
)

// sink does with a connection what the node is for, and returns when that is
// over. When ctx ends, the connection is closed under it.
type sink func(ctx context.Context, c *node.Conn) traffic

// sinkFlags choose one.
type sinkFlags struct {
	echo    bool
	forward string
	exec    string
}

func (f *sinkFlags) register(c *cobra.Command) {
	c.Flags().BoolVar(&f.echo, "echo", false, "send back what arrives")
	c.Flags().StringVar(&f.forward, "forward", "", "connect each peer to the TCP service at `HOST:PORT`")
	c.Flags().StringVar(&f.exec, "exec", "", "run the shell command `CMD` for each peer")
}

// fromCommandLine sees to it that a sink on the command line is the only one,
// whatever the configuration file has.
func (f *sinkFlags) fromCommandLine(c *cobra.Command) error {
	fs := c.Flags()
	var named []string
	for _, name := range []string{"echo", "forward", "exec"} {
		if fs.Changed(name) {
			named = append(named, "--"+name)
		}
	}
	if len(named) > 1 {
		return misused("try one of them", "%s exclude each other", strings.Join(named, " and "))
	}
	if len(named) == 1 {
		for _, name := range []string{"echo", "forward", "exec"} {
			fs.Lookup(name).Changed = true
		}
	}
	return nil
}

// chosen reports whether one was.
func (f *sinkFlags) chosen() bool { return f.echo || f.forward != "" || f.exec != "" }

// sink gives the chosen one.
func (f *sinkFlags) sink(a *app) (sink, error) {
	if f.forward != "" && f.exec != "" || f.echo && f.forward+f.exec != "" {
		return nil, misused("try one of them", "echo, forward and exec exclude each other")
	}
	switch {
	case f.echo:
		return echo, nil
	case f.exec != "":
		return a.execute(f.exec), nil
	case f.forward != "":
		if err := checkHostPort(f.forward); err != nil {
			return nil, misused("try --forward 127.0.0.1:22", "--forward %q: %v", f.forward, err)
		}
		return forward(f.forward), nil
	}
	return newConsole(a).serve, nil
}

// echo sends everything back until the peer has ended.
func echo(_ context.Context, c *node.Conn) traffic {
	n, err := pump(c, c)
	if err == nil {
		leave(c)
	}
	return traffic{n, n, err}
}

// forwardTimeout bounds the dial to a service nearby.
const forwardTimeout = 10 * time.Second

// forward gives each peer a connection of its own to the service.
func forward(service string) sink {
	return func(ctx context.Context, c *node.Conn) traffic {
		d := net.Dialer{Timeout: forwardTimeout}
		local, err := d.DialContext(ctx, "tcp", service)
		if err != nil {
			leave(c) // the peer reads a clean end
			return traffic{err: fmt.Errorf("the service does not answer: %w", err)}
		}
		tcp := local.(*net.TCPConn)
		stop := context.AfterFunc(ctx, func() { _ = tcp.Close() })
		defer stop()
		return join(c, tcp)
	}
}

// plainly puts the errors that connections end with into words.
func plainly(err error) string {
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "the connection was cut"
	case errors.Is(err, syscall.ETIMEDOUT):
		return "the peer has vanished"
	case errors.Is(err, net.ErrClosed):
		return "the connection was closed"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "the service does not answer: connection refused"
	}
	return err.Error()
}
