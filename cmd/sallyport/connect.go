package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/pipe"
)

func newConnect(a *app) *cobra.Command {
	var f nodeFlags
	c := &cobra.Command{
		Use:   "connect TARGET",
		Short: "Join standard input and output to a peer",
		Long: `Connect standard input and output to a peer. TARGET is an address as
"sallyport node" prints it, in either form, a bare node id, a nickname or a
contact.

The end of standard input is told to the peer, which may go on sending; when it
has ended too, connect exits with status 0. At a terminal, connect ends with the
peer. Where "sallyport up" has a node in the background, that one connects, unless
a flag says how a node is to be. With --json, events go to standard error:
connected, path (lost, back or moved), failed.`,
		Example: `  sallyport connect ADDRESS
  tar c photos | sallyport connect ADDRESS
  ssh -o ProxyCommand='sallyport connect ADDRESS' user@host`,
		Args: oneTarget,
	}
	f.register(a, c)
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := f.settle(a, c); err != nil {
			return err
		}
		call, err := a.reach(c.Context(), &f, args[0], false)
		if err != nil {
			return err
		}
		return call.talk(c.Context())
	}
	return c
}

// inFlight is how long a write takes at most to fail on a connection that the
// peer has closed.
const inFlight = 100 * time.Millisecond

// talk joins standard input and output to the peer until both have ended.
//
// When ctx ends, the peer is told that it was cut short.
func (c *call) talk(ctx context.Context) error {
	sent := make(chan error, 1)
	heard := make(chan error, 1)
	closed := make(chan struct{})
	// Neither goroutine can be waited for: a Read of standard input can't be
	// interrupted. They end with the process.
	go func() {
		_, err := pipe.Copy(c.conn, c.app.in)
		if err == nil {
			err = c.conn.CloseWrite()
		}
		sent <- err
	}()
	go func() {
		err := c.admitted()
		if err == nil {
			_, err = pipe.Copy(c.app.out, c.conn)
		}
		heard <- err
		if err == nil {
			c.conn.WaitClosed()
			close(closed)
		}
	}()

	var unsent error // what kept us from sending all
	for sending, hearing := true, true; sending || hearing; {
		select {
		case unsent = <-sent:
			sending = false
		case err := <-heard:
			if err != nil {
				return explainCut(err)
			}
			hearing = false
			if c.app.interactive() {
				sending = false // the peer has hung up
			}
		case <-closed:
			// It takes no more. Where more was on the way, that shows soon.
			select {
			case unsent = <-sent:
			case <-time.After(inFlight):
			}
			sending = false
		case <-ctx.Done():
			_ = c.conn.Reset()
			return ctx.Err()
		}
	}
	c.close()
	if unsent != nil {
		return explainCut(unsent)
	}
	return nil
}

// explainCut puts the end of a connection that was no orderly one into words.
func explainCut(err error) error {
	var w pipe.WriteError
	var f *failure
	switch {
	case errors.As(err, &f):
		return err
	case errors.As(err, &w):
		return failed(err, "look what the peer's side says", "the peer closed the connection before all was sent")
	}
	if f := explain(err); f.status != statusFailed || f.hint != "" {
		return f
	}
	return failed(err, "try again", "%s", pipe.Plainly(err))
}
