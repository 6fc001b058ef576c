package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/program"
	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/stage"
	"github.com/sallyport-net/sallyport/nat/natlab"
)

// demoTime bounds the whole demonstration.
const demoTime = 60 * time.Second

type demo struct{ *app }

func newDemo(a *app) *cobra.Command {
	d := &demo{a}
	loopback := false
	c := &cobra.Command{
		Use:   "demo",
		Short: "See two nodes behind two NATs connect, offline",
		Long: `Show, in one command and offline, how two nodes behind two different NATs find
each other and connect. The NATs are simulated, as by "sallyport lab"; where the
system allows no laboratory, the nodes meet on loopback, without NATs.

With --json, one object per line for each chapter: hosts, servers, reports, ready,
connected, echo.`,
		Example: `  sallyport demo`,
		Args:    nothingElse,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(c.Context(), demoTime)
			defer cancel()
			return d.run(ctx, loopback)
		},
	}
	c.Flags().BoolVar(&loopback, "loopback", false, "do without the laboratory")
	c.Flags().BoolVar(&a.json, "json", false, "one JSON object per line")
	c.Flags().BoolVarP(&a.verbose, "verbose", "v", false, "show the causes of errors")
	return c
}

// tell prints one paragraph of the story.
func (d *demo) tell(format string, args ...any) {
	if !d.json {
		fmt.Fprintf(d.out, format+"\n", args...)
	}
}

// event prints one chapter of it, for programs.
func (d *demo) event(e any) {
	if d.json {
		emit(d.out, e)
	}
}

type hostsEvent struct {
	Event string        `json:"event"`
	Hosts []stage.Sight `json:"hosts"`
	// Loopback says that there are no NATs, and Why that there could not be.
	Loopback bool   `json:"loopback"`
	Why      string `json:"why,omitempty"`
}

type reportsEvent struct {
	Event   string       `json:"event"`
	Reports []hostReport `json:"reports"`
}

// hostReport is what sallyport nat --json says on a host.
type hostReport struct {
	Host   string          `json:"host"`
	Report json.RawMessage `json:"report"`
}

type echoEvent struct {
	Event string  `json:"event"`
	Text  string  `json:"text"`
	MS    float64 `json:"ms"`
}

func (d *demo) run(ctx context.Context, loopback bool) error {
	if !loopback {
		natlab.Main() // does not return where it has to run this program again
	}
	hosts := hostsEvent{Event: "hosts", Loopback: loopback}
	if err := natlab.Available(); err != nil && !loopback {
		hosts.Loopback, hosts.Why = true, err.Error()
	}
	s, err := d.build(hosts)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.Serve(ctx, io.Discard); err != nil {
		return explainStage(err)
	}
	hosts.Hosts = s.Sights()
	d.event(hosts)
	d.event(servedEvent{"servers", s.Places()})
	d.tell("\nA broker, over which they find each other, and a STUN server, which tells them\nwhat their NATs do: sallyport serve")
	d.tell("  %s", s.Places().Flags)

	if err := d.reports(ctx, s); err != nil {
		return err
	}
	return d.meet(ctx, s.Machine("alice"), s.Machine("bob"))
}

// build sets the stage: two machines, with a NAT for each if possible.
func (d *demo) build(hosts hostsEvent) (*stage.Stage, error) {
	cfg := stage.Config{Apart: program.Apart}
	if hosts.Loopback {
		cfg.Loopback = loopbackName()
	}
	s, err := stage.New(cfg)
	if err != nil {
		return nil, explainStage(err)
	}
	if hosts.Loopback {
		if hosts.Why == "" {
			d.tell("Two nodes on loopback, without NATs.")
		} else {
			d.tell("Two nodes on loopback, without NATs: the laboratory can't run here\n(%s).", hosts.Why)
		}
		for _, name := range []string{"alice", "bob"} {
			if err := s.Add(name); err != nil {
				s.Close()
				return nil, explainStage(err)
			}
		}
		return s, nil
	}
	d.tell(`Two machines on an internet that exists in this process only, each 20 ms away:
  alice, behind a home router (port-restricted)
  bob, behind a symmetric NAT, which takes another port for every peer (+1)`)
	for _, spec := range []string{"alice:port-restricted", "bob:symmetric+1"} {
		h, err := stage.ParseHost(spec, 20*time.Millisecond)
		if err == nil {
			err = s.AddHost(h)
		}
		if err != nil {
			s.Close()
			return nil, explainStage(err)
		}
	}
	return s, nil
}

// reports has both machines find out about their NATs.
func (d *demo) reports(ctx context.Context, s *stage.Stage) error {
	names := []string{"alice", "bob"}
	outs := make([]string, len(names))
	errs := make([]error, len(names))
	var all sync.WaitGroup
	for n, name := range names {
		all.Go(func() {
			words := []string{"nat"}
			if d.json {
				words = append(words, "--json")
			}
			c, run := s.Machine(name).Command(ctx, "sallyport", words...)
			var out strings.Builder
			c.Stdout = &out
			errs[n] = run.Start()
			if errs[n] == nil {
				errs[n] = run.Wait()
			}
			outs[n] = out.String()
		})
	}
	all.Wait()
	told := reportsEvent{Event: "reports"}
	for n, name := range names {
		if errs[n] != nil {
			return failed(errs[n], demoHint, "%s's NAT report failed: %v", name, errs[n])
		}
		d.tell("\nWhat %s finds out about the way to the internet: sallyport nat\n%s", name, indented(outs[n]))
		told.Reports = append(told.Reports, hostReport{name, json.RawMessage(outs[n])})
	}
	d.event(told)
	return nil
}

func indented(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) != "" {
			b.WriteString("  " + line)
		}
	}
	return strings.TrimRight(b.String(), "\n")
}
