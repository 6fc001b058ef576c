package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/control"
	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/forward"
	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/node/api"
)

func newStatus(a *app) *cobra.Command {
	var open bool
	var end string
	c := &cobra.Command{
		Use:   "status",
		Short: "Say how the node in the background is",
		Long: `Say how the node that "sallyport up" has started is: its address, what the NATs
on its way out do, its brokers, its sessions with peers, and what it forwards and
relays. Exit status 1 where none runs.`,
		Example: `  sallyport status
  sallyport status --end f1   end the forward of that name
  sallyport status --open     print a link that opens the node's page once
  sallyport status --json`,
		Args: nothingElse,
		RunE: func(c *cobra.Command, _ []string) error {
			up := a.background(&nodeFlags{})
			if up == nil {
				return failed(nil, `try "sallyport up"`, "no node runs in the background")
			}
			if end != "" {
				return a.endForward(c.Context(), up, end)
			}
			st, err := up.Status(c.Context())
			if err != nil {
				return err
			}
			files, err := upPaths()
			if err != nil {
				return err
			}
			e := statusEvent{Event: "status", Status: st, Socket: files.socket, TokenFile: files.token, Log: files.log}
			if open {
				if e.Link, err = up.Link(c.Context()); err != nil {
					return err
				}
			}
			if a.json {
				emit(a.out, e)
				return nil
			}
			e.print(a.out)
			return nil
		},
	}
	c.Flags().BoolVar(&open, "open", false, "print a link that opens the node's page once")
	c.Flags().StringVar(&end, "end", "", "end the forward of this `NAME`, and say nothing else")
	c.Flags().BoolVar(&a.json, "json", false, "print one JSON object")
	c.Flags().BoolVarP(&a.verbose, "verbose", "v", false, "show the causes of errors")
	return c
}

// endForward ends what another command has the node forward.
func (a *app) endForward(ctx context.Context, up *control.Client, name string) error {
	ctx, cancel := context.WithTimeout(ctx, control.AnswerTime)
	defer cancel()
	if err := up.Ask(ctx, http.MethodDelete, "/v1/forwards/"+url.PathEscape(name), nil, nil); err != nil {
		if f := explain(err); strings.HasPrefix(f.hint, "GET ") { // for clients of the API
			f.hint = `try "sallyport status", which lists them`
			return f
		}
		return err
	}
	if a.json {
		emit(a.out, forwardEndedEvent{"ended", name})
	}
	a.say("The forward %s has ended.", name)
	return nil
}

type forwardEndedEvent struct {
	Event string `json:"event"`
	Name  string `json:"name"`
}

// statusEvent is the API's status, and where the node keeps its things.
type statusEvent struct {
	Event string `json:"event"`
	api.Status
	Socket    string `json:"socket"`
	TokenFile string `json:"token_file"`
	Log       string `json:"log"`
	Link      string `json:"link,omitempty"`
}

// print is for people.
func (e statusEvent) print(w io.Writer) {
	var b strings.Builder
	fmt.Fprintf(&b, "Running: process %d, for %v\n", e.PID, time.Since(e.Since).Round(time.Second))
	fmt.Fprintf(&b, "Address: %s\n", e.Address.Address)
	if e.Address.Compact != "" {
		fmt.Fprintf(&b, "Compact: %s\n", e.Address.Compact)
	}
	fmt.Fprintf(&b, "NAT:     %s\n", e.Verdict)
	for _, i := range e.Interfaces {
		fmt.Fprintf(&b, "         %s, %s: %s", i.Interface, i.Local, i.Type)
		if i.Mapped != "" {
			fmt.Fprintf(&b, ", seen at %s", i.Mapped)
		}
		fmt.Fprintln(&b)
	}
	for _, k := range e.Brokers {
		state := "open"
		if k.RTTMS > 0 {
			state += fmt.Sprintf(", round trip %.0f ms", k.RTTMS)
		}
		if !k.Open {
			state = "not reached"
			if k.Error != "" {
				state += ": " + k.Error
			}
		}
		name := k.Endpoint
		if name == "" {
			name = k.Broker
		}
		fmt.Fprintf(&b, "Broker:  %s, %s\n", name, state)
	}
	if e.Health.STUN != "" {
		fmt.Fprintf(&b, "STUN:    no server answers: %s\n", e.Health.STUN)
	}
	for _, s := range e.Sessions {
		fmt.Fprintf(&b, "Session: %s at %s", s.Peer, s.Remote)
		if s.Via != "" {
			fmt.Fprintf(&b, ", %s", viaWords(node.Strategy(s.Via), s.By))
		}
		if !s.Ours {
			fmt.Fprint(&b, ", called by the peer")
		}
		if !s.Alive {
			fmt.Fprint(&b, ", path lost: another is looked for")
		}
		fmt.Fprintf(&b, "; %s came, %s went, for %v\n", megabytes(int64(s.Received)), megabytes(int64(s.Sent)), time.Since(s.Since).Round(time.Second))
	}
	if len(e.Sessions) == 0 {
		fmt.Fprintln(&b, "Session: none")
	}
	for _, f := range e.Forwards {
		printForward(&b, f)
	}
	printRelaying(&b, e.Relaying)
	switch {
	case e.Link != "":
		fmt.Fprintf(&b, "Page:    %s\n", e.Link)
	case e.URL != "":
		fmt.Fprintf(&b, "Page:    %s (\"sallyport status --open\" gives a link)\n", e.URL)
	}
	fmt.Fprintf(&b, "Socket:  %s\nToken:   %s\nLog:     %s\n", e.Socket, e.TokenFile, e.Log)
	_, _ = io.WriteString(w, b.String())
}

// printForward has a line for each port.
func printForward(b *strings.Builder, f api.ForwardState) {
	peer := f.Peer
	if key, err := address.ParseKey(f.Peer); err == nil {
		peer = key.Short()
	}
	for _, one := range f.Forwards {
		s, err := forward.OfAPI(one)
		if err != nil {
			continue // of a version that knows more
		}
		fmt.Fprintf(b, "Forward: %s, %v %s to %s; %s open, for %v\n", f.Name, s.Bind, s.Where(peer), s.What(peer),
			plural(f.Open, "connection"), time.Since(f.Since).Round(time.Second))
	}
}

// printRelaying says what the node relays, where it does.
func printRelaying(b *strings.Builder, r api.Relaying) {
	if r.For == "nobody" || r.For == "" {
		return
	}
	who := map[string]string{"everyone": "everyone", "listed": "those of --relay-for"}[r.For]
	fmt.Fprintf(b, "Relays:  for %s; %s now, %d so far; %s there, %s back", who, plural(len(r.Circuits), "circuit"), r.Carried,
		megabytes(int64(r.There)), megabytes(int64(r.Back)))
	var no []string
	for _, d := range []struct {
		n    uint64
		what string
	}{
		{r.Declined.Refused, "not relayed for"}, {r.Declined.Busy, "over a quota"},
		{r.Declined.Absent, "no way to the peer"}, {r.Declined.Unsupported, "without a request"},
	} {
		if d.n > 0 {
			no = append(no, fmt.Sprintf("%d %s", d.n, d.what))
		}
	}
	if len(no) > 0 {
		fmt.Fprintf(b, "; turned away: %s", strings.Join(no, ", "))
	}
	fmt.Fprintln(b)
	for _, c := range r.Circuits {
		fmt.Fprintf(b, "Circuit: %s to %s; %s there, %s back, for %v\n", c.Caller, c.Callee,
			megabytes(int64(c.There)), megabytes(int64(c.Back)), time.Since(c.Since).Round(time.Second))
	}
}
