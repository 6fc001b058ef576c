package mqtt_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/nat/machinetest"
	"github.com/sallyport-net/sallyport/signaling/broker"
	"github.com/sallyport-net/sallyport/signaling/mqtt"
)

func TestJoinAndLeave(t *testing.T) {
	own, other := startBroker(t, broker.Config{}), startBroker(t, broker.Config{})
	key := newKey(t)
	c := newChannel(t, mqtt.Config{Key: key, Brokers: at(own.URL()), Linger: -1})
	untilOpen(t, c, 1)
	ctx := deadline(t)

	leave1, err := c.Join(ctx, at(other.URL(), own.URL()))
	if err != nil {
		t.Fatal(err)
	}
	untilOpen(t, c, 2)
	if got := c.Open(); got[0] != at(own.URL())[0] {
		t.Errorf("Open %v, own ones must come first", got)
	}
	leave2, err := c.Join(ctx, at(other.URL()))
	if err != nil {
		t.Fatal(err)
	}
	if own.Clients() != 1 || other.Clients() != 1 {
		t.Errorf("%d and %d connections, want one each", own.Clients(), other.Clients())
	}
	// We are subscribed there, too.
	peer := newChannel(t, mqtt.Config{Brokers: at(other.URL())})
	untilOpen(t, peer, 1)
	if err := peer.Publish(ctx, key, at(other.URL()), []byte("answer")); err != nil {
		t.Fatal(err)
	}
	receive(t, c, "answer")

	leave1()
	leave1() // counts once
	if err := c.Publish(ctx, newKey(t), at(other.URL()), []byte("still there")); err != nil {
		t.Fatal(err)
	}
	leave2()
	untilOpen(t, c, 1)
	until(t, "the broker sees it", func() bool { return other.Clients() == 1 })
	if c.Open()[0] != at(own.URL())[0] || own.Clients() != 1 {
		t.Error("leaving ended an own broker")
	}
	if err := c.Publish(ctx, key, at(other.URL()), nil); !errors.Is(err, mqtt.ErrNotOpen) {
		t.Errorf("publish after leaving: %v", err)
	}
}

func TestLinger(t *testing.T) {
	b := startBroker(t, broker.Config{})
	var dials atomic.Int32
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		dials.Add(1)
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}
	join := func(c *mqtt.Channel) (leave func()) {
		t.Helper()
		leave, err := c.Join(deadline(t), at(b.URL()))
		if err != nil {
			t.Fatal(err)
		}
		return leave
	}
	long := newChannel(t, mqtt.Config{Linger: time.Hour, Dial: dial})
	for range 5 { // each within the linger of the last
		join(long)()
	}
	if n := dials.Swap(0); n != 1 {
		t.Errorf("dialled %d times, want once", n)
	}
	short := newChannel(t, mqtt.Config{Linger: 20 * time.Millisecond, Dial: dial})
	join(short)()
	untilOpen(t, short, 0)
	leave := join(short)
	if n := dials.Load(); n != 2 {
		t.Errorf("dialled %d times, want twice", n)
	}
	short.Close()
	leave()
}

// inLongPause is a channel to a broker that is not there, and will not be tried
// again for an hour.
func inLongPause(t *testing.T) (c *mqtt.Channel, addr string) {
	t.Helper()
	addr = machinetest.ClosedPort(t, "127.0.0.1").String()
	failed := make(chan struct{}, 10)
	c = newChannel(t, mqtt.Config{Brokers: at("tcp://" + addr), MinBackoff: time.Hour, MaxBackoff: time.Hour,
		OnState: func(_ address.Broker, s mqtt.State) {
			if !s.Open {
				failed <- struct{}{}
			}
		}})
	<-failed
	return c, addr
}

// Joining a broker that is in a long pause tries it at once.
func TestJoinCutsThePause(t *testing.T) {
	c, addr := inLongPause(t)
	startBroker(t, broker.Config{Listen: addr})
	leave, err := c.Join(deadline(t), at("tcp://"+addr))
	if err != nil {
		t.Fatal(err)
	}
	leave()
	untilOpen(t, c, 1)
}

func TestJoinGivesUpWithItsContext(t *testing.T) {
	silent := listen(t, hold)
	c := newChannel(t, mqtt.Config{Linger: -1, ConnectTimeout: time.Hour})
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(50*time.Millisecond, cancel)
	_, err := c.Join(ctx, at("tcp://"+silent))
	var many *mqtt.BrokersError
	if !errors.Is(err, context.Canceled) || !errors.As(err, &many) {
		t.Errorf("got %v", err)
	}
}

func TestTooManyBrokers(t *testing.T) {
	addr := machinetest.ClosedPort(t, "127.0.0.1").String()
	var many []address.Broker
	for i := range 70 {
		many = append(many, address.Broker{URL: "tcp://" + addr + "/?" + string(rune('A'+i))})
	}
	c := newChannel(t, mqtt.Config{})
	_, err := c.Join(deadline(t), many)
	var e *mqtt.BrokersError
	if !errors.As(err, &e) || len(e.Brokers) != 70 {
		t.Fatalf("got %v", err)
	}
	refused := 0
	for _, b := range e.Brokers {
		if b.Err != nil && b.Err.Error() == "already at 64 brokers" {
			refused++
		}
	}
	if refused != 6 {
		t.Errorf("%d refused, want 6", refused)
	}
}

// The first endpoint hangs: the second is tried meanwhile and wins, and the
// first is closed.
func TestEndpointsAreStaggered(t *testing.T) {
	b := startBroker(t, broker.Config{})
	gone := make(chan struct{})
	var once sync.Once
	silent := listen(t, func(c net.Conn) { hold(c); once.Do(func() { close(gone) }) })
	well := address.Broker{Index: 3}
	var mu sync.Mutex
	opened := ""
	c := newChannel(t, mqtt.Config{
		Brokers: []address.Broker{well}, ConnectTimeout: time.Hour, Stagger: 50 * time.Millisecond,
		Endpoints: func(b2 address.Broker) ([]string, error) {
			if b2 != well {
				t.Errorf("asked for %v", b2)
			}
			return []string{"tcp://" + silent, b.URL(), "tcp://" + silent}, nil
		},
		OnState: func(_ address.Broker, s mqtt.State) {
			mu.Lock()
			defer mu.Unlock()
			opened = s.Endpoint
		},
	})
	if err := c.Wait(deadline(t)); err != nil {
		t.Fatal(err)
	}
	if r := c.Remote(well); r.String() != b.Addr().String() {
		t.Errorf("Remote %v", r)
	}
	until(t, "the state", func() bool { mu.Lock(); defer mu.Unlock(); return opened == b.URL() })
	select {
	case <-gone:
	case <-time.After(patience):
		t.Fatal("the slower connection was kept")
	}
}

// Close in the middle of everything returns soon and leaves nothing (TestMain
// looks for goroutines).
func TestCloseInTheMiddle(t *testing.T) {
	b := startBroker(t, broker.Config{})
	silent := listen(t, hold)
	p := newProxy(t, b.Addr().String())
	brokers := at(b.URL(), "tcp://"+p.addr, "tcp://"+silent, "ws://"+silent, "tls://"+silent, "tcp://"+machinetest.ClosedPort(t, "127.0.0.1").String())
	round := func(stall bool) {
		key := newKey(t)
		c := newChannel(t, mqtt.Config{Key: key, Brokers: brokers, Linger: time.Hour, ConnectTimeout: time.Hour, WriteTimeout: time.Hour})
		ctx := deadline(t)
		if err := c.Wait(ctx); err != nil {
			t.Fatal(err)
		}
		if stall {
			untilOpen(t, c, 2)
			p.stall(true)
			defer p.stall(false)
		}
		var wg sync.WaitGroup
		wg.Go(func() { _ = c.Wait(ctx) })
		wg.Go(func() { _, _ = c.Join(ctx, at("tcp://"+silent+"/?")) })
		for range 50 {
			wg.Go(func() { _ = c.Publish(ctx, key, brokers, make([]byte, 1000)) })
		}
		begin := time.Now()
		wg.Go(func() { c.Close() })
		c.Close()
		if d := time.Since(begin); d > patience {
			t.Errorf("Close took %v", d)
		}
		wg.Wait()
		for range c.Deliveries() {
		}
	}
	for i := range 20 {
		round(i%2 == 0)
	}
}

// A client that is still connecting has nothing to say goodbye with, and must
// not be given time for it.
func TestCloseWhileConnecting(t *testing.T) {
	accepted := make(chan struct{}, 100)
	silent := listen(t, func(c net.Conn) { _, _ = c.Read(make([]byte, 1)); accepted <- struct{}{}; hold(c) })
	for range 200 {
		c := newChannel(t, mqtt.WithGoodbye(mqtt.Config{Brokers: at("tcp://" + silent)}, 2*patience))
		<-accepted
		begin := time.Now()
		c.Close()
		if d := time.Since(begin); d > patience {
			t.Fatalf("Close took %v", d)
		}
	}
}
