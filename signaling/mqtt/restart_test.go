package mqtt_test

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/signaling/broker"
	"github.com/sallyport-net/sallyport/signaling/mqtt"
)

// A channel with the default pauses is back, and has its key proven anew,
// within two seconds of a broker's restart, also after several of them.
func TestBackAfterRestart(t *testing.T) {
	outer, err := net.Listen("tcp", "127.0.0.1:0") // as a service manager holds it
	if err != nil {
		t.Fatal(err)
	}
	defer outer.Close()
	again := func() *broker.Broker {
		return startStrict(t, broker.Config{Listen: "127.0.0.1:0", Open: func(string, string) (net.Listener, error) {
			f, err := outer.(*net.TCPListener).File()
			if err != nil {
				return nil, err
			}
			defer f.Close()
			return net.FileListener(f)
		}})
	}
	b := again()
	k := newPrivate(t)
	ch, err := mqtt.New(mqtt.Config{Key: k.Public(), Sign: k.Sign, Brokers: at("tcp://" + outer.Addr().String())})
	if err != nil {
		t.Fatal(err)
	}
	defer ch.Close()
	untilOpen(t, ch, 1)
	for n := range 3 {
		begin := time.Now()
		b.Close()
		until(t, "the loss is noticed", func() bool { return len(ch.Open()) == 0 })
		b = again()
		untilOpen(t, ch, 1)
		took := time.Since(begin)
		t.Logf("restart %d: back after %v", n+1, took)
		if took > 2*time.Second {
			t.Errorf("restart %d: back only after %v", n+1, took)
		}
		if s := b.Stats(); s.Proven != 1 || s.Unproven != 0 {
			t.Errorf("stats %+v", s)
		}
	}
}

// A broker that goes says so, which is told from a connection that was cut.
func TestGoodbyeIsUnderstood(t *testing.T) {
	b := startStrict(t, broker.Config{})
	k := newPrivate(t)
	c := owner(k, b.URL())
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
}
