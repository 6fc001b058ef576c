package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport-net/sallyport/nat"
	"github.com/sallyport-net/sallyport/nat/portmap"
	"github.com/sallyport-net/sallyport/nat/probe"
	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/node/api"
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
changed there, and no broker is asked. With --json, one object.

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
	c.Flags().DurationVar(&every, "every", 5*time.Minute, "how often --watch asks, at least 10s")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := f.settle(a, c); err != nil {
			return err
		}
		if err := checkInterfaces(f.interfaces); err != nil {
			return err
		}
		if watch {
			return watchNAT(c.Context(), a, &f, max(every, 10*time.Second))
		}
		s, err := survey(c.Context(), &f)
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

// natSurvey is the report on all interfaces; its JSON is a promise.
type natSurvey struct {
	Verdict    string         `json:"verdict"`
	Sure       bool           `json:"sure"`
	TookMS     float64        `json:"took_ms"`
	Interfaces []natInterface `json:"interfaces"`
}

type natInterface struct {
	Interface  string       `json:"interface"`
	Family     string       `json:"family"`
	Local      netip.Addr   `json:"local"`
	External   string       `json:"external,omitempty"`
	Externals  []netip.Addr `json:"externals,omitempty"`
	NAT        bool         `json:"nat"`
	Type       string       `json:"type"`
	TypeCode   nat.Type     `json:"type_code"` // as in addresses
	Delta      api.Delta    `json:"delta"`
	Verdict    string       `json:"verdict"`
	Sure       bool         `json:"sure"`
	Confidence float64      `json:"confidence"`
	Guess      bool         `json:"guess"`
	TCP        api.Finding  `json:"tcp"`
	UDP        api.Finding  `json:"udp"`
	natSurroundings
	Router natRouter `json:"router"`
	TookMS float64   `json:"took_ms"`
	Error  string    `json:"error,omitempty"`

	report nat.Report
}

// survey asks about every interface at once.
func survey(ctx context.Context, f *nodeFlags) (*natSurvey, error) {
	places, err := node.Places(f.interfaces)
	if err != nil {
		return nil, err
	}
	if len(places) == 0 {
		return nil, &failure{status: statusNoNetwork, what: "there is no network interface with an address", hint: "try to connect this machine to a network"}
	}
	begun := time.Now()
	s := &natSurvey{Interfaces: make([]natInterface, len(places))}
	routers := make([]func(seen netip.Addr) natRouter, len(places))
	var all sync.WaitGroup
	for n, p := range places {
		all.Go(func() {
			o, err := portmap.Discover(ctx, portmap.Config{Local: p.Addr})
			routers[n] = func(seen netip.Addr) natRouter { return natRouterOf(o, err, p.Addr, seen) }
		})
		all.Go(func() {
			var cfg probe.Config
			cfg.Local, cfg.Control = p.Addr, p.Control
			if len(f.stun) > 0 {
				cfg.Servers, cfg.TCPServers = f.stun, f.stun
			}
			r, err := probe.Run(ctx, cfg)
			s.Interfaces[n] = natInterfaceOf(p, r, err)
		})
	}
	all.Wait()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	for n := range s.Interfaces {
		s.Interfaces[n].Router = routers[n](s.Interfaces[n].report.External)
	}
	s.TookMS = milliseconds(time.Since(begun))
	// The verdict is that of the best interface from which anybody answered.
	best := s.Interfaces[0]
	for _, i := range s.Interfaces {
		if i.Error == "" {
			best = i
			break
		}
	}
	s.Verdict, s.Sure = best.Verdict, best.Sure
	return s, nil
}

func natInterfaceOf(p node.Place, r nat.Report, err error) natInterface {
	i := natInterface{
		Interface: p.Interface, Family: "IPv4", Local: p.Addr, Externals: r.Externals,
		NAT: r.NATed(), Type: r.Type.String(), TypeCode: r.Type, Delta: api.DeltaOf(r.Delta),
		Verdict: nat.Verdict(r), Sure: r.Sure(), Confidence: r.Confidence, Guess: r.Guess,
		TCP: api.FindingOf(r.TCP), UDP: api.FindingOf(r.UDP), TookMS: milliseconds(r.Took), report: r,
	}
	i.natSurroundings = natSurroundingsOf(r)
	if p.Addr.Is6() {
		i.Family = "IPv6"
	}
	if r.External.IsValid() {
		i.External = r.External.String()
	}
	if err != nil {
		i.Error = err.Error()
		if errors.Is(err, probe.ErrNoServer) {
			i.Error = "no STUN server answered"
		}
	}
	return i
}

// answered reports whether any server did.
func (s *natSurvey) answered() bool {
	for _, i := range s.Interfaces {
		if i.TCP.Answered+i.UDP.Answered > 0 {
			return true
		}
	}
	return false
}

// print is for people: the verdict, the facts, how sure.
func (s *natSurvey) print(w io.Writer, verbose bool) {
	var b strings.Builder
	fmt.Fprintln(&b, s.Verdict)
	for _, i := range s.Interfaces {
		fmt.Fprintf(&b, "\n%s, %s, %s:\n", i.Interface, i.Family, i.Local)
		if i.Error != "" {
			fmt.Fprintf(&b, "  %s\n", i.Error)
			if verbose && i.report.Local.IsValid() {
				fmt.Fprintf(&b, "  %s\n", nat.Describe(i.report))
			}
			i.Router.print(&b)
			continue
		}
		seen := i.External
		if !i.NAT {
			seen += ", its own address"
		}
		fmt.Fprintf(&b, "  seen as   %s\n  type      %s\n", seen, i.Type)
		if i.report.Type.Translates() {
			fmt.Fprintf(&b, "  ports     %s\n", i.report.Delta)
		}
		printFinding(&b, i.TCP, "TCP", i.report.TCP.Delta)
		printFinding(&b, i.UDP, "UDP", i.report.UDP.Delta)
		i.natSurroundings.print(&b, i.Externals)
		i.Router.print(&b)
		sure := "not sure"
		if i.Sure {
			sure = "sure"
		}
		fmt.Fprintf(&b, "  %s: confidence %.0f %%, found out in %.1f s\n", sure, i.Confidence*100, i.TookMS/1000)
	}
	_, _ = io.WriteString(w, b.String())
}

func printFinding(b *strings.Builder, f api.Finding, transport string, d nat.Delta) {
	if f.Answered == 0 {
		fmt.Fprintf(b, "  %s       none of %s answered\n", transport, plural(f.Asked, "server"))
		return
	}
	fmt.Fprintf(b, "  %s       mapping %s, filtering %s, ports %s; %d of %s answered, round trip %.1f ms\n",
		transport, f.Mapping, f.Filtering, d, f.Answered, plural(f.Asked, "server"), f.RTTMS)
}
