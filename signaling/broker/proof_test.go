package broker_test

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/signaling"
	"github.com/sallyport-net/sallyport/signaling/broker"
	"github.com/sallyport-net/sallyport/signaling/broker/brokertest"
	"github.com/sallyport-net/sallyport/signaling/proof"
)

// client is a connection past its CONNECT, in packets, with its challenge.
type client struct {
	net.Conn
	t         *testing.T
	challenge proof.Challenge
}

func dialStrict(t *testing.T, b *broker.Broker) *client {
	t.Helper()
	c := &client{Conn: dialConnect(t, b), t: t}
	p := make([]byte, proof.PacketSize)
	if _, err := io.ReadFull(c, p); err != nil {
		t.Fatal(err)
	}
	var ok bool
	if c.challenge, ok = proof.ParsePacket(p); !ok {
		t.Fatalf("after the CONNACK came %x", p)
	}
	return c
}

// publish sends at QoS 1 and waits for the acknowledgement.
func (c *client) publish(topic string, payload []byte) {
	c.t.Helper()
	p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	p.TopicName, p.Payload, p.Qos, p.MessageID = topic, payload, 1, 7
	if err := p.Write(c); err != nil {
		c.t.Fatal(err)
	}
	if got, err := packets.ReadPacket(c); err != nil || got.Details().MessageID != 7 {
		c.t.Fatalf("got %v, %v, want a PUBACK", got, err)
	}
}

// subscribe gives the code of the SUBACK.
func (c *client) subscribe(topic string) byte {
	c.t.Helper()
	p := packets.NewControlPacket(packets.Subscribe).(*packets.SubscribePacket)
	p.Topics, p.Qoss, p.MessageID = []string{topic}, []byte{0}, 8
	if err := p.Write(c); err != nil {
		c.t.Fatal(err)
	}
	got, err := packets.ReadPacket(c)
	ack, ok := got.(*packets.SubackPacket)
	if err != nil || !ok || len(ack.ReturnCodes) != 1 {
		c.t.Fatalf("got %v, %v, want a SUBACK", got, err)
	}
	return ack.ReturnCodes[0]
}

func private(t testing.TB) address.PrivateKey {
	t.Helper()
	k, err := address.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (c *client) prove(k address.PrivateKey, host string) {
	c.t.Helper()
	c.publish(proof.Topic, proof.Make(c.challenge, k.Public(), k.Sign, host))
}

func TestSubscriptionsNeedAProof(t *testing.T) {
	b := brokertest.Start(t, broker.Config{Names: func(h string) bool { return h == "broker.example" }})
	k, other := private(t), private(t)
	mine, theirs := signaling.Topic(k.Public()), signaling.Topic(other.Public())

	c := dialStrict(t, b)
	if code := c.subscribe(mine); code != 0x80 {
		t.Errorf("without a proof: code %#x", code)
	}
	c.prove(k, "127.0.0.1")
	for topic, want := range map[string]byte{mine: 0, theirs: 0x80, proof.Topic: 0x80, "sallyport/1/+": 0x80, "sallyport/1/#": 0x80, "$share/g/" + mine: 0x80, "#": 0x80} {
		if code := c.subscribe(topic); code != want {
			t.Errorf("%q: code %#x, want %#x", topic, code, want)
		}
	}
	// One connection, one key.
	c.prove(other, "127.0.0.1")
	if code := c.subscribe(theirs); code != 0x80 {
		t.Errorf("with a second proof: code %#x", code)
	}
	// What strangers publish arrives, and they need no proof for it.
	stranger := dialStrict(t, b)
	stranger.publish(mine, []byte("hello"))
	if got, err := packets.ReadPacket(c); err != nil || string(got.(*packets.PublishPacket).Payload) != "hello" {
		t.Errorf("got %v, %v", got, err)
	}
	for _, host := range []string{"localhost", "broker.example", "::ffff:127.0.0.1"} {
		c := dialStrict(t, b)
		c.prove(k, host)
		if code := c.subscribe(mine); code != 0 {
			t.Errorf("proof for %q: code %#x", host, code)
		}
	}
	if s := b.Stats(); s.Proven != 4 || s.Refused != 0 || s.Panics != 0 {
		t.Errorf("stats %+v", s)
	}
}

// No wrong proof opens a topic, nor does a right one after it.
func TestProofsThatAreRefused(t *testing.T) {
	b := brokertest.Start(t, broker.Config{})
	k, other := private(t), private(t)
	topic := signaling.Topic(k.Public())
	old := dialStrict(t, b)
	for name, make := range map[string]func(c proof.Challenge) []byte{
		"nothing":          func(proof.Challenge) []byte { return nil },
		"noise":            func(proof.Challenge) []byte { return bytes.Repeat([]byte{1}, 500) },
		"another's key":    func(c proof.Challenge) []byte { return proof.Make(c, k.Public(), other.Sign, "127.0.0.1") },
		"another's name":   func(c proof.Challenge) []byte { return proof.Make(c, k.Public(), k.Sign, "broker.example") },
		"another address":  func(c proof.Challenge) []byte { return proof.Make(c, k.Public(), k.Sign, "127.0.0.2") },
		"an old challenge": func(proof.Challenge) []byte { return proof.Make(old.challenge, k.Public(), k.Sign, "127.0.0.1") },
	} {
		t.Run(name, func(t *testing.T) {
			c := dialStrict(t, b)
			before := b.Stats().Unproven
			c.publish(proof.Topic, make(c.challenge))
			if n := b.Stats().Unproven; n != before+1 {
				t.Errorf("%d counted, want %d", n, before+1)
			}
			c.prove(k, "127.0.0.1")
			if code := c.subscribe(topic); code != 0x80 {
				t.Errorf("code %#x", code)
			}
		})
	}
	if s := b.Stats(); s.Proven != 0 || s.Panics != 0 {
		t.Errorf("stats %+v", s)
	}
}

// Whoever is refused gets no challenge: an error is all that comes.
func TestNoChallengeForTheRefused(t *testing.T) {
	b := brokertest.Start(t, broker.Config{})
	if err := wait(t, paho.NewClient(options(b.URL()).SetWill("sallyport/1/a", "x", 0, false)).Connect()); err == nil {
		t.Fatal("connected")
	}
	c, err := net.Dial("tcp", b.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = c.Write(connectPacket(3))
	_ = c.SetReadDeadline(time.Now().Add(patience))
	if got, err := io.ReadAll(c); err != nil || len(got) != 4 {
		t.Errorf("got %x, %v", got, err)
	}
}

// An ordinary MQTT client may publish, and is not confused by the challenge.
func TestOrdinaryClientPublishes(t *testing.T) {
	b := brokertest.Start(t, broker.Config{})
	k := private(t)
	c := dialStrict(t, b)
	c.prove(k, "127.0.0.1")
	if code := c.subscribe(signaling.Topic(k.Public())); code != 0 {
		t.Fatalf("code %#x", code)
	}
	wait(t, connect(t, options(b.URL()).SetUsername("user").SetPassword("password")).Publish(signaling.Topic(k.Public()), 1, false, "hi"))
	if got, err := packets.ReadPacket(c); err != nil || string(got.(*packets.PublishPacket).Payload) != "hi" {
		t.Errorf("got %v, %v", got, err)
	}
}
