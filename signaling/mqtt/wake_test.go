package mqtt_test

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport-net/sallyport/nat/machinetest"
	"github.com/sallyport-net/sallyport/signaling/broker"
	"github.com/sallyport-net/sallyport/signaling/broker/brokertest"
	"github.com/sallyport-net/sallyport/signaling/mqtt"
)

// An open connection that nothing comes from any more is replaced when the
// channel is woken, and one that lives is left as it is.
func TestWakeReplacesADeadConnection(t *testing.T) {
	inBubble(t, func(t *testing.T, n *brokertest.Network) {
		dies, lives := startBroker(t, broker.Config{Open: n.Listen}), startBroker(t, broker.Config{Open: n.Listen})
		key, brokers := newKey(t), at(dies.URL(), lives.URL())
		dials := make(chan string, 10)
		c := newChannel(t, mqtt.Config{Key: key, Brokers: brokers, KeepAlive: time.Hour, MinBackoff: time.Hour, MaxBackoff: time.Hour,
			Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
				dials <- addr
				n.Silence(addr, false) // a new connection takes another way
				return n.Dial(ctx, network, addr)
			}})
		untilOpen(t, c, 2)
		<-dials
		<-dials
		c.Wake()
		time.Sleep(time.Minute)
		if len(dials) != 0 {
			t.Fatalf("%s was dialled though all is well", <-dials)
		}
		n.Silence(dies.Addr().String(), true)
		begun := time.Now()
		c.Wake()
		if to := <-dials; to != dies.Addr().String() {
			t.Errorf("%s was dialled", to)
		}
		untilOpen(t, c, 2)
		if took := time.Since(begun); took > 2*time.Second {
			t.Errorf("replaced after %v", took)
		}
		if err := c.Publish(deadline(t), key, brokers[:1], []byte("by the new one")); err != nil {
			t.Error(err)
		}
		receive(t, c, "by the new one")
		if len(dials) != 0 {
			t.Errorf("%s was dialled, too", <-dials)
		}
	})
}

func TestWakeCutsThePause(t *testing.T) {
	c, addr := inLongPause(t)
	startBroker(t, broker.Config{Listen: addr})
	c.Wake()
	untilOpen(t, c, 1)
}

// An attempt that began on a network that is gone is begun anew, and who waits
// for it is told of the second one only.
func TestWakeBeginsAnew(t *testing.T) {
	inBubble(t, func(t *testing.T, n *brokertest.Network) {
		b := startBroker(t, broker.Config{Open: n.Listen})
		at := at(b.URL())
		dials := make(chan error, 10)
		dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
			n.Silence(addr, len(dials) == 0)
			dials <- nil
			return n.Dial(ctx, network, addr)
		}
		c := newChannel(t, mqtt.Config{Dial: dial, ConnectTimeout: time.Hour, MinBackoff: time.Hour, MaxBackoff: time.Hour})
		joined := make(chan error, 1)
		go func() {
			_, err := c.Join(t.Context(), at)
			joined <- err
		}()
		synctest.Wait()
		c.Wake()
		synctest.Wait()
		if len(dials) != 1 {
			t.Fatalf("dialled %d times while the first attempt was young", len(dials))
		}
		time.Sleep(2 * time.Second) // it is no longer
		c.Wake()
		if err := <-joined; err != nil || len(dials) != 2 {
			t.Errorf("joined with %v after %d dials", err, len(dials))
		}
	})
}

func TestWakeAfterClose(t *testing.T) {
	c := newChannel(t, mqtt.Config{Brokers: at("tcp://" + machinetest.ClosedPort(t, "127.0.0.1").String())})
	_ = c.Close()
	c.Wake()
}

// A dial that began while the network was away does not keep the channel from
// finding out that it is back: it is begun anew within one attempt.
func TestSilentDialIsBegunAnew(t *testing.T) {
	inBubble(t, func(t *testing.T, n *brokertest.Network) {
		b := startBroker(t, broker.Config{Open: n.Listen})
		dials := make(chan error, 8)
		dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
			if len(dials) == 0 {
				<-ctx.Done() // nothing answers
				dials <- ctx.Err()
				return nil, ctx.Err()
			}
			dials <- nil
			return n.Dial(ctx, network, addr)
		}
		const whole = 2 * time.Second
		begun := time.Now()
		c := newChannel(t, mqtt.Config{Key: newKey(t), Brokers: at(b.URL()), Dial: dial,
			ConnectTimeout: whole, MinBackoff: time.Hour, MaxBackoff: time.Hour})
		untilOpen(t, c, 1)
		if took := time.Since(begun); took >= whole || len(dials) != 2 {
			t.Errorf("open after %v and %d dials", took, len(dials))
		}
	})
}
