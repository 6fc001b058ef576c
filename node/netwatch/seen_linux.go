package netwatch

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxSeen bounds what is remembered: what is above is news once more.
const maxSeen = 4096

// thing is what may come and go: an address, a default route (which has a
// prefix of at most one bit), or that a link is up.
type thing struct {
	kind   byte // 'a', 'r' or 'l'
	link   int32
	prefix netip.Prefix
	via    netip.Addr
	table  uint32
	metric uint32
}

// seen is what the kernel has told of so far. It tells many things again, when
// a router's advertisement prolongs an address for instance, which are no news.
// What was there before we listened is news the first time.
type seen struct {
	ignore func(link string) bool
	here   map[thing]bool // false: known to have gone
}

func newSeen(ignore func(string) bool) *seen {
	return &seen{ignore: ignore, here: make(map[thing]bool)}
}

func (s *seen) forget() { clear(s.here) }

// take takes a message over, and reports whether it is news.
func (s *seen) take(m syscall.NetlinkMessage) bool {
	var t thing
	var here, ok bool
	switch m.Header.Type {
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		t, here, ok = address(m.Data)
		if m.Header.Type == unix.RTM_DELADDR {
			here = false
		} else if !here && !s.here[t] {
			return false // not there yet
		}
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		t, ok = route(m.Data)
		here = m.Header.Type == unix.RTM_NEWROUTE
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		var name string
		t, name, here, ok = link(m.Data)
		ok = ok && !s.ignore(name)
		here = here && m.Header.Type == unix.RTM_NEWLINK
	}
	if !ok {
		return false
	}
	if before, known := s.here[t]; known && before == here {
		return false
	}
	if len(s.here) >= maxSeen {
		s.forget()
	}
	s.here[t] = here
	return true
}

// address reads an ifaddrmsg. One that may not be used yet, since others are
// still asked whether it is theirs, is not there.
func address(b []byte) (t thing, usable, ok bool) {
	if len(b) < unix.SizeofIfAddrmsg {
		return t, false, false
	}
	bits, flags := int(b[1]), uint32(b[2])
	t.kind, t.link = 'a', int32(binary.NativeEndian.Uint32(b[4:]))
	var local, remote netip.Addr
	attributes(b[unix.SizeofIfAddrmsg:], func(kind uint16, v []byte) {
		switch kind {
		case unix.IFA_LOCAL:
			local, _ = netip.AddrFromSlice(v)
		case unix.IFA_ADDRESS: // the other end, of a point-to-point link
			remote, _ = netip.AddrFromSlice(v)
		case unix.IFA_FLAGS:
			if len(v) == 4 {
				flags = binary.NativeEndian.Uint32(v)
			}
		}
	})
	if !local.IsValid() {
		local = remote
	}
	if !local.IsValid() || local.IsLinkLocalUnicast() || local.IsLoopback() {
		return t, false, false
	}
	t.prefix = netip.PrefixFrom(local, bits)
	return t, flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) == 0, true
}

// route reads an rtmsg of a default route, or of half of one, as VPNs have it.
func route(b []byte) (t thing, ok bool) {
	if len(b) < unix.SizeofRtMsg {
		return t, false
	}
	bits, flags := b[1], binary.NativeEndian.Uint32(b[8:])
	if bits > 1 || b[7] != unix.RTN_UNICAST || flags&unix.RTM_F_CLONED != 0 {
		return t, false
	}
	t.kind, t.table = 'r', uint32(b[4])
	to := netip.IPv4Unspecified()
	if b[0] == unix.AF_INET6 {
		to = netip.IPv6Unspecified()
	}
	attributes(b[unix.SizeofRtMsg:], func(kind uint16, v []byte) {
		switch a, is := netip.AddrFromSlice(v); {
		case kind == unix.RTA_DST && is:
			to = a
		case kind == unix.RTA_GATEWAY && is:
			t.via = a
		case kind == unix.RTA_OIF && len(v) == 4:
			t.link = int32(binary.NativeEndian.Uint32(v))
		case kind == unix.RTA_TABLE && len(v) == 4:
			t.table = binary.NativeEndian.Uint32(v)
		case kind == unix.RTA_PRIORITY && len(v) == 4:
			t.metric = binary.NativeEndian.Uint32(v)
		}
	})
	t.prefix = netip.PrefixFrom(to, int(bits))
	return t, true
}

// link reads an ifinfomsg, and whether the link carries anything.
func link(b []byte) (t thing, name string, up, ok bool) {
	if len(b) < unix.SizeofIfInfomsg || b[0] != unix.AF_UNSPEC { // others tell of a bridge's ports
		return t, "", false, false
	}
	t.kind, t.link = 'l', int32(binary.NativeEndian.Uint32(b[4:]))
	flags := binary.NativeEndian.Uint32(b[8:])
	attributes(b[unix.SizeofIfInfomsg:], func(kind uint16, v []byte) {
		if kind == unix.IFLA_IFNAME {
			name = strings.TrimRight(string(v), "\x00")
		}
	})
	return t, name, flags&unix.IFF_UP != 0 && flags&unix.IFF_RUNNING != 0, true
}

// attributes calls each with the attributes that follow a message's head
// (struct rtattr), until one is cut off.
func attributes(b []byte, each func(kind uint16, value []byte)) {
	const head = unix.SizeofRtAttr
	for len(b) >= head {
		n := int(binary.NativeEndian.Uint16(b))
		if n < head || n > len(b) {
			return
		}
		each(binary.NativeEndian.Uint16(b[2:])&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER), b[head:n])
		b = b[min((n+unix.NLA_ALIGNTO-1)&^(unix.NLA_ALIGNTO-1), len(b)):]
	}
}
