package broker_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/sallyport-net/sallyport/signaling/broker"
)

func TestPublishRate(t *testing.T) {
	b := start(t, broker.Config{PublishRate: 0.001, PublishBurst: 5})
	to := topic(t)
	got := listen(t, connect(t, options(b.URL())), to, 0)
	c := connect(t, options(b.URL()))
	for range 12 {
		wait(t, c.Publish(to, 0, false, "x"))
	}
	until(t, "publishes counted", func() bool { s := b.Stats(); return s.Received == 12 && s.Sent == 5 && s.Limited == 7 })
	if n := len(got); n > 5 {
		t.Errorf("%d messages arrived, want 5 at most", n)
	}
	if !c.IsConnectionOpen() {
		t.Error("disconnected by a small excess")
	}
	// Another client has its own budget.
	d := connect(t, options(b.URL()))
	wait(t, d.Publish(to, 0, false, "y"))
	for next(t, got) != "y" {
	}
}

func TestFloodIsDisconnected(t *testing.T) {
	b := start(t, broker.Config{PublishRate: 1, PublishBurst: 4})
	c := dialConnect(t, b)
	for end := time.Now().Add(patience); ; {
		if time.Now().After(end) {
			t.Fatal("still connected")
		}
		if _, err := c.Write([]byte{0xC0, 0}); err != nil { // PINGREQ
			break
		}
	}
}

func TestPacketSize(t *testing.T) {
	b := start(t, broker.Config{MaxPacket: 1000})
	to := topic(t)
	c := connect(t, options(b.URL()))
	got := listen(t, c, to, 0)
	fits := strings.Repeat("x", 900)
	wait(t, c.Publish(to, 0, false, fits))
	if s := next(t, got); s != fits {
		t.Fatalf("got %d bytes", len(s))
	}
	lost := make(chan error, 1)
	d := connect(t, options(b.URL()).SetConnectionLostHandler(func(_ paho.Client, err error) { lost <- err }))
	wait(t, d.Publish(to, 0, false, strings.Repeat("x", 1000)))
	select {
	case <-lost:
	case <-time.After(patience):
		t.Fatal("an oversized packet was accepted")
	}
}

func TestClientCaps(t *testing.T) {
	for name, config := range map[string]broker.Config{
		"in all": {MaxClients: 2},
		"per IP": {MaxPerIP: 2},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, config)
			a := connect(t, options(b.URL()))
			connect(t, options(b.URL()))
			if err := wait(t, paho.NewClient(options(b.URL())).Connect()); err == nil {
				t.Fatal("a third client was accepted")
			}
			if s := b.Stats(); s.TurnedAway != 1 || s.Clients != 2 || s.Connections != 2 {
				t.Errorf("stats %+v", s)
			}
			a.Disconnect(100)
			until(t, "a place free", func() bool { return b.Stats().Connections == 1 })
			connect(t, options(b.URL()))
		})
	}
}

// A subscriber that does not read is cut off, and holds nobody up. That it costs no
// more than its queue, TestCloseDoesNotWaitForSlowOnes shows.
func TestSlowReader(t *testing.T) {
	b := start(t, broker.Config{PublishRate: 1e6, PublishBurst: 1e6, WriteTimeout: 300 * time.Millisecond})
	to := topic(t)
	slow := dialConnect(t, b)
	_ = slow.(*net.TCPConn).SetReadBuffer(4096)
	sub := packets.NewControlPacket(packets.Subscribe).(*packets.SubscribePacket)
	sub.MessageID, sub.Topics, sub.Qoss = 1, []string{to}, []byte{1}
	if err := sub.Write(slow); err != nil {
		t.Fatal(err)
	}
	if p, err := packets.ReadPacket(slow); err != nil {
		t.Fatal(err)
	} else if _, ok := p.(*packets.SubackPacket); !ok {
		t.Fatalf("got %v, want SUBACK", p)
	}
	// It goes on sending, what needs no answer: at each packet mochi moves the
	// deadlines.
	ctx, cancel := context.WithCancel(context.Background())
	pinged := make(chan struct{})
	go func() {
		defer close(pinged)
		for ctx.Err() == nil {
			if _, err := slow.Write([]byte{0x30, 15, 0, 13, 's', 'a', 'l', 'l', 'y', 'p', 'o', 'r', 't', '/', '1', '/', 'x'}); err != nil {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	}()
	t.Cleanup(func() { cancel(); <-pinged })

	quick := listen(t, connect(t, options(b.URL())), to, 0)
	c := connect(t, options(b.URL()))
	payload := bytes.Repeat([]byte("x"), 8000)
	until(t, "the slow reader is cut off", func() bool {
		wait(t, c.Publish(to, 1, false, payload))
		if s := next(t, quick); s != string(payload) {
			t.Fatalf("got %d bytes", len(s))
		}
		return b.Clients() == 2
	})
}

func TestKeepAliveIsBounded(t *testing.T) {
	b := start(t, broker.Config{MaxKeepAlive: time.Second})
	c := dialConnect(t, b) // asks for none
	begin := time.Now()
	_ = c.SetReadDeadline(begin.Add(patience))
	if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("read: %v", err)
	}
	if d := time.Since(begin); d < 500*time.Millisecond {
		t.Errorf("closed after %v, want 1 s or a little more", d)
	}
}
