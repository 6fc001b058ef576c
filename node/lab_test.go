package node_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/nat/natlab"
	"github.com/sallyport-net/sallyport/nat/natlab/natlabtest"
)

// link is the one-way delay of an access link in the lab; serverLink that of
// the server with broker and STUN. So peers are p = 40 ms apart, and s = 50 ms
// through the broker, as in docs/punching.md.
const (
	accessLink = 20 * time.Millisecond
	serverLink = 5 * time.Millisecond
	oneWayPath = 2 * accessLink
	oneWayVia  = 2*accessLink + 2*serverLink
)

// world is a lab with a server.
type world struct {
	t      testing.TB
	lab    *natlab.Lab
	server *natlab.Host
	serves *agent // the process on it
	broker string
	stun   []string
	// The same over IPv6, where the world has it.
	broker6 string
	stun6   []string
}

func newWorld(t testing.TB) *world { return newWorldOf(t, natlab.IPv4) }

// newWorldOf makes a world whose server has the address families of stack.
func newWorldOf(t testing.TB, stack natlab.Stack) *world {
	t.Helper()
	lab := natlabtest.New(t, natlab.Config{Seed: seedOf(t.Name())})
	w := &world{t: t, lab: lab}
	w.server = w.host("server", nil, func(c *natlab.HostConfig) { c.Addresses, c.Delay, c.Stack = 2, serverLink, stack })
	a := w.server.Addrs()
	r := role{}
	for _, addr := range a {
		r.Serve = append(r.Serve, addr.String())
	}
	w.serves = w.start(w.server, r)
	w.broker = "tcp://" + a[0].String() + ":1883"
	w.stun = []string{a[0].String() + ":3478", a[1].String() + ":3478"}
	if stack == natlab.DualStack {
		w.broker6 = "tcp://[" + a[2].String() + "]:1883"
		w.stun6 = []string{"[" + a[2].String() + "]:3478", "[" + a[3].String() + "]:3478"}
	}
	return w
}

// seedOf lets every test draw ports and losses of its own, and the same ones
// each time.
func seedOf(name string) uint64 {
	h := fnv.New64a()
	_, _ = io.WriteString(h, name)
	return h.Sum64()
}

// newKey makes a key for a node: as a role takes it, and as an id.
func newKey(t testing.TB) (secret, id string) {
	t.Helper()
	k, err := address.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", k.Bytes()), k.Public().String()
}

// host adds a host: behind box with no delay of its own, or with an access
// link on the internet where box is nil.
func (w *world) host(name string, box *natlab.Box, change ...func(*natlab.HostConfig)) *natlab.Host {
	w.t.Helper()
	cfg := natlab.HostConfig{Name: name, Behind: box}
	if box == nil {
		cfg.Delay = accessLink
	}
	for _, f := range change {
		f(&cfg)
	}
	h, err := w.lab.Host(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	return h
}

// behind adds a NAT with the usual access link, and a host behind it. A nil
// nat is a host on the internet.
func (w *world) behind(name string, nat *natlab.NAT) *natlab.Host {
	w.t.Helper()
	if nat == nil {
		return w.host(name, nil)
	}
	return w.host(name, w.nat(*nat))
}

func (w *world) nat(cfg natlab.NAT) *natlab.Box {
	w.t.Helper()
	if cfg.Delay == 0 && cfg.Behind == nil {
		cfg.Delay = accessLink
	}
	box, err := w.lab.NAT(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	return box
}

// agent is a process on a host.
type agent struct {
	t       testing.TB
	host    *natlab.Host
	in      io.WriteCloser
	replies chan reply
	Address string
	Health  string
	// end makes the process end, and waits for that. Without it the test's
	// cleanup does.
	end func()
}

// node starts a node on a host and waits until it is ready.
func (w *world) node(h *natlab.Host, change ...func(*role)) *agent {
	w.t.Helper()
	r := role{Brokers: []string{w.broker}, STUN: w.stun, Verbose: os.Getenv("SALLYPORT_TEST_VERBOSE") != ""}
	for _, f := range change {
		f(&r)
	}
	return w.start(h, r)
}

func (w *world) start(h *natlab.Host, r role) *agent {
	w.t.Helper()
	text, err := json.Marshal(r)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := h.Command(ctx, os.Args[0])
	// Under -race a process sleeps for a second at its end, unless told otherwise.
	race := strings.TrimSpace(os.Getenv("GORACE") + " atexit_sleep_ms=0")
	cmd.Env = append(os.Environ(), agentVariable+"="+string(text), "GORACE="+race)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	a := &agent{t: w.t, host: h, in: in, replies: make(chan reply)}
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer close(a.replies)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var r reply
			if json.Unmarshal(lines.Bytes(), &r) == nil {
				select {
				case a.replies <- r:
				case <-ctx.Done():
					return
				}
			}
		}
	}()
	a.end = sync.OnceFunc(func() {
		_ = in.Close() // the agent ends by itself, leaving nothing
		done := make(chan error, 1)
		go func() { <-read; done <- cmd.Wait() }()
		select {
		case err := <-done:
			if err != nil {
				w.t.Errorf("%s ended with %v", h.Name(), err)
			}
		case <-time.After(time.Minute):
			w.t.Errorf("%s does not end", h.Name())
			cancel()
			<-done
		}
		cancel()
	})
	w.t.Cleanup(a.end)
	ready := a.next(time.Minute)
	a.Address, a.Health = ready.Address, ready.Health
	return a
}

func (a *agent) next(within time.Duration) reply {
	a.t.Helper()
	select {
	case r, ok := <-a.replies:
		if !ok {
			a.t.Fatalf("%s has ended", a.host.Name())
		}
		return r
	case <-time.After(within):
		a.t.Fatalf("%s says nothing for %v", a.host.Name(), within)
	}
	return reply{}
}

// do gives an order and waits for the reply.
func (a *agent) do(o order) reply {
	a.t.Helper()
	b, err := json.Marshal(o)
	if err != nil {
		a.t.Fatal(err)
	}
	if _, err := fmt.Fprintf(a.in, "%s\n", b); err != nil {
		a.t.Fatalf("%s: %v", a.host.Name(), err)
	}
	return a.next(2 * time.Minute)
}

// mustConnect connects, sends size bytes there and back, and fails the test
// with the timeline where that does not work.
func (a *agent) mustConnect(target string, size int) reply {
	a.t.Helper()
	r := a.do(order{Connect: target, Bytes: size})
	if r.Error != "" {
		a.t.Fatalf("%s to %s: %s (hint: %s)\n%s", a.host.Name(), target, r.Error, r.Hint, strings.Join(r.Log, "\n"))
	}
	return r
}
