package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/pipe"
)

// pingTimeout is how long one round trip may take, a change of path included.
const pingTimeout = time.Minute

type ping struct {
	*app
	flags    nodeFlags
	count    int
	interval time.Duration
}

func newPing(a *app) *cobra.Command {
	p := &ping{app: a}
	c := &cobra.Command{
		Use:   "ping TARGET",
		Short: "Measure round trips to a peer, and show the path in use",
		Long: `Connect to a peer's node, which sends everything back, and measure round trips.
TARGET is an address in either form, a bare node id, a nickname or a contact.
Where "sallyport up" has a node in the background, that one connects, unless a flag
says how a node is to be. With --json, events go to standard error: connected,
path, pong, summary, failed.`,
		Example: `  sallyport ping ADDRESS
  sallyport ping --count 0 --interval 5s ADDRESS     until ^C`,
		Args: oneTarget,
	}
	p.flags.register(a, c)
	c.Flags().IntVarP(&p.count, "count", "c", 4, "stop after `N` round trips; 0 means never")
	c.Flags().DurationVarP(&p.interval, "interval", "i", time.Second, "time `D` between two round trips")
	c.RunE = func(c *cobra.Command, args []string) error {
		if p.count < 0 || p.interval < 0 {
			return misused("try --count 4 --interval 1s", "--count and --interval can't be negative")
		}
		if err := p.flags.settle(a, c); err != nil {
			return err
		}
		call, err := a.reach(c.Context(), &p.flags, args[0], true)
		if err != nil {
			return err
		}
		defer call.close()
		return p.run(c.Context(), call)
	}
	return c
}

func (p *ping) run(ctx context.Context, call *call) error {
	if err := call.admitted(); err != nil {
		return explainCut(err)
	}
	stop := context.AfterFunc(ctx, func() { _ = call.conn.Close() })
	defer stop()
	var trips trips
	defer func() { p.summarize(&trips) }()
	ticker := time.NewTicker(max(p.interval, time.Millisecond))
	defer ticker.Stop()
	for seq := 1; ; seq++ {
		trips.sent++
		rtt, err := roundTrip(call.conn, uint64(seq))
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return failed(err, "try again", "no answer to ping %d: %s", seq, pipe.Plainly(err))
		}
		trips.add(rtt)
		if p.json {
			emit(p.err, pongEvent{"pong", seq, milliseconds(rtt)})
		} else {
			fmt.Fprintf(p.out, "pong from %s: seq=%d time=%.2f ms %s\n", call.conn.Peer().Short(), seq, milliseconds(rtt), path(call.conn))
		}
		if seq == p.count {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// path is the one that a connection takes at present.
func path(c peerConn) string {
	way := fmt.Sprintf("via %s %s", c.Via(), c.RemoteAddr())
	if by := c.By(); !by.IsZero() {
		way += " by node " + by.Short()
	}
	return way
}

// roundTrip sends a number and waits for it.
func roundTrip(c peerConn, seq uint64) (time.Duration, error) {
	sent := binary.BigEndian.AppendUint64(nil, seq)
	begun := time.Now()
	if err := c.SetDeadline(begun.Add(pingTimeout)); err != nil {
		return 0, err
	}
	if _, err := c.Write(sent); err != nil {
		return 0, err
	}
	var back [8]byte
	if _, err := io.ReadFull(c, back[:]); err != nil {
		return 0, err
	}
	rtt := time.Since(begun)
	if got := binary.BigEndian.Uint64(back[:]); got != seq {
		return 0, fmt.Errorf("the peer sent back %d for %d", got, seq)
	}
	return rtt, nil
}

// trips sums up round trips.
type trips struct {
	sent, received int
	min, max, sum  time.Duration
}

func (t *trips) add(rtt time.Duration) {
	if t.received == 0 || rtt < t.min {
		t.min = rtt
	}
	t.max = max(t.max, rtt)
	t.sum += rtt
	t.received++
}

func (t *trips) average() time.Duration {
	if t.received == 0 {
		return 0
	}
	return t.sum / time.Duration(t.received)
}

func (p *ping) summarize(t *trips) {
	if p.json {
		emit(p.err, summaryEvent{"summary", t.sent, t.received, milliseconds(t.min), milliseconds(t.average()), milliseconds(t.max)})
		return
	}
	fmt.Fprintf(p.out, "%d sent, %d came back", t.sent, t.received)
	if t.received > 0 {
		fmt.Fprintf(p.out, "; round trip min/avg/max %.2f/%.2f/%.2f ms", milliseconds(t.min), milliseconds(t.average()), milliseconds(t.max))
	}
	fmt.Fprintln(p.out)
}

type pongEvent struct {
	Event string  `json:"event"`
	Seq   int     `json:"seq"`
	MS    float64 `json:"ms"`
}

type summaryEvent struct {
	Event    string  `json:"event"`
	Sent     int     `json:"sent"`
	Received int     `json:"received"`
	Min      float64 `json:"min"`
	Avg      float64 `json:"avg"`
	Max      float64 `json:"max"`
}
