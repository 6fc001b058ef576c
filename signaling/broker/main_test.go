package broker_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"go.uber.org/goleak"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/signaling"
	"github.com/sallyport-net/sallyport/signaling/broker"
	"github.com/sallyport-net/sallyport/signaling/broker/brokertest"
)

// patience is what a loaded machine is given; what waits that long waits for ever.
const patience = time.Minute

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start starts a broker on which anyone may listen, whatever c says: proof_test
// has the others.
func start(t testing.TB, c broker.Config) *broker.Broker {
	t.Helper()
	c.Anyone = true
	return brokertest.Start(t, c)
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

// dialConnect is a connection past its CONNECT, in raw bytes, without a
// keepalive.
func dialConnect(t testing.TB, b *broker.Broker) net.Conn {
	t.Helper()
	c, err := tryConnect(t, b)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func tryConnect(t testing.TB, b *broker.Broker) (net.Conn, error) {
	c, err := net.Dial("tcp", b.Addr().String())
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { c.Close() })
	if _, err := c.Write(connectPacket(4)); err != nil {
		return nil, err
	}
	ack := make([]byte, 4)
	if _, err := io.ReadFull(c, ack); err != nil || !bytes.Equal(ack, []byte{0x20, 2, 0, 0}) {
		return nil, fmt.Errorf("CONNACK %x, %v", ack, err)
	}
	return c, nil
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
