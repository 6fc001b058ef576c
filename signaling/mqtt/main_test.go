package mqtt_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/signaling/broker"
	"github.com/sallyport-net/sallyport/signaling/broker/brokertest"
	"github.com/sallyport-net/sallyport/signaling/mqtt"
)

// patience is what a loaded machine is given; what waits that long waits for ever.
const patience = time.Minute

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func deadline(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func newKey(t testing.TB) address.Key {
	t.Helper()
	k, err := address.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return k.Public()
}

// startBroker starts a broker as the public ones are: anyone may listen.
func startBroker(t testing.TB, c broker.Config) *broker.Broker {
	t.Helper()
	c.Anyone = true
	return startStrict(t, c)
}

// inBubble runs a test on fake time, with a network in memory. What it starts ends
// within.
func inBubble(t *testing.T, test func(*testing.T, *brokertest.Network)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, &brokertest.Network{}) })
}

// startStrict starts one that wants keys proven.
func startStrict(t testing.TB, c broker.Config) *broker.Broker {
	t.Helper()
	if c.PublishRate == 0 {
		c.PublishRate, c.PublishBurst = 1e6, 1e6
	}
	c.MaxPerIP, c.Queue = 1000, 1000
	return brokertest.Start(t, c)
}

func at(urls ...string) []address.Broker {
	var bs []address.Broker
	for _, u := range urls {
		bs = append(bs, address.Broker{URL: u})
	}
	return bs
}

// newChannel makes a channel that is closed with the test, with short pauses.
func newChannel(t testing.TB, c mqtt.Config) *mqtt.Channel {
	t.Helper()
	if c.Key.IsZero() {
		c.Key = newKey(t)
	}
	if c.MinBackoff == 0 {
		c.MinBackoff, c.MaxBackoff = 20*time.Millisecond, 200*time.Millisecond
	}
	ch, err := mqtt.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ch.Close() })
	return ch
}

func until(t testing.TB, what string, cond func() bool) {
	t.Helper()
	end := time.Now().Add(patience)
	for !cond() {
		if time.Now().After(end) {
			t.Fatalf("waited %v in vain for: %s", patience, what)
		}
		time.Sleep(time.Millisecond)
	}
}

func untilOpen(t testing.TB, c *mqtt.Channel, n int) {
	t.Helper()
	until(t, fmt.Sprintf("%d open brokers", n), func() bool { return len(c.Open()) == n })
}

// receive reads until a payload is want, and fails on one that is not known.
func receive(t testing.TB, c *mqtt.Channel, want string, known ...string) (from address.Broker) {
	t.Helper()
	after := time.After(patience)
	for {
		select {
		case d, ok := <-c.Deliveries():
			if !ok {
				t.Fatalf("closed before %q came", want)
			}
			if string(d.Payload) == want {
				return d.Broker
			}
			ok = false
			for _, k := range known {
				ok = ok || strings.HasPrefix(string(d.Payload), k)
			}
			if !ok {
				t.Fatalf("got %q, want %q", d.Payload, want)
			}
		case <-after:
			t.Fatalf("%q never came", want)
		}
	}
}
