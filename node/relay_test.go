package node_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/node/link"
	"github.com/sallyport-net/sallyport/node/relay"
)

// tap passes connections on to a server, and keeps what passes.
type tap struct {
	net.Listener
	mu     sync.Mutex
	passed bytes.Buffer
}

func (p *tap) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.passed.Write(b)
}

func startTap(t *testing.T, to string) *tap {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &tap{Listener: l}
	var work sync.WaitGroup
	t.Cleanup(func() { _ = l.Close(); work.Wait() })
	work.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
				work.Go(func() {
					_, _ = io.Copy(io.MultiWriter(p, way[1]), way[0]) // kept before it passes
					_ = in.Close()
					_ = out.Close()
				})
			}
		}
	})
	return p
}

// relayPair is a caller that has nothing but a relay, and a callee, on loopback.
func relayPair(t *testing.T, place relay.Place) (a, b *node.Node) {
	t.Helper()
	cfg := local(t)
	cfg.HoldOn = time.Second
	cfg.MachineID = "samemachine" // whom loopback addresses may be named to
	b = start(t, cfg)
	cfg.Strategies, cfg.Relays = []node.Strategy{node.Relay}, []relay.Place{place}
	return start(t, cfg), b
}

func startRelay(t *testing.T, private bool) *relay.Server {
	t.Helper()
	s, err := relay.NewServer(relay.ServerConfig{Listen: "127.0.0.1:0", Secret: relaySecret, AllowPrivate: private})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// What a relay sees is TLS, and both ends, half-closed and closed, reach the
// other side.
func TestRelaySeesCiphertextOnly(t *testing.T) {
	s := startRelay(t, true)
	wire := startTap(t, s.Addr().String())
	a, b := relayPair(t, relay.Place{Host: wire.Addr().String(), Secret: relaySecret})
	accepted := accepting(t, b)
	c, err := a.Connect(shortly(t), b.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if c.Via() != node.Relay {
		t.Errorf("via %s", c.Via())
	}
	words := strings.Repeat("the words of the application ", 4000)
	if _, err := io.WriteString(c, words); err != nil {
		t.Fatal(err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	peer := (<-accepted).(*node.Conn)
	defer peer.Close()
	if got, err := io.ReadAll(peer); err != nil || string(got) != words {
		t.Fatalf("%d bytes came, error %v", len(got), err)
	}
	if _, err := io.WriteString(peer, words); err != nil { // the other half is open
		t.Fatal(err)
	}
	if err := peer.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(c); err != nil || string(got) != words {
		t.Fatalf("%d bytes came back, error %v", len(got), err)
	}
	wire.mu.Lock()
	defer wire.mu.Unlock()
	seen := wire.passed.Bytes()
	if len(seen) < 2*len(words) || !bytes.Contains(seen, []byte{0x17, 3, 3}) {
		t.Errorf("%d bytes went through the relay, which are not TLS", len(seen))
	}
	if bytes.Contains(seen, []byte("words")) {
		t.Error("the relay saw what the application said")
	}
}

// A link that is cut at the relay is an error and no end; what the relay held
// is given back.
func TestRelayCut(t *testing.T) {
	s := startRelay(t, true)
	a, b := relayPair(t, relay.Place{Host: s.Addr().String(), Secret: relaySecret})
	accepted := accepting(t, b)
	c, err := a.Connect(shortly(t), b.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "x"); err != nil {
		t.Fatal(err)
	}
	peer := <-accepted
	defer peer.Close()
	if _, err := io.ReadFull(peer, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	for _, end := range []net.Conn{c, peer} {
		_ = end.SetReadDeadline(time.Now().Add(time.Minute))
		_, err := end.Read(make([]byte, 1))
		var timeout net.Error
		if err == nil || err == io.EOF || errors.As(err, &timeout) && timeout.Timeout() {
			t.Errorf("read gave %v, want an error such as %v", err, link.ErrCut)
		}
	}
}

// An allocation lasts no longer than the connection.
func TestRelayIsGivenBack(t *testing.T) {
	s := startRelay(t, true)
	a, b := relayPair(t, relay.Place{Host: s.Addr().String(), Secret: relaySecret})
	accepting(t, b)
	c, err := a.Connect(shortly(t), b.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if s.Allocations() != 1 {
		t.Errorf("%d allocations", s.Allocations())
	}
	_ = c.Close()
	for deadline := time.Now().Add(time.Minute); s.Allocations() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the allocation stays")
		}
	}
}

// A node goes to no relay on its own machine because somebody elsewhere says
// so: neither to the endpoint there nor to the relay that is lent.
func TestLentRelayIsVetted(t *testing.T) {
	t.Parallel()
	s := startRelay(t, true)
	a, _ := relayPair(t, relay.Place{Host: s.Addr().String(), Secret: relaySecret})
	cfg := local(t)
	cfg.MachineID = "another"
	b := start(t, cfg)
	accepting(t, b)
	calls := uint64(0)
	for within := 3 * time.Second; ; within *= 2 {
		calls++
		ctx, cancel := context.WithTimeout(context.Background(), within)
		c, err := a.Connect(ctx, b.Addr().String())
		cancel()
		if err == nil {
			t.Fatalf("connected with %v", c.RemoteAddr())
		}
		if s.Stats().Allocated > 0 || within > 20*time.Second { // else the caller was not there so soon
			break
		}
	}
	if n := s.Stats().Allocated; n == 0 || n > calls {
		t.Errorf("%d allocations were made in %d calls, one of them in each by the caller", n, calls)
	}
}

// A relay of the callee's will do.
func TestRelayOfTheCallee(t *testing.T) {
	s := startRelay(t, true)
	cfg := local(t)
	cfg.MachineID = "samemachine"
	cfg.Strategies = []node.Strategy{node.Relay}
	a := start(t, cfg)
	cfg = local(t)
	cfg.MachineID = "samemachine"
	cfg.Relays = []relay.Place{{Host: s.Addr().String(), Secret: relaySecret}}
	b := start(t, cfg)
	accepting(t, b)
	c, err := a.Connect(shortly(t), b.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if c.Via() != node.Relay || s.Allocations() != 1 {
		t.Errorf("via %s, with %d allocations", c.Via(), s.Allocations())
	}
	_ = c.Close()
	for deadline := time.Now().Add(time.Minute); s.Allocations() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the allocation stays")
		}
	}
}

// What the relay says no to is said, with a hint.
func TestRelayRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		place relay.Place
		want  string
	}{
		"private": {relay.Place{Host: startRelay(t, false).Addr().String(), Secret: relaySecret}, "does not relay there"},
		"secret":  {relay.Place{Host: startRelay(t, true).Addr().String(), Secret: "wrong"}, "refused the credentials"},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := relayPair(t, c.place)
			accepting(t, b)
			_, err := a.Connect(shortly(t), b.Addr().String())
			var failed *node.ConnectError
			if !errors.As(err, &failed) || !strings.Contains(err.Error(), c.want) || !strings.Contains(failed.Hint(), "--turn") {
				t.Errorf("error %v", err)
			}
		})
	}
}
