package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
)

func newNAT(a *app) *cobra.Command {
	var f nodeFlags
	var watch bool
	var every time.Duration
	c := &cobra.Command{
		Use:   "nat",
		Short: "Say what the NATs on the way to the internet do",
		Long: `Ask STUN servers what the NATs on the way to the internet do: the verdict
first, then the facts for each interface, then how sure they are. The router is
asked whether it would forward a port (by PCP, NAT-PMP and UPnP-IGD); nothing is
changed there, and no broker is asked. Where "sallyport up" has a node in the
background, that one asks, at most every 10 s, unless a flag says how a node is to
be. With --json, one object.

With --watch, ask again at every change of addresses and every --every, until
interrupted, and say only what has changed; with --json, the whole object then.`,
		Example: `  sallyport nat
  sallyport nat --interface eth0 --json
  sallyport nat --watch --every 10m
  sallyport nat --stun stun.example.org:3478`,
		Args: nothingElse,
	}
	f.register(a, c)
	c.Flags().BoolVar(&watch, "watch", false, "go on, and say what changes")
	c.Flags().DurationVar(&every, "every", 5*time.Minute, "with --watch, ask every `D`, at least 10s")
	c.RunE = func(c *cobra.Command, _ []string) error {
		switch {
		case every < leastEvery:
			return misused(fmt.Sprintf("try %v or more", leastEvery), "--every %v is too often", every)
		case c.Flags().Changed("every") && !watch:
			return misused("add --watch", "--every says how often --watch asks")
		}
		if err := f.settle(a, c); err != nil {
			return err
		}
		if err := checkInterfaces(f.interfaces); err != nil {
			return err
		}
		ask, err := a.surveyor(c.Context(), &f)
		if err != nil {
			return err
		}
		if watch {
			return watchNAT(c.Context(), a, &f, ask, every)
		}
		s, err := ask(c.Context())
		if err != nil {
			return err
		}
		if a.json {
			emit(a.out, s)
		} else {
			s.print(a.out, a.verbose)
		}
		if !s.answered() {
			return exited(statusNoNetwork)
		}
		return nil
	}
	return c
}

// surveyor gives what asks about every interface: the node in the background, or
// this process.
func (a *app) surveyor(ctx context.Context, f *nodeFlags) (func(context.Context) (*natSurvey, error), error) {
	up := a.background(f)
	if up == nil {
		return func(ctx context.Context) (*natSurvey, error) { return survey(ctx, f) }, nil
	}
	st, err := up.Status(ctx)
	if err != nil {
		return nil, err
	}
	a.tellBackground(st.PID)
	return func(ctx context.Context) (*natSurvey, error) { return a.surveyThrough(ctx, up) }, nil
}
