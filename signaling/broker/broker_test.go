package broker_test

import (
	"net"
	"strings"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/sallyport-net/sallyport/signaling/broker"
	"github.com/sallyport-net/sallyport/signaling/broker/brokertest"
)

func TestStartNeedsAListener(t *testing.T) {
	for _, c := range []broker.Config{{}, {ListenTLS: "127.0.0.1:0"}, {ListenWSS: "127.0.0.1:0"}, {Listen: "256.0.0.1:0"}} {
		if b, err := broker.Start(c); err == nil {
			b.Close()
			t.Errorf("%+v: started", c)
		}
	}
	// The second address is taken: the first must not stay open.
	a := start(t, broker.Config{})
	if _, err := broker.Start(broker.Config{Listen: "127.0.0.1:0", ListenWS: a.Addr().String()}); err == nil {
		t.Error("started on an address in use")
	}
}

func TestEveryListener(t *testing.T) {
	cert := brokertest.CertificateFor(t, "127.0.0.1")
	b := start(t, brokertest.Everywhere(cert))
	urls := b.URLs()
	if len(urls) != 4 || b.URL() != urls[0] || urls[0] != "tcp://"+b.Addr().String() {
		t.Fatalf("URLs %q, URL %q", urls, b.URL())
	}
	for i, scheme := range []string{"tcp", "tls", "ws", "wss"} {
		t.Run(scheme, func(t *testing.T) {
			if !strings.HasPrefix(urls[i], scheme+"://127.0.0.1:") {
				t.Fatalf("URL %q", urls[i])
			}
			to := topic(t)
			c := connect(t, options(urls[i]+"/mqtt").SetTLSConfig(cert.Client()))
			got := listen(t, c, to, 0)
			other := connect(t, options(b.URL()))
			wait(t, other.Publish(to, 0, false, "hello"))
			if s := next(t, got); s != "hello" {
				t.Fatalf("got %q", s)
			}
			wait(t, c.Publish(to, 0, false, "from "+scheme))
			if s := next(t, got); s != "from "+scheme {
				t.Fatalf("got %q", s)
			}
		})
	}
	until(t, "all clients gone", func() bool { return b.Clients() == 0 && b.Stats().Connections == 0 })
}

func TestSubscriptionsThatAreRefused(t *testing.T) {
	b := start(t, broker.Config{})
	c := connect(t, options(b.URL()))
	for _, filter := range []string{
		"#", "+", "sallyport/#", "sallyport/1/#", "sallyport/1/+", "sallyport/1/a/b", "sallyport/1/", "sallyport/2/a",
		"$SYS/#", "$SYS/broker/version", "$share/g/sallyport/1/a", "other", "sallyport/1/" + strings.Repeat("a", 65),
	} {
		tok := c.Subscribe(filter, 0, nil)
		wait(t, tok)
		if code := tok.(*paho.SubscribeToken).Result()[strings.TrimPrefix(filter, "$share/g/")]; code != 0x80 {
			t.Errorf("%q: code %#x, want 0x80", filter, code)
		}
	}
	listen(t, c, "sallyport/1/"+strings.Repeat("a", 64), 0)
}

func TestSubscriptionCap(t *testing.T) {
	b := start(t, broker.Config{MaxSubscriptions: 2})
	c := connect(t, options(b.URL()))
	listen(t, c, "sallyport/1/a", 0)
	listen(t, c, "sallyport/1/b", 0)
	listen(t, c, "sallyport/1/a", 0) // again, no new one
	tok := c.Subscribe("sallyport/1/c", 0, nil)
	wait(t, tok)
	if code := tok.(*paho.SubscribeToken).Result()["sallyport/1/c"]; code != 0x80 {
		t.Fatalf("third subscription: code %#x, want 0x80", code)
	}
	wait(t, c.Unsubscribe("sallyport/1/a"))
	listen(t, c, "sallyport/1/c", 0)
}

func TestPublishesThatAreDropped(t *testing.T) {
	b := start(t, broker.Config{})
	to := topic(t)
	c := connect(t, options(b.URL()))
	got := listen(t, c, to, 1)
	for _, qos := range []byte{0, 1} {
		for _, p := range []struct {
			topic  string
			retain bool
		}{{"other", false}, {"sallyport/1/a/b", false}, {"sallyport/2/a", false}, {to, true}} {
			before := b.Stats().Refused
			if err := wait(t, c.Publish(p.topic, qos, p.retain, "dropped")); err != nil {
				t.Fatal(err)
			}
			until(t, "refusal counted", func() bool { return b.Stats().Refused == before+1 })
		}
		wait(t, c.Publish(to, qos, false, "kept"))
		if s := next(t, got); s != "kept" {
			t.Fatalf("QoS %d: got %q", qos, s)
		}
	}
	// Nothing was retained either.
	late := connect(t, options(b.URL()))
	got = listen(t, late, to, 0)
	wait(t, c.Publish(to, 0, false, "after"))
	if s := next(t, got); s != "after" {
		t.Fatalf("got %q, which was retained", s)
	}
}

func TestQoS2IsTakenAsQoS1(t *testing.T) {
	b := start(t, broker.Config{})
	to := topic(t)
	c := connect(t, options(b.URL()))
	got := make(chan paho.Message, 10)
	tok := c.Subscribe(to, 2, func(_ paho.Client, m paho.Message) { got <- m })
	wait(t, tok)
	if code := tok.(*paho.SubscribeToken).Result()[to]; code != 0 {
		t.Fatalf("granted QoS %d, want 0", code)
	}
	if err := wait(t, c.Publish(to, 2, false, "x")); err != nil {
		t.Fatal(err)
	}
	if m := <-got; m.Qos() != 0 {
		t.Fatalf("delivered at QoS %d", m.Qos())
	}
}

func TestConnectsThatAreRefused(t *testing.T) {
	b := start(t, broker.Config{})
	for name, o := range map[string]*paho.ClientOptions{
		"will":      options(b.URL()).SetWill("sallyport/1/a", "x", 0, false),
		"retained":  options(b.URL()).SetWill("sallyport/1/a", "x", 2, true),
		"MQTT 3.1":  options(b.URL()).SetProtocolVersion(3),
		"client id": options(b.URL()).SetClientID(strings.Repeat("x", 257)),
	} {
		if err := wait(t, paho.NewClient(o).Connect()); err == nil {
			t.Errorf("%s: connected", name)
		}
	}
	if n := b.Clients(); n != 0 {
		t.Errorf("%d clients", n)
	}
}

// Two clients with one id live side by side, and one that wants its session
// kept leaves nothing behind.
func TestClientIDsAndSessions(t *testing.T) {
	b := start(t, broker.Config{})
	to := topic(t)
	a := connect(t, options(b.URL()).SetClientID("same"))
	gotA := listen(t, a, to, 0)
	c := connect(t, options(b.URL()).SetClientID("same").SetCleanSession(false))
	gotC := listen(t, c, to, 0)
	wait(t, a.Publish(to, 0, false, "both"))
	if next(t, gotA) != "both" || next(t, gotC) != "both" {
		t.Fatal("one of the two is deaf")
	}
	c.Disconnect(100)
	until(t, "one client and its subscription", func() bool {
		s := b.Stats()
		return s.Clients == 1 && s.Subscriptions == 1
	})
	got := make(chan paho.Message, 10)
	d := connect(t, options(b.URL()).SetClientID("same").SetCleanSession(false).
		SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) { got <- m }))
	wait(t, a.Publish(to, 1, false, "one"))
	next(t, gotA)
	wait(t, d.Publish("sallyport/1/nobody", 1, false, "")) // anything before it would have arrived by now
	if len(got) != 0 {
		t.Fatal("a session was kept")
	}
}

func TestCloseEndsEverything(t *testing.T) {
	cert := brokertest.CertificateFor(t, "127.0.0.1")
	everywhere := brokertest.Everywhere(cert)
	everywhere.ConnectTimeout, everywhere.WriteTimeout = time.Hour, time.Hour
	b := start(t, everywhere)
	lost := make(chan struct{}, 4)
	for _, u := range b.URLs() {
		connect(t, options(u).SetTLSConfig(cert.Client()).
			SetConnectionLostHandler(func(paho.Client, error) { lost <- struct{}{} }))
		silent, err := net.Dial("tcp", u[strings.Index(u, "://")+3:])
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close()
	}
	until(t, "all connected", func() bool { return b.Stats().Connections == 8 })
	begin := time.Now()
	b.Close()
	b.Close()
	if d := time.Since(begin); d > patience {
		t.Errorf("Close took %v", d)
	}
	for range 4 {
		select {
		case <-lost:
		case <-time.After(patience):
			t.Fatal("a client was not disconnected")
		}
	}
	if s := b.Stats(); s.Connections != 0 || s.Clients != 0 {
		t.Errorf("after Close: %+v", s)
	}
	if c, err := net.Dial("tcp", b.Addr().String()); err == nil {
		c.Close()
		t.Error("still listening")
	}
}
