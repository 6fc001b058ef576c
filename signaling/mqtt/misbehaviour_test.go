package mqtt_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/signaling"
	"github.com/sallyport-net/sallyport/signaling/broker"
	"github.com/sallyport-net/sallyport/signaling/mqtt"
)

// accept answers CONNECT and SUBSCRIBE as a broker should, and gives the
// CONNECT.
func accept(t testing.TB, c net.Conn) *packets.ConnectPacket {
	p, err := packets.ReadPacket(c)
	if err != nil {
		return nil
	}
	_, _ = c.Write([]byte{0x20, 2, 0, 0})
	s, err := packets.ReadPacket(c)
	if err != nil {
		return nil
	}
	sub, ok := s.(*packets.SubscribePacket)
	if !ok || len(sub.Topics) != 1 || sub.Qoss[0] != 0 {
		t.Errorf("got %v, want one SUBSCRIBE at QoS 0", s)
		return nil
	}
	_, _ = c.Write([]byte{0x90, 3, byte(sub.MessageID >> 8), byte(sub.MessageID), 0})
	return p.(*packets.ConnectPacket)
}

func publish(topic string, payload []byte, head byte) []byte {
	var b bytes.Buffer
	p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	p.TopicName, p.Payload = topic, payload
	p.Qos, p.Retain = head>>1&3, head&1 != 0
	p.MessageID = 1
	_ = p.Write(&b)
	return b.Bytes()
}

// A broker that opens properly and then sends what it should not.
func TestWhatBrokersSend(t *testing.T) {
	const limit = 1000
	key := newKey(t)
	topic := signaling.Topic(key)
	large := bytes.Repeat([]byte("x"), limit+1)
	for name, x := range map[string]struct {
		send []byte
		want string // of the loss; "" where it is skipped
	}{
		"retained":          {publish(topic, []byte("junk"), 1), ""},
		"retained, large":   {publish(topic, large, 1), ""},
		"too large":         {publish(topic, large, 0), ""},
		"4 MB":              {publish(topic, make([]byte, 4<<20), 0), ""},
		"other topic":       {publish(topic+"x", []byte("junk"), 0), ""},
		"no topic":          {[]byte{0x30, 0}, ""},
		"cut topic":         {[]byte{0x30, 3, 0, 9, 'a'}, ""},
		"QoS 1":             {publish(topic, []byte("junk"), 2), "out of place"},
		"QoS 2":             {publish(topic, []byte("junk"), 4), "out of place"},
		"SUBACK, two codes": {[]byte{0x90, 4, 0, 1, 0, 0}, "out of place"},
		"SUBACK, no code":   {[]byte{0x90, 2, 0, 1}, "out of place"},
		"256 MB PUBACK":     {[]byte{0x40, 0xff, 0xff, 0xff, 0x7f}, "out of place"},
		"endless length":    {[]byte{0x30, 0xff, 0xff, 0xff, 0xff}, "more than four bytes"},
		"second CONNACK":    {[]byte{0x20, 2, 0, 0}, "out of place"},
		"CONNECT":           {[]byte{0x10, 0}, "out of place"},
		"type 0":            {[]byte{0, 0}, "out of place"},
		"type 15":           {[]byte{0xf0, 0}, "out of place"},
		"PINGRESP":          {[]byte{0xd0, 0}, ""},
		"SUBACK again":      {[]byte{0x90, 3, 0, 1, 0x80}, ""},
		"DISCONNECT":        {[]byte{0xe0, 0}, "ended the connection"},
	} {
		t.Run(name, func(t *testing.T) {
			addr := listen(t, func(c net.Conn) {
				if accept(t, c) != nil {
					_, _ = c.Write(x.send)
					_, _ = c.Write(publish(topic, bytes.Repeat([]byte("y"), limit), 0))
					hold(c)
				}
			})
			lost := make(chan error, 100)
			c := newChannel(t, mqtt.Config{
				Key: key, Brokers: at("tcp://" + addr), MaxPayload: limit, MinBackoff: time.Minute,
				OnState: func(_ address.Broker, s mqtt.State) {
					if !s.Open {
						lost <- s.Err
					}
				},
			})
			if x.want == "" {
				receive(t, c, strings.Repeat("y", limit))
				if x.send[0]>>4 == packets.Publish && c.Stats().Skipped != 1 {
					t.Errorf("stats %+v", c.Stats())
				}
				select {
				case err := <-lost:
					t.Errorf("lost: %v", err)
				default:
				}
				return
			}
			select {
			case err := <-lost:
				if !strings.Contains(err.Error(), x.want) {
					t.Errorf("lost: %v, want %q in it", err, x.want)
				}
			case d := <-c.Deliveries():
				t.Errorf("got %.10q", d.Payload)
			case <-time.After(patience):
				t.Fatal("still open")
			}
		})
	}
}

// What a broker may answer to CONNECT and SUBSCRIBE.
func TestRefusals(t *testing.T) {
	for name, x := range map[string]struct {
		connack, suback []byte
		want            string
	}{
		"not authorized":       {[]byte{0x20, 2, 0, 5}, nil, "not Authorized"},
		"unknown code":         {[]byte{0x20, 2, 0, 0x87}, nil, "unknown code 135"},
		"not CONNACK":          {[]byte{0xd0, 0}, nil, "not CONNACK"},
		"CONNACK, cut":         {[]byte{0x20, 1, 0}, nil, "out of place"},
		"subscription refused": {[]byte{0x20, 2, 0, 0}, []byte{0x90, 3, 0, 1, 0x80}, "refused the subscription"},
		"SUBACK never comes":   {[]byte{0x20, 2, 0, 0}, []byte{0xd0, 0}, "no answer within"},
		"SUBACK, two codes":    {[]byte{0x20, 2, 0, 0}, []byte{0x90, 4, 0, 1, 0, 0}, "out of place"},
	} {
		t.Run(name, func(t *testing.T) {
			addr := listen(t, func(c net.Conn) {
				if _, err := packets.ReadPacket(c); err != nil {
					return
				}
				_, _ = c.Write(x.connack)
				if x.suback != nil {
					_, _ = packets.ReadPacket(c)
					_, _ = c.Write(x.suback)
				}
				hold(c)
			})
			limit := time.Hour
			if strings.Contains(x.want, "no answer") {
				limit = time.Second
			}
			c := newChannel(t, mqtt.Config{ConnectTimeout: limit})
			if _, err := c.Join(deadline(t), at("tcp://"+addr)); err == nil || !strings.Contains(err.Error(), x.want) {
				t.Errorf("got %v, want %q in it", err, x.want)
			}
		})
	}
}

// What we send: a clean session of MQTT 3.1.1, and each time another client id.
func TestConnectPacket(t *testing.T) {
	got := make(chan *packets.ConnectPacket, 10)
	addr := listen(t, func(c net.Conn) {
		if p := accept(t, c); p != nil {
			select {
			case got <- p:
			default: // enough
			}
		}
		c.Close()
	})
	key := newKey(t)
	newChannel(t, mqtt.Config{Key: key, Brokers: at("tcp://user:secret@" + addr), KeepAlive: 1500 * time.Millisecond})
	ids := map[string]bool{}
	for range 3 {
		p := <-got
		if p.ProtocolVersion != 4 || p.ProtocolName != "MQTT" || !p.CleanSession || p.WillFlag || p.Keepalive != 2 ||
			p.Username != "user" || string(p.Password) != "secret" {
			t.Errorf("CONNECT %+v", p)
		}
		if id := p.ClientIdentifier; len(id) < 16 || len(id) > 23 || strings.Contains(id, key.String()[:8]) || ids[id] {
			t.Errorf("client id %q", id)
		}
		ids[p.ClientIdentifier] = true
	}
}

// Ten thousand messages a second on one broker, in bursts, and nobody reading
// for a while: what comes over the other broker is all there.
func TestFloodOnOneBroker(t *testing.T) {
	key := newKey(t)
	topic := signaling.Topic(key)
	junk := bytes.Repeat(publish(topic, []byte("junk"), 0), 100)
	var sent atomic.Uint64
	addr := listen(t, func(c net.Conn) {
		if accept(t, c) == nil {
			return
		}
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for range tick.C {
			if _, err := c.Write(junk); err != nil {
				return
			}
			sent.Add(100)
		}
	})
	b := startBroker(t, broker.Config{})
	brokers := at("tcp://"+addr, b.URL())
	c := newChannel(t, mqtt.Config{Key: key, Brokers: brokers, Queue: 64})
	sender := newChannel(t, mqtt.Config{Brokers: at(b.URL())})
	untilOpen(t, sender, 1)
	untilOpen(t, c, 2)
	const n = 64
	for i := range n {
		if err := sender.Publish(deadline(t), key, at(b.URL()), fmt.Append(nil, "real ", i)); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "all real ones and much junk", func() bool { return sent.Load() >= 5000 && c.Stats().Dropped > 1000 })
	seen := map[string]bool{}
	after := time.After(patience)
	for len(seen) < n {
		select {
		case d := <-c.Deliveries():
			if strings.HasPrefix(string(d.Payload), "real ") {
				seen[string(d.Payload)] = true
			}
		case <-after:
			t.Fatalf("%d of %d came", len(seen), n)
		}
	}
	// And with a reader, at the full rate of the flood.
	for i := range 20 {
		want := fmt.Sprint("late ", i)
		if err := sender.Publish(deadline(t), key, at(b.URL()), []byte(want)); err != nil {
			t.Fatal(err)
		}
		receive(t, c, want, "junk", "real")
	}
}

// A server that talks without end and never says CONNACK.
func TestEndlessGreeting(t *testing.T) {
	header := append([]byte("X: "), bytes.Repeat([]byte("x"), 4000)...)
	header = append(header, "\r\n"...)
	addr := listen(t, func(c net.Conn) {
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\n")
		for {
			if _, err := c.Write(header); err != nil {
				return
			}
		}
	})
	c := newChannel(t, mqtt.Config{ConnectTimeout: time.Hour})
	if _, err := c.Join(deadline(t), at("ws://"+addr)); err == nil || !strings.Contains(err.Error(), "more than 512 kB") {
		t.Errorf("got %v", err)
	}
}
