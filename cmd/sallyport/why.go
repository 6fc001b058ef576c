package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/control"
	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/node/api"
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

Where "sallyport up" has a node in the background, that one calls, even where it has
a session with the peer, unless a flag says how a node is to be.

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
		d, err := a.investigate(c.Context(), &f, args[0])
		if err != nil {
			return err
		}
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

// investigate finds out what stands between a peer and the node in the background,
// or one of our own. Its error is that of a command line or an interruption; what
// keeps one from the peer is in the diagnosis.
func (a *app) investigate(ctx context.Context, f *nodeFlags, target string) (diagnosis, error) {
	e := evidence{target: target}
	r, err := a.resolver(f)
	if err != nil {
		return diagnosis{}, err
	}
	stop := a.tellIdle(fmt.Sprintf("Still looking for %q.", target))
	e.found, err = r.Resolve(ctx, target)
	stop()
	if err == nil && e.found.Address.Foreign != "" {
		err = &node.ErrForeign{ID: e.found.Address.Foreign}
	}
	if err != nil {
		if ctx.Err() != nil {
			return diagnosis{}, ctx.Err()
		}
		e.naming = explain(unknownTarget(target, err))
		return diagnose(e), nil
	}
	a.tellResolved(e.found)
	if up := a.background(f); up != nil {
		st, err := up.Status(ctx)
		if err != nil {
			return diagnosis{}, err
		}
		if e.found.Address.Key.String() != st.Address.ID {
			a.tellBackground(st.PID)
			return a.investigateThrough(ctx, up, f, e)
		}
	}
	cfg, err := a.callerConfig(ctx, f, e.found.Address)
	if err != nil {
		return diagnosis{}, err
	}
	story := newNarrator(&app{err: io.Discard}) // the course is told at the end
	cfg.Logger = slog.New(story)
	defer a.tellWaiting(f.timeout, e.found.Address, story.story)()
	n, err := a.startNode(ctx, cfg, !f.portAsked)
	if err != nil {
		return diagnosis{}, err
	}
	defer n.Close()
	e.brokers, e.strategies = cfg.Brokers, cfg.Strategies
	if err := e.attempt(ctx, a, n, (*node.Node).Ping); err != nil {
		return diagnosis{}, err
	}
	return diagnose(e), nil
}

// investigateThrough has the node in the background call the peer. Who that is was
// found out here.
func (a *app) investigateThrough(ctx context.Context, up *control.Client, f *nodeFlags, e evidence) (diagnosis, error) {
	quiet := *a
	quiet.verbose = false // the course is told at the end
	stop, err := quiet.tellCall(ctx, up, f, e.found.Address)
	if err != nil {
		return diagnosis{}, err
	}
	defer stop()
	var d diagnosis
	if err := up.Ask(ctx, http.MethodPost, "/v1/why", api.Why{Target: e.found.Address.String(), TimeoutMS: patienceOf(f)}, &d); err != nil {
		return d, err
	}
	d.Target = e.target
	if len(d.Steps) > 0 && d.Steps[0].Step == "name" {
		d.Steps[0] = e.nameStep()
	}
	return d, nil
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
		mark := map[string]string{stepOK: "ok", stepFailed: "FAILED", stepSkipped: "-"}[s.State]
		fmt.Fprintf(&b, "  %-9s  %-6s  %s\n", s.Step, mark, strings.ReplaceAll(s.What, "\n", "; "))
	}
	if timeline && len(d.Timeline) > 0 {
		b.WriteString("\n")
		for _, m := range d.Timeline {
			fmt.Fprintf(&b, "%9.1f ms  %-8s %s\n", m.MS, m.Strategy, inFull(m.What, m.Error))
		}
	}
	_, _ = io.WriteString(w, b.String())
}
