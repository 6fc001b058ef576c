package node

import (
	"context"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node/link"
)

// One address can't take the places of all others, nor one IPv6 site by its many
// addresses.
func TestHall(t *testing.T) {
	h := newHall()
	at := func(ip string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: 1} }
	fill := func(ips ...string) (leave []func()) {
		for k := range 2 * maxWaiting {
			if l, ok := h.enter(at(ips[k%len(ips)])); ok {
				leave = append(leave, l)
			}
		}
		return leave
	}
	one := fill("192.0.2.1", "::ffff:192.0.2.1")
	two := fill("2001:db8::1", "2001:db8::2:3")
	if len(one) != maxWaitingOf || len(two) != maxWaitingOf {
		t.Fatalf("%d and %d places of one site, want %d", len(one), len(two), maxWaitingOf)
	}
	if _, ok := h.enter(at("192.0.2.2")); !ok {
		t.Fatal("another address finds no place")
	}
	for _, leave := range append(one, two...) {
		leave()
		leave()
	}
	if h.taken != 1 || len(h.from) != 1 {
		t.Errorf("%d are left, of %v", h.taken, h.from)
	}
	for k := range 2 * maxWaiting {
		_, _ = h.enter(at(net.IPv4(10, 0, byte(k>>8), byte(k)).String()))
	}
	if h.taken != maxWaiting {
		t.Errorf("%d wait at once, want %d", h.taken, maxWaiting)
	}
}

// A proven link keeps its place until it is nominated: keys are free, and so are
// proofs.
func TestProvenLinkKeepsItsPlace(t *testing.T) {
	taken := func(n *Node) int {
		n.hall.mu.Lock()
		defer n.hall.mu.Unlock()
		return n.hall.taken
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	key, err := address.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	n, err := New(ctx, Config{
		Brokers: []address.Broker{{URL: "tcp://127.0.0.1:9"}}, STUN: []string{}, STUNTCP: []string{},
		Interfaces: []string{"lo"}, NoLAN: true, NoWait: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	begun := time.Now()
	conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(n.warm.port))))
	if err != nil {
		t.Fatal(err)
	}
	l, err := link.Client(ctx, conn, link.NewIdentity(key, nil), n.ID(), link.Token{})
	if err != nil {
		t.Fatal(err)
	}
	for k := 0; k < 100; k++ {
		if got := taken(n); got != 1 && time.Since(begun) < nominationTimeout {
			t.Fatalf("%d places are taken while a proven link waits", got)
		}
		time.Sleep(time.Millisecond)
	}
	_ = l.Close()
	for taken(n) != 0 {
		if ctx.Err() != nil {
			t.Fatal("its place is not given back")
		}
		time.Sleep(time.Millisecond)
	}
}
