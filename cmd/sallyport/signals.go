package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
)

// signalled is why a context ended: the signal that asked for it.
type signalled struct{ os.Signal }

func (s signalled) Error() string { return "ended by signal: " + s.String() }

func (s signalled) status() int {
	if s.Signal == os.Interrupt {
		return statusInterrupted
	}
	return statusTerminated
}

// withSignals gives a context that SIGINT and SIGTERM end. A second signal ends
// the process at once, should the orderly way take too long.
func withSignals(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		defer close(done)
		first := true
		for s := range signals {
			if !first {
				os.Exit(signalled{s}.status())
			}
			cancel(signalled{s})
			first = false
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(signals)
		<-done
		cancel(nil)
	}
}

// daemonEnd is the result of a command that runs until it is told to end:
// SIGTERM is how that is done, so it is no failure; ^C is 130 as anywhere.
func daemonEnd(ctx context.Context) error {
	var s signalled
	if errors.As(context.Cause(ctx), &s) && s.Signal == syscall.SIGTERM {
		return nil
	}
	return ctx.Err()
}
