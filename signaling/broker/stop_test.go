package broker_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/nat/machinetest"
	"github.com/sallyport-net/sallyport/signaling/broker"
)

// After Stop the clients that are there go on, and nobody new gets in; Close
// tells them.
func TestStopThenGoodbye(t *testing.T) {
	machinetest.Calmly(t, func() string {
		b := start(t, broker.Config{Listen: "127.0.0.1:0", ListenWS: "127.0.0.1:0"})
		to := topic(t)
		c := connect(t, options(b.URL()))
		got := listen(t, c, to, 0)
		raw := dialConnect(t, b)
		b.Stop()
		b.Stop()
		for _, u := range b.URLs() {
			_, addr, _ := strings.Cut(u, "://")
			if _, err := net.Dial("tcp", addr); err == nil {
				t.Errorf("%s still listens", u)
			}
		}
		wait(t, c.Publish(to, 0, false, "still here"))
		if s := next(t, got); s != "still here" {
			t.Fatalf("got %q", s)
		}
		b.Close()
		_ = raw.SetReadDeadline(time.Now().Add(patience))
		if last, err := io.ReadAll(raw); err != nil || !bytes.Equal(last, []byte{0xe0, 0}) {
			return fmt.Sprintf("the last bytes were %x, %v; want a DISCONNECT and the end", last, err)
		}
		return ""
	})
}

// A client that takes nothing does not hold the end up.
func TestCloseDoesNotWaitForSlowOnes(t *testing.T) {
	b := start(t, broker.Config{PublishRate: 1e6, PublishBurst: 1e6, Queue: 8, WriteTimeout: time.Hour})
	slow := dialConnect(t, b)
	_ = slow.(*net.TCPConn).SetReadBuffer(4096)
	if _, err := slow.Write([]byte{0x82, 18, 0, 1, 0, 13, 's', 'a', 'l', 'l', 'y', 'p', 'o', 'r', 't', '/', '1', '/', 'x', 0}); err != nil {
		t.Fatal(err)
	}
	until(t, "subscribed", func() bool { return b.Stats().Subscriptions == 1 })
	c := connect(t, options(b.URL()))
	payload := bytes.Repeat([]byte("x"), 15000)
	until(t, "the slow reader's queue is full", func() bool {
		wait(t, c.Publish("sallyport/1/x", 0, false, payload))
		return b.Stats().Slow > 0
	})
	begin := time.Now()
	b.Close()
	if d := time.Since(begin); d > patience {
		t.Errorf("Close took %v", d)
	}
}
