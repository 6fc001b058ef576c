package broker_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"go.uber.org/goleak"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/signaling"
	"github.com/sallyport-net/sallyport/signaling/broker"
)

const patience = 10 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start starts a broker on which anyone may listen, whatever c says: proof_test
// has the others.
func start(t testing.TB, c broker.Config) *broker.Broker {
	t.Helper()
	c.Anyone = true
	return startStrict(t, c)
}

func startStrict(t testing.TB, c broker.Config) *broker.Broker {
	t.Helper()
	if c.Listen == "" && c.ListenTLS == "" && c.ListenWS == "" && c.ListenWSS == "" {
		c.Listen = "127.0.0.1:0"
	}
	b, err := broker.Start(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// until waits for cond.
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

func certificate(t testing.TB) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

func options(url string) *paho.ClientOptions {
	return paho.NewClientOptions().AddBroker(url).SetProtocolVersion(4).SetClientID("test-" + rand.Text()).
		SetAutoReconnect(false).SetConnectTimeout(patience)
}

func wait(t testing.TB, tok paho.Token) error {
	t.Helper()
	if !tok.WaitTimeout(patience) {
		t.Fatal("a token never completed")
	}
	return tok.Error()
}

func connect(t testing.TB, o *paho.ClientOptions) paho.Client {
	t.Helper()
	c := paho.NewClient(o)
	if err := wait(t, c.Connect()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Disconnect(100) })
	return c
}

// listen subscribes and gives what arrives.
func listen(t testing.TB, c paho.Client, topic string, qos byte) <-chan paho.Message {
	t.Helper()
	got := make(chan paho.Message, 10000)
	tok := c.Subscribe(topic, qos, func(_ paho.Client, m paho.Message) { got <- m })
	if err := wait(t, tok); err != nil {
		t.Fatal(err)
	}
	if code := tok.(*paho.SubscribeToken).Result()[topic]; code != 0 {
		t.Fatalf("subscription to %q: code %#x, want 0", topic, code)
	}
	return got
}

func next(t testing.TB, got <-chan paho.Message) string {
	t.Helper()
	select {
	case m := <-got:
		return string(m.Payload())
	case <-time.After(patience):
		t.Fatal("nothing arrived")
		return ""
	}
}

func topic(t testing.TB) string {
	t.Helper()
	k, err := address.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return signaling.Topic(k.Public())
}

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
	cert, pool := certificate(t)
	b := start(t, broker.Config{
		Listen: "127.0.0.1:0", ListenTLS: "127.0.0.1:0", ListenWS: "127.0.0.1:0", ListenWSS: "127.0.0.1:0",
		TLS: &tls.Config{Certificates: []tls.Certificate{cert}},
	})
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
			c := connect(t, options(urls[i]+"/mqtt").SetTLSConfig(&tls.Config{RootCAs: pool}))
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
	cert, pool := certificate(t)
	b := start(t, broker.Config{
		Listen: "127.0.0.1:0", ListenTLS: "127.0.0.1:0", ListenWS: "127.0.0.1:0", ListenWSS: "127.0.0.1:0",
		TLS: &tls.Config{Certificates: []tls.Certificate{cert}},
	})
	lost := make(chan struct{}, 4)
	for _, u := range b.URLs() {
		connect(t, options(u).SetTLSConfig(&tls.Config{RootCAs: pool}).
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
	if d := time.Since(begin); d > 2*time.Second {
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

// dialConnect is a connection past its CONNECT, in raw bytes, without a
// keepalive.
func dialConnect(t testing.TB, b *broker.Broker) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", b.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := c.Write(connectPacket(4)); err != nil {
		t.Fatal(err)
	}
	ack := make([]byte, 4)
	if _, err := io.ReadFull(c, ack); err != nil || !bytes.Equal(ack, []byte{0x20, 2, 0, 0}) {
		t.Fatalf("CONNACK %x, %v", ack, err)
	}
	return c
}

func connectPacket(version byte) []byte {
	body := append([]byte{0, 4}, "MQTT"...)
	body = append(body, version, 2, 0, 0)
	if version == 5 {
		body = append(body, 0)
	}
	body = append(body, 0, 1, 'x')
	return append([]byte{0x10, byte(len(body))}, body...)
}
