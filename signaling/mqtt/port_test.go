package mqtt_test

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-reuseport"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/signaling/broker"
	"github.com/sallyport-net/sallyport/signaling/mqtt"
)

// All connections from one local port, as a node makes them: after a silent
// loss the same four-tuple can be had again at once, and after a proper end
// soon.
func TestRedialFromTheSamePort(t *testing.T) {
	b := startBroker(t, broker.Config{})
	p := newProxy(t, b.Addr().String())
	brokers := at("tcp://" + p.addr)
	shared, err := reuseport.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer shared.Close()
	local := shared.Addr().(*net.TCPAddr)
	var failed atomic.Value
	dialer := net.Dialer{LocalAddr: local, Control: reuseport.Control}
	config := mqtt.Config{
		Brokers: brokers, ConnectTimeout: time.Second,
		Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := dialer.DialContext(ctx, network, addr)
			if err != nil && ctx.Err() == nil {
				failed.Store(err)
			}
			return c, err
		},
	}
	var losses atomic.Int32
	config.OnState = func(_ address.Broker, s mqtt.State) {
		if !s.Open {
			losses.Add(1)
		}
	}
	c := newChannel(t, config)
	untilOpen(t, c, 1)
	p.stall(true)
	c.Wake() // and so find out
	until(t, "the loss, and some vain tries", func() bool { return losses.Load() >= 3 })
	p.stall(false)
	until(t, "open from the same port", func() bool { return int(c.Local(brokers[0]).Port()) == local.Port })
	if err := failed.Load(); err != nil {
		t.Errorf("a dial failed: %v", err)
	}
	// After a proper end the four-tuple is held until the broker has closed,
	// too; then TIME_WAIT gives way to a new connection.
	c.Close()
	untilOpen(t, newChannel(t, config), 1)
}
