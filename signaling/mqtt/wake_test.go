package mqtt_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/signaling/broker"
	"github.com/sallyport-net/sallyport/signaling/mqtt"
)

// detour dials a broker by way of others, one after another, and then itself.
type detour struct {
	mu    sync.Mutex
	ways  map[string][]string // by the broker's address
	dials map[string]int
}

func (d *detour) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	d.mu.Lock()
	d.dials[addr]++
	if w := d.ways[addr]; len(w) > 0 {
		d.ways[addr], addr = w[1:], w[0]
	}
	d.mu.Unlock()
	return (&net.Dialer{}).DialContext(ctx, network, addr)
}

func (d *detour) count(addr string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.dials[addr]
}

// An open connection that nothing comes from any more is replaced when the
// channel is woken, and one that lives is left as it is.
func TestWakeReplacesADeadConnection(t *testing.T) {
	dies, lives := startBroker(t, broker.Config{}), startBroker(t, broker.Config{})
	p := newProxy(t, dies.Addr().String())
	d := &detour{dials: map[string]int{}, ways: map[string][]string{dies.Addr().String(): {p.addr}}}
	key, brokers := newKey(t), at(dies.URL(), lives.URL())
	c := newChannel(t, mqtt.Config{Key: key, Brokers: brokers, Dial: d.dial,
		KeepAlive: time.Hour, MinBackoff: time.Hour, MaxBackoff: time.Hour})
	untilOpen(t, c, 2)
	c.Wake() // all is well
	p.stall(true)
	defer p.stall(false)
	begun := time.Now()
	c.Wake()
	until(t, "dialled anew", func() bool { return d.count(dies.Addr().String()) == 2 })
	untilOpen(t, c, 2)
	t.Logf("replaced after %v", time.Since(begun).Round(time.Millisecond))
	if err := c.Publish(deadline(t), key, brokers[:1], []byte("by the new one")); err != nil {
		t.Error(err)
	}
	receive(t, c, "by the new one")
	if n := d.count(lives.Addr().String()); n != 1 {
		t.Errorf("the broker that lives was dialled %d times", n)
	}
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
	b, silent := startBroker(t, broker.Config{}), listen(t, hold)
	d := &detour{dials: map[string]int{}, ways: map[string][]string{b.Addr().String(): {silent}}}
	c := newChannel(t, mqtt.Config{Dial: d.dial, ConnectTimeout: time.Hour, MinBackoff: time.Hour, MaxBackoff: time.Hour})
	joined := make(chan error, 1)
	go func() {
		_, err := c.Join(deadline(t), at(b.URL()))
		joined <- err
	}()
	for woken := false; !woken; time.Sleep(20 * time.Millisecond) { // until it is no longer young
		c.Wake()
		select {
		case err := <-joined:
			woken = true
			if err != nil {
				t.Error(err)
			}
		default:
		}
	}
	if n := d.count(b.Addr().String()); n != 2 {
		t.Errorf("dialled %d times", n)
	}
}

func TestWakeAfterClose(t *testing.T) {
	c := newChannel(t, mqtt.Config{Brokers: at("tcp://" + closedPort(t))})
	_ = c.Close()
	c.Wake()
}

// A dial that began while the network was away does not keep the channel from
// finding out that it is back: it is begun anew within one attempt.
func TestSilentDialIsBegunAnew(t *testing.T) {
	b := startBroker(t, broker.Config{})
	dials := make(chan error, 8)
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		if len(dials) == 0 {
			<-ctx.Done() // nothing answers
			dials <- ctx.Err()
			return nil, ctx.Err()
		}
		dials <- nil
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}
	const whole = 2 * time.Second
	begun := time.Now()
	c := newChannel(t, mqtt.Config{Key: newKey(t), Brokers: at(b.URL()), Dial: dial,
		ConnectTimeout: whole, MinBackoff: time.Hour, MaxBackoff: time.Hour})
	untilOpen(t, c, 1)
	if took := time.Since(begun); took >= whole || len(dials) != 2 {
		t.Errorf("open after %v and %d dials", took, len(dials))
	}
}
