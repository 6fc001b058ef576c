package node_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/node/link"
	"github.com/sallyport-net/sallyport/node/nodetest"
	"github.com/sallyport-net/sallyport/signaling"
)

// What nearly every test here begins with.
var (
	local     = nodetest.Config
	start     = nodetest.Start
	accepting = nodetest.Accept
)

func shortly(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func TestConnectByBareNodeID(t *testing.T) {
	cfg := local(t)
	b := start(t, cfg)
	accepted := accepting(t, b)
	// b is not where its key alone would lead, but both use the same broker.
	a := start(t, cfg)
	c, err := a.Connect(shortly(t), b.ID().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	peer := (<-accepted).(*node.Conn)
	defer peer.Close()
	if c.Peer() != b.ID() || peer.Peer() != a.ID() {
		t.Errorf("the proven keys are wrong")
	}
	if len(c.Timeline()) == 0 || c.Took() <= 0 || c.Via() != node.Direct {
		t.Errorf("via %q after %v, timeline %v", c.Via(), c.Took(), c.Timeline())
	}
}

// Whoever is not admitted learns it on the first read, and the application
// never sees the connection.
func TestRefusedPeer(t *testing.T) {
	cfg := local(t)
	friend := start(t, cfg)
	for name, admission := range map[string]signaling.Admission{
		"nobody": signaling.Nobody(), "others only": signaling.Only(friend.ID()),
	} {
		t.Run(name, func(t *testing.T) {
			mine := cfg
			mine.Admission = &admission
			b := start(t, mine)
			accepted := accepting(t, b)
			a := start(t, cfg)
			c, err := a.Connect(shortly(t), b.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, link.ErrRefused) {
				t.Errorf("read gave %v, want %v", err, link.ErrRefused)
			}
			if len(accepted) > 0 {
				t.Error("the application was handed a refused connection")
			}
			if name == "others only" {
				c, err := friend.Connect(shortly(t), b.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				(<-accepted).Close()
				if _, err := c.Read(make([]byte, 1)); err != io.EOF {
					t.Errorf("the listed node read %v, want EOF", err)
				}
			}
		})
	}
}

// A node that never accepts admits nobody, and to a stranger's signal it is
// silent: no ACK, no REFUSE, no address.
func TestSilenceTowardsStrangers(t *testing.T) {
	cfg := local(t)
	b := start(t, cfg)
	a := start(t, cfg)
	for within := 1500 * time.Millisecond; ; within *= 2 {
		ctx, cancel := context.WithTimeout(context.Background(), within)
		_, err := a.ConnectAddress(ctx, address.Address{Brokers: cfg.Brokers, Key: b.ID()})
		cancel()
		var none *signaling.NoAnswerError
		if errors.As(err, &none) && !none.Acked && errors.Is(err, node.ErrAbsent) {
			return
		}
		if err == nil || none != nil || within > 20*time.Second { // else it was not even asked so soon
			t.Fatalf("got %v", err)
		}
	}
}

func TestManyConnectionsSideBySide(t *testing.T) {
	cfg := local(t)
	b := start(t, cfg)
	accepted := accepting(t, b)
	a := start(t, cfg)
	for k := range 10 {
		c, err := a.Connect(shortly(t), b.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write([]byte{byte(k)}); err != nil {
			t.Fatal(err)
		}
		peer := <-accepted
		defer peer.Close()
		var got [1]byte
		if _, err := io.ReadFull(peer, got[:]); err != nil || got[0] != byte(k) {
			t.Fatalf("connection %d read %d, %v", k, got[0], err)
		}
	}
}

func TestPing(t *testing.T) {
	cfg := local(t)
	b := start(t, cfg)
	accepted := accepting(t, b)
	a := start(t, cfg)
	peer, err := address.Parse(b.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c, err := a.Ping(shortly(t), peer)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 4)
	if _, err := io.ReadFull(c, got); err != nil || string(got) != "ping" {
		t.Fatalf("got %q, %v", got, err)
	}
	if len(accepted) > 0 {
		t.Error("the application sees a ping")
	}
}

// A node without any network starts, says what is missing, and is usable on
// its LAN (here: on this machine).
func TestNoServerReachable(t *testing.T) {
	t.Parallel()
	cfg := node.Config{
		Brokers: []address.Broker{{URL: "tcp://127.0.0.1:1"}}, STUN: []string{"127.0.0.1:1"}, Interfaces: []string{"lo"},
	}
	begun := time.Now()
	b := start(t, cfg)
	if took := time.Since(begun); took > time.Minute {
		t.Errorf("starting took %v", took)
	}
	broker, stun := b.Health()
	if broker == nil || stun == nil {
		t.Errorf("the node claims to be well: broker %v, stun %v", broker, stun)
	}
	accepted := accepting(t, b)
	a := start(t, cfg)
	c, err := a.Connect(shortly(t), b.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	(<-accepted).Close()
}

func TestConnectRefusesBadTargets(t *testing.T) {
	a := start(t, local(t))
	for name, c := range map[string]struct{ target, want string }{
		"itself":     {a.Addr().String(), "own"},
		"foreign id": {"0,1-[1,0,8.8.8.8,192.168.21.21,58959,3,2,0]-0-zmUGXPOFxUBuToh-easdasd", "is not a key"},
		"nonsense":   {"hello", "address"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := a.Connect(shortly(t), c.target)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// A failed Connect names what every strategy met, and a change that helps.
func TestConnectErrorNamesEveryAttempt(t *testing.T) {
	t.Parallel()
	cfg := local(t)
	a := start(t, cfg)
	gone := start(t, cfg)
	target := gone.Addr().String()
	gone.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	_, err := a.Connect(ctx, target)
	var failed *node.ConnectError
	if !errors.As(err, &failed) {
		t.Fatalf("got %v", err)
	}
	tried := map[node.Strategy]bool{}
	for _, f := range failed.Attempts {
		tried[f.Strategy] = f.Err != nil
	}
	for _, s := range node.Strategies() {
		if !tried[s] {
			t.Errorf("%s is not in %v", s, err)
		}
	}
	if failed.Hint() == "" || !strings.Contains(err.Error(), "refused") {
		t.Errorf("error %q, hint %q", err, failed.Hint())
	}
}

func TestCloseEndsEverything(t *testing.T) {
	cfg := local(t)
	b := start(t, cfg)
	accepted := accepting(t, b)
	a := start(t, cfg)
	c, err := a.Connect(shortly(t), b.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	peer := <-accepted
	defer peer.Close()
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if err := a.Close(); err != nil {
		t.Errorf("the second close: %v", err)
	}
	if _, err := a.Connect(shortly(t), b.Addr().String()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("connect after close gave %v", err)
	}
	if _, err := a.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept after close gave %v", err)
	}
	// A connection that was handed out outlives its node.
	if _, err := c.Write([]byte("x")); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadFull(peer, make([]byte, 1)); err != nil {
		t.Error(err)
	}
}
