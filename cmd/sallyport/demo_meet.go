package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/stage"
	"github.com/sallyport-net/sallyport/node"
)

// demoHint is for a demonstration that went wrong.
const demoHint = "try again, or do without NATs: sallyport demo --loopback"

const demoMessage = "Hello Alice, this is Bob."

// meet runs a node on one machine and connects to it from the other.
func (d *demo) meet(ctx context.Context, alice, bob *stage.Machine) error {
	ctx, cancel := context.WithCancel(ctx)
	var children sync.WaitGroup
	defer children.Wait()
	defer cancel()

	address, err := d.listen(ctx, &children, alice)
	if err != nil {
		return err
	}
	d.event(address)
	d.tell("\nAlice runs a node that sends back what arrives: sallyport node --echo")
	d.tell("  address %s\n  compact %s", address.Address, address.Compact)
	d.tell("\nBob calls it, and needs nothing but either of the two:")
	return d.call(ctx, bob, address.Compact)
}

// listen starts the node and waits until it is ready.
func (d *demo) listen(ctx context.Context, children *sync.WaitGroup, m *stage.Machine) (ready addressEvent, err error) {
	c, run := m.Command(ctx, "sallyport", "node", "--echo", "--json")
	out, err := c.StdoutPipe()
	if err != nil {
		return ready, err
	}
	if err := run.Start(); err != nil {
		return ready, failed(err, demoHint, "%s's node did not start: %v", m.Name(), err)
	}
	r := bufio.NewReader(out)
	line, err := r.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &ready)
	}
	children.Go(func() {
		_, _ = io.Copy(io.Discard, r) // ends with the process
		_ = run.Wait()
	})
	if err != nil {
		return ready, failed(err, demoHint, "%s's node did not get ready: %v", m.Name(), err)
	}
	return ready, nil
}

// call connects, says something, and tells of what happens as it happens.
func (d *demo) call(ctx context.Context, m *stage.Machine, target string) error {
	c, run := m.Command(ctx, "sallyport", "connect", "--json", "-v", target)
	in, err := c.StdinPipe()
	if err != nil {
		return err
	}
	out, err := c.StdoutPipe()
	if err != nil {
		return err
	}
	errs, err := c.StderrPipe()
	if err != nil {
		return err
	}
	if err := run.Start(); err != nil {
		return failed(err, demoHint, "%s's call did not start: %v", m.Name(), err)
	}
	connected := false
	var begun time.Time
	for lines := bufio.NewScanner(errs); !connected && lines.Scan(); {
		connected = d.retell(lines.Bytes())
	}
	var back string
	if connected {
		begun = time.Now()
		_, _ = io.WriteString(in, demoMessage+"\n")
		_ = in.Close()
		back, _ = bufio.NewReader(out).ReadString('\n')
	}
	took := time.Since(begun)
	_, _ = io.Copy(io.Discard, errs)
	if err := run.Wait(); err != nil || !connected {
		return failed(err, demoHint, "the call failed; the steps above tell how")
	}
	if back = strings.TrimSuffix(back, "\n"); back != demoMessage {
		return failed(nil, demoHint, "%q was sent, and %q came back", demoMessage, back)
	}
	d.event(echoEvent{"echo", back, milliseconds(took)})
	d.tell("\nBob says %q, and it is back after %.0f ms.\n", demoMessage, milliseconds(took))
	d.tell("That was TCP all the way, encrypted between the two, with no server in between.")
	return nil
}

// retell prints an event of connect --json -v for people, and reports whether
// the connection is there.
func (d *demo) retell(line []byte) bool {
	var e struct {
		Event, Strategy, What, Via, By, Remote, Peer string
		MS                                           float64
	}
	if json.Unmarshal(line, &e) != nil {
		return false
	}
	switch e.Event {
	case "step":
		d.tell("  %6.0f ms  %-8s %s", e.MS, e.Strategy, e.What)
	case "connected":
		d.event(connectedEvent{"connected", e.Via, e.Remote, e.Peer, e.MS, e.By})
		d.tell("\nConnected %s with %s after %.0f ms.", viaWords(node.Strategy(e.Via), e.By), e.Remote, e.MS)
		return true
	case "failed", "error":
		d.event(json.RawMessage(line))
		d.tell("  %s", fmt.Sprintf("failed: %s", line))
	}
	return false
}
