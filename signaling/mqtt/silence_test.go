package mqtt_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/signaling/broker"
	"github.com/sallyport-net/sallyport/signaling/broker/brokertest"
	"github.com/sallyport-net/sallyport/signaling/mqtt"
)

// A broker that goes silent behind an open connection is noticed in time, and
// the other one is not touched.
func TestSilentBroker(t *testing.T) {
	inBubble(t, func(t *testing.T, n *brokertest.Network) {
		const keepAlive, pingTimeout = 30 * time.Second, 10 * time.Second
		b1, b2 := startBroker(t, broker.Config{Open: n.Listen}), startBroker(t, broker.Config{Open: n.Listen})
		brokers := at(b1.URL(), b2.URL())
		key := newKey(t)
		lost := make(chan mqtt.State, 100)
		c := newChannel(t, mqtt.Config{
			Key: key, Brokers: brokers, Dial: n.Dial, KeepAlive: keepAlive, PingTimeout: pingTimeout,
			OnState: func(_ address.Broker, s mqtt.State) {
				if !s.Open {
					lost <- s
				}
			},
		})
		untilOpen(t, c, 2)
		time.Sleep(10 * (keepAlive + pingTimeout)) // pings keep them open
		if len(c.Open()) != 2 || len(lost) != 0 {
			t.Fatalf("%d open, %d losses: a healthy connection was dropped", len(c.Open()), len(lost))
		}
		n.Silence(b1.Addr().String(), true)
		begin := time.Now()
		s := <-lost
		if d := time.Since(begin); d > keepAlive+pingTimeout {
			t.Errorf("noticed after %v", d)
		}
		if s.Endpoint != b1.URL() || !strings.Contains(s.Err.Error(), "silent for 40s") {
			t.Errorf("lost %q for %v", s.Endpoint, s.Err)
		}
		if len(c.Open()) != 1 {
			t.Errorf("%d open", len(c.Open()))
		}
		if err := c.Publish(deadline(t), key, brokers, []byte("alive")); err != nil {
			t.Fatal(err)
		}
		receive(t, c, "alive")
		n.Silence(b1.Addr().String(), false)
		untilOpen(t, c, 2)
	})
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
	if d := time.Since(begin); d > patience {
		t.Errorf("Close took %v", d)
	}
}
