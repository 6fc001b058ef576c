package mqtt_test

import (
	"context"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/signaling/broker"
	"github.com/sallyport-net/sallyport/signaling/mqtt"
)

// A broker that goes silent behind an open connection is noticed in time, and
// the other one is not touched.
func TestSilentBroker(t *testing.T) {
	const keepAlive, pingTimeout = time.Second, 600 * time.Millisecond
	b1, b2 := startBroker(t, broker.Config{}), startBroker(t, broker.Config{})
	p := newProxy(t, b1.Addr().String())
	brokers := at("tcp://"+p.addr, b2.URL())
	var lost atomic.Int64
	var cause atomic.Value
	key := newKey(t)
	c := newChannel(t, mqtt.Config{
		Key: key, Brokers: brokers, KeepAlive: keepAlive, PingTimeout: pingTimeout, ConnectTimeout: time.Second,
		OnState: func(b address.Broker, s mqtt.State) {
			if !s.Open && lost.CompareAndSwap(0, time.Now().UnixNano()) {
				cause.Store(s.Err)
			}
		},
	})
	untilOpen(t, c, 2)
	// Pings keep it open for longer than the limit.
	begin := time.Now()
	until(t, "some keepalives", func() bool { return time.Since(begin) > 2*(keepAlive+pingTimeout) })
	if n := len(c.Open()); n != 2 {
		t.Fatalf("%d open: a healthy connection was dropped: %v", n, cause.Load())
	}
	p.stall(true)
	begin = time.Now()
	untilOpen(t, c, 1)
	if d := time.Since(begin); d > keepAlive+pingTimeout+300*time.Millisecond {
		t.Errorf("noticed after %v", d)
	}
	// What it met is told after it has left the open ones.
	until(t, "a cause", func() bool { return cause.Load() != nil })
	if err := cause.Load().(error); !strings.Contains(err.Error(), "silent for 1.6s") {
		t.Errorf("cause %v", err)
	}
	if err := c.Publish(deadline(t), key, brokers, []byte("alive")); err != nil {
		t.Fatal(err)
	}
	receive(t, c, "alive")
	p.stall(false)
	untilOpen(t, c, 2)
}

// A broker that takes nothing: publishing fails in time, and so does Close.
func TestBrokerThatTakesNothing(t *testing.T) {
	release := make(chan struct{})
	addr := listen(t, func(c net.Conn) {
		_ = c.(*net.TCPConn).SetReadBuffer(4096)
		if accept(t, c) != nil {
			<-release
		}
	})
	t.Cleanup(func() { close(release) })
	c := newChannel(t, mqtt.Config{
		Brokers: at("tcp://" + addr), WriteTimeout: 500 * time.Millisecond, MinBackoff: time.Minute,
		Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
			if err == nil {
				_ = c.(*net.TCPConn).SetWriteBuffer(4096)
			}
			return c, err
		},
	})
	untilOpen(t, c, 1)
	key := newKey(t)
	until(t, "publishing fails", func() bool {
		return c.Publish(deadline(t), key, at("tcp://"+addr), make([]byte, mqtt.MaxPayload)) != nil
	})
	untilOpen(t, c, 0)
	begin := time.Now()
	c.Close()
	if d := time.Since(begin); d > 3*time.Second {
		t.Errorf("Close took %v", d)
	}
}
