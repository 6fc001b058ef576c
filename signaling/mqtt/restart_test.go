package mqtt_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/signaling/broker"
	"github.com/sallyport-net/sallyport/signaling/broker/brokertest"
	"github.com/sallyport-net/sallyport/signaling/mqtt"
)

// A channel with the default pauses is back, and has its key proven anew,
// within two seconds of a broker's restart, also after several of them.
func TestBackAfterRestart(t *testing.T) {
	inBubble(t, func(t *testing.T, n *brokertest.Network) {
		listen := "127.0.0.1:0"
		again := func() *broker.Broker {
			b := startStrict(t, broker.Config{Listen: listen, Open: n.Listen})
			listen = b.Addr().String()
			return b
		}
		b := again()
		k := newPrivate(t)
		ch, err := mqtt.New(mqtt.Config{Key: k.Public(), Sign: k.Sign, Brokers: at(b.URL()), Dial: n.Dial})
		if err != nil {
			t.Fatal(err)
		}
		defer ch.Close()
		untilOpen(t, ch, 1)
		for i := range 3 {
			begin := time.Now()
			b.Close()
			until(t, "the loss is noticed", func() bool { return len(ch.Open()) == 0 })
			b = again()
			untilOpen(t, ch, 1)
			took := time.Since(begin)
			t.Logf("restart %d: back after %v", i+1, took)
			if took > 2*time.Second {
				t.Errorf("restart %d: back only after %v", i+1, took)
			}
			if s := b.Stats(); s.Proven != 1 || s.Unproven != 0 {
				t.Errorf("stats %+v", s)
			}
		}
	})
}

// A broker that goes says so, which is told from a connection that was cut.
func TestGoodbyeIsUnderstood(t *testing.T) {
	inBubble(t, func(t *testing.T, n *brokertest.Network) {
		b := startStrict(t, broker.Config{Open: n.Listen})
		k := newPrivate(t)
		c := owner(k, b.URL())
		c.Dial = n.Dial
		states := make(chan mqtt.State, 10)
		c.OnState = func(_ address.Broker, s mqtt.State) { states <- s }
		newChannel(t, c)
		if s := <-states; !s.Open {
			t.Fatalf("first state %+v", s)
		}
		b.Close()
		if s := <-states; s.Open || s.Err == nil || !strings.Contains(s.Err.Error(), "broker ended the connection") {
			t.Errorf("second state %+v", s)
		}
	})
}
