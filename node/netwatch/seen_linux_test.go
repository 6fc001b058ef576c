package netwatch

import (
	"context"
	"encoding/binary"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sallyport-net/sallyport/nat/natlab"
	"github.com/sallyport-net/sallyport/nat/natlab/natlabtest"
)

// message makes what the kernel sends: a head, and attributes.
func message(kind uint16, head []byte, attrs ...[]byte) syscall.NetlinkMessage {
	m := syscall.NetlinkMessage{Header: syscall.NlMsghdr{Type: kind}, Data: head}
	for _, a := range attrs {
		m.Data = append(m.Data, a...)
	}
	return m
}

func attribute(kind uint16, v []byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(unix.SizeofRtAttr+len(v)))
	b = append(binary.NativeEndian.AppendUint16(b, kind), v...)
	return append(b, make([]byte, -len(b)&3)...)
}

func number(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }

func anAddress(kind uint16, a string, flags byte) syscall.NetlinkMessage {
	v := netip.MustParseAddr(a).AsSlice()
	head := append([]byte{unix.AF_INET, 24, flags, 0}, number(2)...)
	return message(kind, head, attribute(unix.IFA_ADDRESS, v), attribute(unix.IFA_LOCAL, v))
}

func aRoute(kind uint16, bits byte, via string) syscall.NetlinkMessage {
	head := append([]byte{unix.AF_INET, bits, 0, 0, unix.RT_TABLE_MAIN, 0, 0, unix.RTN_UNICAST}, number(0)...)
	return message(kind, head, attribute(unix.RTA_OIF, number(2)), attribute(unix.RTA_GATEWAY, netip.MustParseAddr(via).AsSlice()))
}

func aLink(name string, flags uint32) syscall.NetlinkMessage {
	head := append(append(append([]byte{unix.AF_UNSPEC, 0, 0, 0}, number(2)...), number(flags)...), number(0)...)
	return message(unix.RTM_NEWLINK, head, attribute(unix.IFLA_IFNAME, append([]byte(name), 0)))
}

const running = unix.IFF_UP | unix.IFF_RUNNING

func TestNews(t *testing.T) {
	s := newSeen(func(name string) bool { return strings.HasPrefix(name, "veth") })
	for _, c := range []struct {
		what string
		m    syscall.NetlinkMessage
		news bool
	}{
		{"an address", anAddress(unix.RTM_NEWADDR, "192.168.1.10", 0), true},
		{"the same, prolonged", anAddress(unix.RTM_NEWADDR, "192.168.1.10", 0), false},
		{"another, not to be used yet", anAddress(unix.RTM_NEWADDR, "2001:db8::1", unix.IFA_F_TENTATIVE), false},
		{"now it is", anAddress(unix.RTM_NEWADDR, "2001:db8::1", 0), true},
		{"now it is another's", anAddress(unix.RTM_NEWADDR, "2001:db8::1", unix.IFA_F_DADFAILED), true},
		{"the first gone", anAddress(unix.RTM_DELADDR, "192.168.1.10", 0), true},
		{"gone once more", anAddress(unix.RTM_DELADDR, "192.168.1.10", 0), false},
		{"back", anAddress(unix.RTM_NEWADDR, "192.168.1.10", 0), true},
		{"one from before, gone", anAddress(unix.RTM_DELADDR, "192.168.1.11", 0), true},
		{"link-local", anAddress(unix.RTM_NEWADDR, "fe80::1", 0), false},
		{"default route", aRoute(unix.RTM_NEWROUTE, 0, "192.168.1.1"), true},
		{"by another gateway", aRoute(unix.RTM_NEWROUTE, 0, "192.168.1.2"), true},
		{"told again", aRoute(unix.RTM_NEWROUTE, 0, "192.168.1.2"), false},
		{"half the world", aRoute(unix.RTM_NEWROUTE, 1, "192.168.1.2"), true},
		{"one network", aRoute(unix.RTM_NEWROUTE, 24, "192.168.1.2"), false},
		{"no default route", aRoute(unix.RTM_DELROUTE, 0, "192.168.1.2"), true},
		{"cable in", aLink("eth0", running), true},
		{"statistics", aLink("eth0", running), false},
		{"cable out", aLink("eth0", unix.IFF_UP), true},
		{"a container's", aLink("veth1a", running), false},
		{"a rule", message(unix.RTM_NEWRULE, make([]byte, 12)), false},
	} {
		if got := s.take(c.m); got != c.news {
			t.Errorf("%s: news is %v", c.what, got)
		}
	}
}

// What is remembered has an end, and begins anew then.
func TestSeenIsBounded(t *testing.T) {
	s := newSeen(func(string) bool { return false })
	for k := range 3 * maxSeen {
		a := netip.AddrFrom4([4]byte{10, byte(k >> 16), byte(k >> 8), byte(k)})
		if !s.take(anAddress(unix.RTM_NEWADDR, a.String(), 0)) {
			t.Fatalf("%v is no news", a)
		}
	}
	if len(s.here) > maxSeen {
		t.Errorf("%d things are remembered", len(s.here))
	}
}

func FuzzSeen(f *testing.F) {
	for _, m := range []syscall.NetlinkMessage{
		anAddress(unix.RTM_NEWADDR, "192.168.1.10", 0), aRoute(unix.RTM_NEWROUTE, 0, "fe80::1"), aLink("eth0", running),
		message(unix.RTM_NEWLINK, nil), message(unix.RTM_NEWADDR, make([]byte, 9)),
	} {
		f.Add(m.Header.Type, m.Data)
	}
	f.Fuzz(func(t *testing.T, kind uint16, b []byte) {
		s := newSeen(func(string) bool { return false })
		m := syscall.NetlinkMessage{Header: syscall.NlMsghdr{Type: kind}, Data: b}
		s.take(m)
		if s.take(m) {
			t.Error("the same is news twice")
		}
	})
}

// The kernel of a host tells of what is done to its interface, within the
// moment and without anything else being asked.
func TestKernelTells(t *testing.T) {
	lab := natlabtest.New(t, natlab.Config{})
	h := natlabtest.Host(t, lab, natlab.HostConfig{})
	var said <-chan struct{}
	var stop func()
	if err := h.Do(func() error { said, stop = subscribe(func(string) bool { return false }); return nil }); err != nil {
		t.Fatal(err)
	}
	if said == nil {
		t.Fatal("the kernel does not let us listen")
	}
	ctx, cancel := context.WithCancel(t.Context())
	events := make(chan told, 100)
	done := make(chan struct{})
	begun := time.Now()
	go func() {
		defer close(done)
		watch(ctx, said, read, func(e Event) { events <- told{e, time.Since(begun)} })
	}()
	next := func() (e told, ok bool) {
		late := time.After(time.Minute)
		for {
			select {
			case e := <-events:
				if e.Event == Changed { // a machine that stalls is taken for one that has slept
					return e, true
				}
			case <-late:
				return told{}, false
			}
		}
	}
	if e := <-events; e.Event != Look {
		t.Errorf("the first event is %v", e.Event)
	}
	for _, args := range [][]string{
		{"addr", "add", "192.0.2.7/24", "dev", "eth0"},
		{"addr", "del", "192.0.2.7/24", "dev", "eth0"},
		{"route", "del", "default"},
		{"route", "add", "default", "via", h.Gateway().String()},
		{"link", "set", "eth0", "down"},
	} {
		from := time.Since(begun)
		if out, err := h.Command(ctx, "ip", args...).CombinedOutput(); err != nil {
			t.Skipf("ip %v: %v: %s", args, err, out)
		}
		if e, ok := next(); ok {
			t.Logf("ip %s: told %v after its start", strings.Join(args, " "), (e.at - from).Round(time.Millisecond))
		} else {
			t.Errorf("nothing is told of %v", args)
		}
	}
	cancel()
	<-done
	stop()
	if _, open := <-said; open {
		<-said // the news that nobody took; then it is closed, or this hangs
	}
}
