package lan

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/nat/natlab"
	"github.com/sallyport-net/sallyport/nat/natlab/natlabtest"
)

func TestMain(m *testing.M) {
	if os.Getenv(playVariable) != "" {
		if err := play(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	natlab.Main()
	goleak.VerifyTestMain(m)
}

// playVariable, in the environment, makes this binary look for a node of its own
// on a link with nothing but IPv6, and print where it is. A host of the lab does.
const playVariable = "SALLYPORT_TEST_LAN"

func play() error {
	eth0, err := net.InterfaceByName("eth0")
	if err != nil {
		return err
	}
	links := []Link{link(eth0.Name, eth0.Index, "fe80::1/64")}
	key, err := address.GenerateKey()
	if err != nil {
		return err
	}
	s, err := Serve(Config{Key: key, TCP: 4321, Links: func() []Link { return links }, Admit: func(address.Key) bool { return true }})
	if err != nil {
		return err
	}
	defer s.Close()
	caller, err := address.GenerateKey()
	if err != nil {
		return err
	}
	return Seeker{Key: caller, Links: links}.Find(context.Background(), key.Public(), func(at netip.AddrPort) { fmt.Println(at) })
}

// TestIPv6 has a node of the same host found by a link-local address.
func TestIPv6(t *testing.T) {
	lab := natlabtest.New(t, natlab.Config{})
	h := natlabtest.Host(t, lab, natlab.HostConfig{})
	if out, err := h.Command(t.Context(), "ip", "-6", "addr", "replace", "fe80::1/64", "dev", "eth0", "nodad").CombinedOutput(); err != nil {
		t.Skipf("no IPv6 here: %v: %s", err, out)
	}
	c := h.Command(t.Context(), os.Args[0])
	c.Env = append(os.Environ(), playVariable+"=1")
	if out, err := c.CombinedOutput(); err != nil || string(out) != "[fe80::1%eth0]:4321\n" {
		t.Errorf("%s, %v", out, err)
	}
}

func newKey(t testing.TB) address.PrivateKey {
	t.Helper()
	k, err := address.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// loopback is the link on which these tests happen.
func loopback(t testing.TB) []Link {
	t.Helper()
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range all {
		if i.Flags&net.FlagLoopback != 0 && i.Flags&net.FlagUp != 0 {
			return []Link{{Name: i.Name, Index: i.Index, Addrs: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/8")}}}
		}
	}
	t.Skip("there is no loopback interface")
	return nil
}

var ports atomic.Uint32

// anyPort gives a port of the test's own, so that tests don't hear each other, those
// of other processes either: whoever has it listens at it by TCP. The kernel hands
// none of that range out.
func anyPort(t testing.TB) uint16 {
	t.Helper()
	for range 10_000 {
		port := 20000 + (uint32(os.Getpid())*131+ports.Add(1))%10000
		if l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(port)}); err == nil {
			t.Cleanup(func() { l.Close() })
			return uint16(port)
		}
	}
	t.Fatal("all ports are taken")
	return 0
}

// serve runs a server on loopback that admits everyone, unless changed.
func serve(t testing.TB, port uint16, change ...func(*Config)) (*Server, address.PrivateKey) {
	t.Helper()
	cfg := Config{
		Key: newKey(t), TCP: 4321, Links: func() []Link { return loopback(t) },
		Admit: func(address.Key) bool { return true }, port: port,
	}
	for _, f := range change {
		f(&cfg)
	}
	s, err := Serve(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, cfg.Key
}

// find collects what Find gives.
func find(t testing.TB, s Seeker, peer address.Key) (places []netip.AddrPort, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err = s.Find(ctx, peer, func(a netip.AddrPort) { places = append(places, a) })
	return places, err
}

// found is where the owner of peer is. A busy machine may take longer than a search
// waits: then it searches again.
func found(t testing.TB, s Seeker, peer address.Key) (places []netip.AddrPort) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; {
		places, err := find(t, s, peer)
		if err == nil {
			return places
		}
		if !errors.Is(err, ErrSilent) || time.Now().After(end) {
			t.Fatalf("found %v, %v", places, err)
		}
	}
}

// until waits for a condition.
func until(t testing.TB, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}
