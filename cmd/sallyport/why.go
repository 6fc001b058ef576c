package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport-net/sallyport/node"
)

func newWhy(a *app) *cobra.Command {
	var f nodeFlags
	c := &cobra.Command{
		Use:   "why TARGET",
		Short: "Say why a connection to a peer works, or does not",
		Long: `Connect to a peer and show every step on the way: the name, our networks, STUN,
the brokers, the signal to the peer, the plan of the punch, each way to connect,
and whether the peer admits us. Where it stops, it says which one change would
help. TARGET is an address in either form, a bare node id, a nickname or a
contact. With -v, the whole course follows with its times.

The exit status is 0 where a connection is possible, and otherwise that which
"sallyport connect" would have. With --json, standard output is one object: why.`,
		Example: `  sallyport why ADDRESS
  sallyport why --strategies punch ADDRESS     would it work by hole punching?
  sallyport why --json bob`,
		Args: oneTarget,
	}
	f.register(a, c)
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := f.settle(a, c); err != nil {
			return err
		}
		e, err := a.investigate(c.Context(), &f, args[0])
		if err != nil {
			return err
		}
		d := diagnose(e)
		if a.json {
			emit(a.out, d)
		} else {
			d.print(a.out, a.verbose)
		}
		if !d.Possible {
			return exited(d.Status)
		}
		return nil
	}
	return c
}

// investigate tries to connect, and gathers what shows on the way. Its error is
// that of a command line or an interruption; what keeps one from the peer is in
// the evidence.
func (a *app) investigate(ctx context.Context, f *nodeFlags, target string) (evidence, error) {
	e := evidence{target: target}
	r, err := a.resolver(f)
	if err != nil {
		return e, err
	}
	stop := a.tellIdle(fmt.Sprintf("Still looking for %q.", target))
	e.found, err = r.Resolve(ctx, target)
	stop()
	if err == nil && e.found.Address.Foreign != "" {
		err = &node.ErrForeign{ID: e.found.Address.Foreign}
	}
	if err != nil {
		if ctx.Err() != nil {
			return e, ctx.Err()
		}
		e.naming = explain(unknownTarget(target, err))
		return e, nil
	}
	a.tellResolved(e.found)
	peer := e.found.Address
	cfg, err := a.callerConfig(ctx, f, peer)
	if err != nil {
		return e, err
	}
	story := newNarrator(&app{err: io.Discard}) // the course is told at the end
	cfg.Logger = slog.New(story)
	waited, ended := make(chan struct{}), make(chan struct{})
	begun := time.Now()
	go func() {
		defer close(waited)
		a.tellWaiting(ended, begun, f.timeout, peer, story.story)
	}()
	defer func() { close(ended); <-waited }()
	n, err := a.startNode(ctx, cfg, !f.portAsked)
	if err != nil {
		return e, err
	}
	defer n.Close()
	conn, err := n.Ping(ctx, peer)
	if ctx.Err() != nil {
		return e, ctx.Err()
	}
	e.brokers, e.strategies, e.reports = cfg.Brokers, cfg.Strategies, n.Reports()
	e.broker, e.stun = n.Health()
	if err != nil {
		e.err, e.failure = err, explain(a.explainCall(n, err))
		if ce, ok := err.(*node.ConnectError); ok {
			e.timeline = ce.Timeline
		}
		return e, nil
	}
	defer conn.Close()
	e.via, e.by, e.remote, e.took, e.timeline = conn.Via(), id(conn.By()), conn.RemoteAddr().String(), conn.Took(), conn.Timeline()
	_ = conn.SetReadDeadline(time.Now().Add(verdictWait))
	if e.err = conn.Verdict(); e.err != nil {
		e.failure = explain(explainCut(e.err))
	}
	return e, nil
}

// print shows the verdict first, then the steps, and what would help.
func (d diagnosis) print(w io.Writer, timeline bool) {
	var b strings.Builder
	fmt.Fprintln(&b, d.Verdict)
	if d.Stops != "" {
		fmt.Fprintf(&b, "It stops at: %s.\n", d.Stops)
	}
	if d.Hint != "" {
		fmt.Fprintf(&b, "What would help: %s.\n", strings.TrimSuffix(d.Hint, "."))
	}
	b.WriteString("\n")
	for _, s := range d.Steps {
		mark := map[stepState]string{stepOK: "ok", stepFailed: "FAILED", stepSkipped: "-"}[s.State]
		fmt.Fprintf(&b, "  %-9s  %-6s  %s\n", s.Step, mark, strings.ReplaceAll(s.What, "\n", "; "))
	}
	if timeline && len(d.Timeline) > 0 {
		b.WriteString("\n")
		for _, m := range d.Timeline {
			fmt.Fprintf(&b, "%9.1f ms  %-8s %s\n", m.MS, m.Strategy, strings.ReplaceAll(m.What, "\n", "; "))
		}
	}
	_, _ = io.WriteString(w, b.String())
}
