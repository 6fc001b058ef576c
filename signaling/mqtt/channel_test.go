package mqtt_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/nat/machinetest"
	"github.com/sallyport-net/sallyport/signaling/broker"
	"github.com/sallyport-net/sallyport/signaling/mqtt"
)

func TestTwoChannelsOverTwoBrokers(t *testing.T) {
	b1, b2 := startBroker(t, broker.Config{}), startBroker(t, broker.Config{})
	brokers := at(b1.URL(), b2.URL())
	keyA, keyB := newKey(t), newKey(t)
	begin := time.Now()
	a := newChannel(t, mqtt.Config{Key: keyA, Brokers: brokers})
	b := newChannel(t, mqtt.Config{Key: keyB, Brokers: brokers})
	ctx := deadline(t)
	if err := a.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	untilOpen(t, a, 2)
	untilOpen(t, b, 2)
	if got := a.Open(); got[0] != brokers[0] || got[1] != brokers[1] {
		t.Errorf("Open %v, want %v", got, brokers)
	}

	count := map[string]map[address.Broker]int{}
	for i := range 20 {
		p := fmt.Sprint("to b ", i)
		if err := a.Publish(ctx, keyB, brokers, []byte(p)); err != nil {
			t.Fatal(err)
		}
		count[p] = map[address.Broker]int{}
	}
	for range 40 {
		select {
		case d := <-b.Deliveries():
			if count[string(d.Payload)] == nil {
				t.Fatalf("got %q", d.Payload)
			}
			count[string(d.Payload)][d.Broker]++
			if age := time.Since(d.At); age < 0 || age > patience {
				t.Errorf("delivered %v ago", age)
			}
		case <-ctx.Done():
			t.Fatal("copies are missing")
		}
	}
	for p, by := range count {
		if len(by) != 2 || by[brokers[0]] != 1 || by[brokers[1]] != 1 {
			t.Errorf("%q came %v", p, by)
		}
	}
	if err := b.Publish(ctx, keyA, brokers[:1], []byte("back")); err != nil {
		t.Fatal(err)
	}
	if from := receive(t, a, "back"); from != brokers[0] {
		t.Errorf("came from %v", from)
	}
	select {
	case d := <-b.Deliveries():
		t.Errorf("%q came once too often", d.Payload)
	default:
	}
	for _, x := range brokers {
		if rtt := a.RTT(x); rtt <= 0 || rtt > time.Since(begin) {
			t.Errorf("RTT %v", rtt)
		}
		if r := a.Remote(x); r.String() != strings.TrimPrefix(x.URL, "tcp://") {
			t.Errorf("Remote %v, want %v", r, x.URL)
		}
		if l := a.Local(x); l.Addr() != netip.MustParseAddr("127.0.0.1") || l.Port() == 0 {
			t.Errorf("Local %v", l)
		}
	}
	if stranger := at("tcp://127.0.0.1:1"); a.RTT(stranger[0]) != 0 || a.Local(stranger[0]).IsValid() || a.Remote(stranger[0]).IsValid() {
		t.Error("figures about a broker that is not ours")
	}
}

func TestOneBrokerDies(t *testing.T) {
	home := machinetest.ClosedPort(t, "127.0.0.1").String() // while it is not there, nobody else is
	b1, b2 := startBroker(t, broker.Config{Listen: home}), startBroker(t, broker.Config{})
	brokers := at(b1.URL(), b2.URL())
	key := newKey(t)
	states := make(chan mqtt.State, 100)
	a := newChannel(t, mqtt.Config{Brokers: brokers})
	b := newChannel(t, mqtt.Config{Key: key, Brokers: brokers, OnState: func(x address.Broker, s mqtt.State) {
		if x == brokers[0] {
			states <- s
		}
	}})
	untilOpen(t, a, 2)
	untilOpen(t, b, 2)
	if s := <-states; !s.Open || s.Endpoint != b1.URL() || s.Err != nil {
		t.Errorf("first state %+v", s)
	}
	rtt := b.RTT(brokers[0])
	b1.Close()
	if s := <-states; s.Open || s.Err == nil || s.Endpoint != b1.URL() {
		t.Errorf("state after the loss %+v", s)
	}
	untilOpen(t, a, 1)
	if b.RTT(brokers[0]) < rtt/1000 || b.RTT(brokers[0]) == 0 {
		t.Error("the last known RTT is forgotten")
	}
	ctx := deadline(t)
	if err := a.Publish(ctx, key, brokers, []byte("over the other")); err != nil {
		t.Fatal(err)
	}
	receive(t, b, "over the other")
	var many *mqtt.BrokersError
	if err := a.Publish(ctx, key, brokers[:1], []byte("nowhere")); !errors.Is(err, mqtt.ErrNotOpen) || !errors.As(err, &many) || len(many.Brokers) != 1 {
		t.Errorf("publish to a dead broker: %v", err)
	}

	// Back on the same port: both come back and are subscribed.
	startBroker(t, broker.Config{Listen: home})
	untilOpen(t, a, 2)
	untilOpen(t, b, 2)
	if err := a.Publish(ctx, key, brokers[:1], []byte("again")); err != nil {
		t.Fatal(err)
	}
	receive(t, b, "again")
}

func TestWhatEachBrokerMet(t *testing.T) {
	garbage := listen(t, func(c net.Conn) { fmt.Fprint(c, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"); hold(c) })
	hangup := listen(t, func(c net.Conn) { _, _ = c.Read(make([]byte, 4096)); c.Close() })
	refused := machinetest.ClosedPort(t, "127.0.0.1").String()
	brokers := at("tcp://"+garbage, "tcp://"+hangup, "tcp://"+refused,
		"tcp://name.invalid", "ws://"+hangup, "tls://"+garbage, "ws://"+garbage, "gopher://host", "tcp://user:secret@"+refused)
	brokers = append(brokers, address.Broker{Index: 7})
	want := []string{
		"began with packet type 4", "closed the connection", "connection refused",
		"name.invalid", "closed the connection", "tls", "HTTP status 400", `scheme "gopher"`, "connection refused", "no URL is known",
	}
	config := mqtt.Config{Brokers: brokers}
	check := func(t *testing.T, err error) {
		t.Helper()
		var many *mqtt.BrokersError
		if !errors.As(err, &many) || len(many.Brokers) != len(brokers) {
			t.Fatalf("got %v", err)
		}
		for i, e := range many.Brokers {
			if e.Broker != brokers[i] || !strings.Contains(e.Error(), want[i]) {
				t.Errorf("%v: %v, want %q in it", brokers[i], e, want[i])
			}
		}
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("credentials in %v", err)
		}
	}
	t.Run("Join", func(t *testing.T) {
		_, err := newChannel(t, mqtt.Config{}).Join(deadline(t), brokers)
		check(t, err)
	})
	t.Run("Wait", func(t *testing.T) {
		var mu sync.Mutex
		failed := map[address.Broker]bool{}
		config.OnState = func(b address.Broker, s mqtt.State) {
			mu.Lock()
			defer mu.Unlock()
			failed[b] = failed[b] || !s.Open && s.Err != nil
		}
		c := newChannel(t, config)
		until(t, "every broker failed once", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(failed) == len(brokers)
		})
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		err := c.Wait(ctx)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		check(t, err)
	})
}

func TestSilentFromTheBeginning(t *testing.T) {
	silent := at("tcp://" + listen(t, hold))
	_, err := newChannel(t, mqtt.Config{ConnectTimeout: time.Second}).Join(deadline(t), silent)
	if err == nil || !strings.Contains(err.Error(), "no answer within 1s") {
		t.Errorf("got %v", err)
	}
}

func TestWaitWithoutBrokers(t *testing.T) {
	if err := newChannel(t, mqtt.Config{}).Wait(deadline(t)); err == nil {
		t.Error("nil without brokers")
	}
	if _, err := newChannel(t, mqtt.Config{}).Join(deadline(t), nil); err == nil {
		t.Error("joined nothing")
	}
	if _, err := mqtt.New(mqtt.Config{}); err == nil {
		t.Error("made without a key")
	}
	if _, err := mqtt.New(mqtt.Config{Key: newKey(t), Brokers: make([]address.Broker, 65)}); err == nil {
		t.Error("made with 65 brokers")
	}
}

func TestPublishRefusals(t *testing.T) {
	b := startBroker(t, broker.Config{})
	c := newChannel(t, mqtt.Config{Brokers: at(b.URL()), MaxPayload: 100})
	untilOpen(t, c, 1)
	key := newKey(t)
	if err := c.Publish(deadline(t), key, at(b.URL()), make([]byte, 101)); !errors.Is(err, mqtt.ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
	if err := c.Publish(deadline(t), key, nil, nil); err == nil {
		t.Error("published nowhere")
	}
	if err := c.Publish(deadline(t), key, at("tcp://127.0.0.1:1"), nil); !errors.Is(err, mqtt.ErrNotOpen) {
		t.Errorf("not joined: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := c.Publish(ctx, key, at(b.URL()), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	c.Close()
	if err := c.Publish(deadline(t), key, at(b.URL()), nil); !errors.Is(err, mqtt.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	if err := c.Wait(deadline(t)); !errors.Is(err, mqtt.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	if _, err := c.Join(deadline(t), at(b.URL())); !errors.Is(err, mqtt.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	if len(c.Open()) != 0 {
		t.Error("open after Close")
	}
	if _, ok := <-c.Deliveries(); ok {
		t.Error("Deliveries not closed")
	}
}

// The caller may use its buffer again as soon as Publish returns, although one
// of the brokers may not have been written to yet.
func TestPayloadIsCopied(t *testing.T) {
	b1, b2 := startBroker(t, broker.Config{}), startBroker(t, broker.Config{})
	key := newKey(t)
	brokers := at(b1.URL(), b2.URL())
	c := newChannel(t, mqtt.Config{Key: key, Brokers: brokers, Queue: 2000})
	untilOpen(t, c, 2)
	p := make([]byte, 8)
	const n = 50 // so many may be under way on one connection
	for range n {
		copy(p, "original")
		if err := c.Publish(deadline(t), key, brokers, p); err != nil {
			t.Fatal(err)
		}
		copy(p, "mutilate")
	}
	for range 2 * n {
		select {
		case d := <-c.Deliveries():
			if string(d.Payload) != "original" {
				t.Fatalf("got %q", d.Payload)
			}
		case <-time.After(patience):
			t.Fatal("copies are missing")
		}
	}
}
