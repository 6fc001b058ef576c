package natlab

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Packet is a packet as the internet's core sees it, between all boxes.
type Packet struct {
	At       time.Duration  // since the lab began
	Src, Dst netip.AddrPort // port 0 where there is none
	Proto    uint8          // IANA: 1 ICMP, 6 TCP, 17 UDP, 58 ICMPv6
	Flags    uint8          // of TCP, as in its header: 1 FIN, 2 SYN, 4 RST, 8 PSH, 16 ACK
	Type     uint8          // of ICMP
	Code     uint8          // of ICMP
	TTL      uint8          // on arrival; at 1 or 0 the packet dies here
	Len      int            // bytes of the IP packet
}

// SYN reports whether the packet is the first of a connection: SYN without ACK.
func (p Packet) SYN() bool {
	return p.Proto == protoTCP && p.Flags&(flagSYN|flagACK|flagRST) == flagSYN
}

// RST reports whether the packet is a TCP reset.
func (p Packet) RST() bool { return p.Proto == protoTCP && p.Flags&flagRST != 0 }

// String prints one line, such as "tcp 51.10.1.10:4000 > 52.10.1.10:80 SYN ttl 63 len 60".
func (p Packet) String() string {
	var s strings.Builder
	switch p.Proto {
	case protoTCP:
		fmt.Fprintf(&s, "tcp %v > %v", p.Src, p.Dst)
		for i, name := range []string{"FIN", "SYN", "RST", "PSH", "ACK"} {
			if p.Flags&(1<<i) != 0 {
				s.WriteString(" " + name)
			}
		}
	case protoUDP:
		fmt.Fprintf(&s, "udp %v > %v", p.Src, p.Dst)
	case protoICMP, protoICMPv6:
		fmt.Fprintf(&s, "icmp %v > %v type %d code %d", p.Src.Addr(), p.Dst.Addr(), p.Type, p.Code)
	default:
		fmt.Fprintf(&s, "proto %d %v > %v", p.Proto, p.Src.Addr(), p.Dst.Addr())
	}
	fmt.Fprintf(&s, " ttl %d len %d", p.TTL, p.Len)
	return s.String()
}

// Watch has see called for every packet that arrives at the internet's core
// and for the errors that the core sends itself; what stays inside one LAN or
// one box, or is lost before, does not come here. The calls come one at a
// time, with the whole lab waiting: see must be quick and must not use the
// lab. The function returned ends the watch.
func (l *Lab) Watch(see func(Packet)) (stop func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watchers = append(l.watchers, &see)
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		for i, w := range l.watchers {
			if w == &see {
				l.watchers = append(l.watchers[:i:i], l.watchers[i+1:]...)
				return
			}
		}
	}
}

// show tells the watchers of p.
func (l *Lab) show(p *packet) {
	if len(l.watchers) == 0 {
		return
	}
	seen := Packet{At: l.now, Src: p.src, Dst: p.dst, Proto: p.proto, Flags: p.flags() & 31, TTL: p.ttl(), Len: len(p.b)}
	if p.isICMP() && !p.fragment {
		seen.Type, seen.Code = p.b[p.l4], p.b[p.l4+1]
	}
	for _, see := range l.watchers {
		(*see)(seen)
	}
}
