package broker

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// Whoever retains as fast as it can must not keep others from keeping their
// names: a record costs nothing to make up.
func TestRetainedShare(t *testing.T) {
	r := newRetained(Config{Retain: func(string, []byte, []byte) error { return nil }, Now: time.Now})
	server := mochi.New(&mochi.Options{})
	admit := func(from, topic string) bool {
		return r.admit(server, netip.MustParsePrefix(from), packets.Packet{TopicName: topic, Payload: []byte("x")})
	}
	for range 1000 {
		admit("192.0.2.1/32", namePrefix+"flood")
	}
	for n := range 20 {
		if !admit("192.0.2.2/32", fmt.Sprint(namePrefix, n)) {
			t.Fatalf("name %d of another address is not kept during a flood", n)
		}
	}
	// Memory is bounded, however many addresses come.
	for n := range 3 * maxOrigins {
		admit(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}), 32).String(), namePrefix+"many")
	}
	if n := len(r.rates); n > maxOrigins {
		t.Errorf("%d addresses are remembered", n)
	}
}
