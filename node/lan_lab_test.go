package node_test

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/ipv4"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/nat/natlab"
	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/node/lan"
	"github.com/sallyport-net/sallyport/signaling/seal"
)

// lanGroup is where queries go.
var lanGroup = netip.AddrPortFrom(netip.MustParseAddr("239.255.83.80"), lan.Port)

// TestLANByNodeID is a LAN that the internet is cut from: nodes start, are found
// by their ids alone, by hosts of the LAN and by those on the same host, whatever
// a third host there says, and are on their broker as soon as that can be.
func TestLANByNodeID(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	box := w.nat(natlab.NAT{})
	home, other, third := w.host("callee", box), w.host("caller", box), w.host("third", box)
	refused := refusedBy(box)
	box.Cut(true)
	callee := w.node(home) // gives up on its broker after a while
	if callee.Health == "" {
		t.Error("the callee misses nothing")
	}
	secret, callerID := newKey(t)
	caller, twin := w.node(other, refused, func(r *role) { r.Key = secret }), w.node(home, refused)
	id := idOf(t, callee.Address)
	onLAN := func(a *agent, target, at string) {
		t.Helper()
		r := a.mustConnect(target, 1<<20)
		for n := 1; n < tries && r.Took > time.Second; n++ {
			t.Logf("%s: only after %v", a.host.Name(), r.Took)
			r = a.mustConnect(target, 1<<20)
		}
		if r.Via != node.LAN || !strings.HasPrefix(r.Remote, at+":") || r.Took > time.Second {
			t.Errorf("via %s to %s after %v\n%s", r.Via, r.Remote, r.Took, strings.Join(r.Log, "\n"))
		}
		t.Logf("%s: connected after %v, first echo after %v", a.host.Name(), r.Took, r.Echo)
	}
	onLAN(caller, id, home.Addr().String())
	onLAN(twin, id, home.Addr().String())
	onLAN(caller, idOf(t, twin.Address), home.Addr().String())

	t.Run("stale address", func(t *testing.T) {
		a, err := address.Parse(callee.Address)
		if err != nil {
			t.Fatal(err)
		}
		gone := netip.MustParseAddr("192.168.1.99")
		a.V4[0].Internal, a.V4[0].External = gone, gone
		onLAN(caller, a.String(), home.Addr().String())
	})
	t.Run("off", func(t *testing.T) {
		mute := w.node(third, refused, func(r *role) { r.NoLAN = true })
		r := mute.do(order{Connect: id})
		if r.Error == "" || !strings.Contains(r.Hint, "--no-lan") {
			t.Errorf("%+v", r)
		}
		mute.end()
	})
	t.Run("hostile third host", func(t *testing.T) {
		f := newForger(t, third, callerID)
		onLAN(caller, id, home.Addr().String())
		f.replay()
		f.flood(3000)
		onLAN(caller, id, home.Addr().String())
		if n := f.answers(); n > 0 {
			t.Errorf("the third host was answered %d times", n)
		}
	})
	t.Run("the internet is back", func(t *testing.T) {
		box.Cut(false)
		begun := time.Now()
		for callee.do(order{Report: true}).Health != "" {
			if time.Since(begun) > 2*time.Minute {
				t.Fatalf("still %s", callee.do(order{Report: true}).Health)
			}
			time.Sleep(20 * time.Millisecond)
		}
		t.Logf("whole again after %v", time.Since(begun))
	})
}

// refusedBy gives a node a broker that says no at once, and no STUN server, so
// that it starts without waiting for either.
func refusedBy(box *natlab.Box) func(*role) {
	return func(r *role) { r.Brokers, r.STUN = []string{"tcp://" + box.Gateway().String() + ":1883"}, []string{} }
}

func idOf(t *testing.T, text string) string {
	t.Helper()
	a, err := address.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return a.Key.String()
}

// forger is on a host of the LAN, hears every query, and answers each with lies.
type forger struct {
	t     *testing.T
	ear   *net.UDPConn
	mouth *net.UDPConn
	done  chan struct{}
	heard [][]byte
}

// The forger knows who calls, which it can't have from a query.
func newForger(t *testing.T, h *natlab.Host, caller string) *forger {
	t.Helper()
	f := &forger{t: t, done: make(chan struct{})}
	err := h.Do(func() (err error) {
		eth0, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		group := net.UDPAddrFromAddrPort(lanGroup)
		if f.ear, err = net.ListenUDP("udp4", group); err != nil {
			return err
		}
		if err := ipv4.NewPacketConn(f.ear).JoinGroup(eth0, group); err != nil {
			return err
		}
		if f.mouth, err = net.ListenUDP("udp4", &net.UDPAddr{IP: h.Addr().AsSlice()}); err != nil {
			return err
		}
		p := ipv4.NewPacketConn(f.mouth)
		if err := p.SetMulticastTTL(255); err != nil {
			return err
		}
		return p.SetTTL(255)
	})
	if err != nil {
		t.Fatal(err)
	}
	key, err := address.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	to, err := address.ParseKey(caller)
	if err != nil {
		t.Fatal(err)
	}
	// An answer but for the nonce, which only the callee can read, and the key.
	here := h.Addr().As16()
	body := append(append([]byte("lan1a"), make([]byte, 16)...), append(here[:], 0x10, 0xe1)...)
	lie, err := seal.Seal(key, to, body)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(f.done)
		b := make([]byte, 2048)
		for {
			n, from, err := f.ear.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			f.heard = append(f.heard, append([]byte(nil), b[:n]...))
			// To the caller: a lie, and its own query again.
			_, _ = f.mouth.WriteToUDPAddrPort(lie, from)
			_, _ = f.mouth.WriteToUDPAddrPort(b[:n], from)
		}
	}()
	t.Cleanup(func() { f.ear.Close(); f.mouth.Close(); <-f.done })
	return f
}

// replay repeats what was heard, in the forger's own name.
func (f *forger) replay() {
	f.t.Helper()
	f.ear.Close()
	<-f.done
	if len(f.heard) == 0 {
		f.t.Error("no query was heard")
	}
	for _, b := range f.heard {
		f.send(b)
	}
}

// flood sends n datagrams that look like queries.
func (f *forger) flood(n int) {
	f.t.Helper()
	b := make([]byte, 1024)
	b[0], b[1] = seal.Version, 2
	for k := range n {
		b[40], b[41] = byte(k), byte(k>>8)
		f.send(b)
	}
}

func (f *forger) send(b []byte) {
	f.t.Helper()
	if _, err := f.mouth.WriteToUDPAddrPort(b, lanGroup); err != nil {
		f.t.Fatal(err)
	}
}

// answers counts what has come back to the forger.
func (f *forger) answers() (n int) {
	_ = f.mouth.SetReadDeadline(time.Now())
	b := make([]byte, 2048)
	for {
		if _, _, err := f.mouth.ReadFromUDPAddrPort(b); err != nil {
			return n
		}
		n++
	}
}
