package natlab

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/nat/machinetest"
)

// roundTrip pings an address from the host, by ICMP, and gives the time.
func roundTrip(t testing.TB, h *Host, to netip.Addr) time.Duration {
	t.Helper()
	conn, err := h.listenICMP()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	p := ping(h.Addr(), to, echoRequest, 4711)
	start := time.Now()
	conn.WriteTo(p.b[p.l4:], &net.IPAddr{IP: to.AsSlice()})
	conn.SetReadDeadline(start.Add(patience))
	for b := make([]byte, maxPacket); ; {
		n, from, err := conn.ReadFrom(b)
		if err != nil {
			t.Fatalf("no answer to a ping from %v to %v: %v", h.Addr(), to, err)
		}
		if n >= 8 && b[0] == icmpTypes[echoReply] && bytes.Equal(b[4:6], p.b[p.l4+4:p.l4+6]) && from.String() == to.String() {
			return time.Since(start)
		}
	}
}

// listenICMP opens a raw socket.
func (h *Host) listenICMP() (conn net.PacketConn, err error) {
	err = h.Do(func() error {
		conn, err = net.ListenPacket("ip4:icmp", h.Addr().String())
		return err
	})
	return conn, err
}

func TestDelay(t *testing.T) {
	l := newLab(t, Config{})
	server := newHost(t, l, HostConfig{Delay: 5 * time.Millisecond})
	echoUDP(t, server, ":7")
	behind := newBox(t, l, NAT{Delay: 20 * time.Millisecond})
	h := newHost(t, l, HostConfig{Behind: behind, Delay: 10 * time.Millisecond})
	want := 2 * 35 * time.Millisecond
	conn := listenUDP(t, h, 5000)
	machinetest.Calmly(t, func() (wrong string) {
		for range 5 { // small pauses add up
			var times []time.Duration
			for range 21 {
				start := time.Now()
				seenUDP(t, conn, netip.AddrPortFrom(server.Addr(), 7))
				times = append(times, time.Since(start))
			}
			slices.Sort(times)
			t.Log(times[0], times[10], times[20])
			if times[0] < want {
				t.Fatalf("round trip in %v, want at least %v", times[0], want)
			}
			if times[10] <= want+2*time.Millisecond {
				return ""
			}
			wrong = fmt.Sprintf("the median is %v, want %v to 2 ms more", times[10], want)
		}
		return wrong
	})
}

func TestSetLink(t *testing.T) {
	l := newLab(t, Config{})
	server := newHost(t, l, HostConfig{})
	h := newHost(t, l, HostConfig{})
	machinetest.Calmly(t, func() string {
		if took := roundTrip(t, h, server.Addr()); took > 100*time.Millisecond {
			return fmt.Sprintf("%v without delay", took)
		}
		return ""
	})
	if err := h.SetLink(Link{Delay: 50 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	if took := roundTrip(t, h, server.Addr()); took < 100*time.Millisecond {
		t.Errorf("%v with 50 ms each way", took)
	}
	if h.SetLink(Link{Loss: 2}) == nil {
		t.Error("a loss of 2 was taken")
	}
}

// burst sends n numbered datagrams over a link and gives the numbers in the
// order of arrival at the core.
func burst(t *testing.T, seed uint64, k Link, n int) []int {
	t.Helper()
	l := newLab(t, Config{Seed: seed})
	server := newHost(t, l, HostConfig{})
	h := newHost(t, l, HostConfig{Delay: k.Delay, Jitter: k.Jitter, Loss: k.Loss})
	arrived := make(chan int, 2*n)
	l.Watch(func(p Packet) {
		if p.Proto == protoUDP {
			arrived <- int(p.Dst.Port())
		}
	})
	conn := listenUDP(t, h, 5000)
	send := func(i int) { conn.WriteTo(nil, &net.UDPAddr{IP: server.Addr().AsSlice(), Port: i}) }
	for i := range n {
		send(1 + i)
	}
	// Where some are lost, what comes last says that there are no more.
	const last = 60000
	var order []int
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for limit := time.After(patience); len(order) < n; {
		select {
		case i := <-arrived:
			if i == last {
				return order
			}
			order = append(order, i)
		case <-again.C:
			if k.Loss > 0 {
				send(last)
			}
		case <-limit:
			t.Fatalf("%d of %d datagrams arrived", len(order), n)
		}
	}
	return order
}

func TestOrder(t *testing.T) {
	for _, k := range []Link{{}, {Delay: 10 * time.Millisecond}} {
		if got := burst(t, 1, k, 300); !slices.IsSorted(got) {
			t.Errorf("%+v: the order %v", k, got)
		}
	}
	if got := burst(t, 1, Link{Delay: 10 * time.Millisecond, Jitter: 10 * time.Millisecond}, 300); slices.IsSorted(got) {
		t.Error("nothing overtakes with jitter")
	}
}

func TestLoss(t *testing.T) {
	const n = 3000
	first := burst(t, 1, Link{Loss: 0.1}, n)
	if got := n - len(first); got < 220 || got > 380 { // 300 ± 5 deviations
		t.Errorf("%d of %d lost at 10 %%", got, n)
	}
	if again := burst(t, 1, Link{Loss: 0.1}, n); !slices.Equal(first, again) {
		t.Error("another loss with the same seed")
	}
	if other := burst(t, 2, Link{Loss: 0.1}, n); slices.Equal(first, other) {
		t.Error("the same loss with another seed")
	}
}

// TCP gets through loss, with the kernel's retransmits.
func TestTCPOverLoss(t *testing.T) {
	l := newLab(t, Config{Seed: 3})
	server := newHost(t, l, HostConfig{})
	h := newHost(t, l, HostConfig{Behind: newBox(t, l, NAT{Loss: 0.05, Jitter: time.Millisecond})})
	from, to := connected(t, h, server)
	data := bytes.Repeat([]byte("sallyport"), 20000)
	go func() {
		from.Write(data)
		from.Close()
	}()
	to.SetDeadline(time.Now().Add(6 * patience))
	if got, err := io.ReadAll(to); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d of %d bytes: %v", len(got), len(data), err)
	}
}

func TestCut(t *testing.T) {
	l := newLab(t, Config{})
	b := newBox(t, l, NAT{})
	server, h := newHost(t, l, HostConfig{}), newHost(t, l, HostConfig{Behind: b})
	from, to := connected(t, h, server)
	for _, c := range []interface{ Cut(bool) }{h, b, server} {
		c.Cut(true)
		if _, err := from.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		to.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if _, err := to.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%T cut: read gave %v", c, err)
		}
		c.Cut(false)
		to.SetReadDeadline(time.Now().Add(patience))
		if _, err := to.Read(make([]byte, 1)); err != nil {
			t.Errorf("%T: %v after the cut", c, err)
		}
	}
}
