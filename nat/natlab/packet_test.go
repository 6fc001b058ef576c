package natlab

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
)

var (
	inside1  = netip.MustParseAddrPort("192.168.1.10:4000")
	outside1 = netip.MustParseAddrPort("51.10.1.10:3478")
	outside2 = netip.MustParseAddrPort("51.10.1.10:3479") // another port
	outside3 = netip.MustParseAddrPort("52.10.1.10:3478") // another address
	external = netip.MustParseAddr("60.10.1.10")
)

// tcp makes a segment with some payload.
func tcp(src, dst netip.AddrPort, flags uint8, payload ...byte) packet {
	t := make([]byte, tcpHeader)
	binary.BigEndian.PutUint16(t, src.Port())
	binary.BigEndian.PutUint16(t[2:], dst.Port())
	binary.BigEndian.PutUint32(t[4:], 0x01020304)
	binary.BigEndian.PutUint32(t[8:], 0x05060708)
	t[12], t[13] = tcpHeader/4<<4, flags
	return build(protoTCP, src.Addr(), dst.Addr(), append(t, payload...))
}

func udp(src, dst netip.AddrPort, payload ...byte) packet {
	t := make([]byte, 8)
	binary.BigEndian.PutUint16(t, src.Port())
	binary.BigEndian.PutUint16(t[2:], dst.Port())
	binary.BigEndian.PutUint16(t[4:], uint16(8+len(payload)))
	t[6] = 1 // any sum but none: build fills it in
	p := build(protoUDP, src.Addr(), dst.Addr(), append(t, payload...))
	resumTransport(&p)
	return p
}

func ping(src, dst netip.Addr, kind message, id uint16) packet {
	t := make([]byte, 12)
	if t[0] = icmpTypes[kind]; src.Is6() {
		t[0] = icmpv6Types[kind]
	}
	binary.BigEndian.PutUint16(t[4:], id)
	return build(protoICMP, src, dst, t)
}

// resumTransport computes the transport's checksum in full.
func resumTransport(p *packet) {
	sum := p.transportSum()
	if sum == nil {
		return
	}
	sum[0], sum[1] = 0, 0
	v := checksum(p.pseudo(), p.b[p.l4:])
	if v == 0 && p.proto == protoUDP {
		v = 0xffff
	}
	binary.BigEndian.PutUint16(sum, v)
}

// sound fails the test unless p's checksums are right and its bytes say what
// its fields say.
func sound(t *testing.T, p packet) {
	t.Helper()
	if !p.six() && checksum(0, p.b[:p.l4]) != 0 {
		t.Errorf("IP checksum of %x wrong", p.b)
	}
	if checksum(p.pseudo(), p.b[p.l4:]) != 0 {
		t.Errorf("transport checksum of %x wrong", p.b)
	}
	again, ok := parse(p.b)
	if !ok || again.src != p.src || again.dst != p.dst || again.proto != p.proto {
		t.Errorf("bytes say %v > %v, fields %v > %v", again.src, again.dst, p.src, p.dst)
	}
}

func TestChecksumVector(t *testing.T) {
	// RFC 1071 §3.
	if got := checksum(0, []byte{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7}); got != ^uint16(0xddf2) {
		t.Errorf("got %04x, want %04x", got, ^uint16(0xddf2))
	}
}

// Incremental checksums equal those computed in full, for any rewriting.
func TestRewrite(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for n := range 20000 {
		endpoint := func() netip.AddrPort {
			a := make([]byte, 4+n%2*12) // IPv4 and IPv6 in turn
			for i := range a {
				a[i] = byte(rng.Uint32())
			}
			addr, _ := netip.AddrFromSlice(a)
			return netip.AddrPortFrom(addr, uint16(1+rng.IntN(65535)))
		}
		payload := make([]byte, rng.IntN(9))
		for i := range payload {
			payload[i] = byte(rng.Uint32())
		}
		a, b, c, d := endpoint(), endpoint(), endpoint(), endpoint()
		tests := []packet{tcp(a, b, flagSYN, payload...), udp(a, b, payload...),
			ping(a.Addr(), b.Addr(), echoRequest, a.Port()), ping(a.Addr(), b.Addr(), echoReply, b.Port())}
		for _, p := range tests {
			sound(t, p)
			if p.src.Port() != 0 {
				p.setSrc(c)
			} else {
				p.setSrc(netip.AddrPortFrom(c.Addr(), 0))
			}
			sound(t, p)
			if p.dst.Port() != 0 {
				p.setDst(d)
			} else {
				p.setDst(netip.AddrPortFrom(d.Addr(), 0))
			}
			p.age()
			sound(t, p)
		}
		if t.Failed() {
			return
		}
	}
}

func TestUDPWithoutChecksum(t *testing.T) {
	p := udp(inside1, outside1, 1, 2, 3)
	p.b[p.l4+6], p.b[p.l4+7] = 0, 0
	p.setSrc(outside3)
	if p.b[p.l4+6] != 0 || p.b[p.l4+7] != 0 {
		t.Errorf("a checksum of %x appeared", p.b[p.l4+6:p.l4+8])
	}
}

func TestReset(t *testing.T) {
	tests := []struct {
		name     string
		p        packet
		flags    uint8
		seq, ack uint32
	}{
		{"syn", tcp(inside1, outside1, flagSYN), flagRST | flagACK, 0, 0x01020305},
		{"syn with data", tcp(inside1, outside1, flagSYN, 1, 2), flagRST | flagACK, 0, 0x01020307},
		{"ack", tcp(inside1, outside1, flagACK), flagRST, 0x05060708, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, ok := tt.p.reset()
			if !ok {
				t.Fatal("no reset")
			}
			sound(t, r)
			seq, ack := binary.BigEndian.Uint32(r.b[r.l4+4:]), binary.BigEndian.Uint32(r.b[r.l4+8:])
			if r.flags() != tt.flags || seq != tt.seq || ack != tt.ack || r.src != tt.p.dst || r.dst != tt.p.src {
				t.Errorf("got %v > %v flags %d seq %x ack %x", r.src, r.dst, r.flags(), seq, ack)
			}
		})
	}
	if p := tcp(inside1, outside1, flagRST); true {
		if _, ok := p.reset(); ok {
			t.Error("an RST was answered by an RST")
		}
	}
}

func TestFailure(t *testing.T) {
	p := tcp(inside1, outside1, flagSYN, bytes.Repeat([]byte{7}, 1000)...)
	r, ok := p.expired(external)
	if !ok {
		t.Fatal("no error")
	}
	sound(t, r)
	q, ok := r.quoted()
	if len(r.b) != 576 || !ok || q.src != inside1 || q.dst != outside1 || r.src.Addr() != external || r.dst.Addr() != inside1.Addr() {
		t.Errorf("%d bytes %v > %v quoting %v > %v", len(r.b), r.src, r.dst, q.src, q.dst)
	}
	if _, ok := r.expired(external); ok {
		t.Error("an error was answered by an error")
	}
	six := netip.MustParseAddrPort("[2a00:1:1::a]:4000")
	p = tcp(six, six, flagSYN, bytes.Repeat([]byte{7}, 1400)...)
	r, ok = p.expired(netip.IPv6Loopback())
	if !ok {
		t.Fatal("no error over IPv6")
	}
	sound(t, r)
	if q, ok := r.quoted(); len(r.b) != 1280 || !ok || q.src != six || r.b[r.l4] != 3 {
		t.Errorf("%d bytes of type %d quoting %v", len(r.b), r.b[r.l4], q.src)
	}
	if _, ok := p.expired(external); ok {
		t.Error("an IPv4 router answers IPv6")
	}
}

func FuzzParse(f *testing.F) {
	seeds := []packet{tcp(inside1, outside1, flagSYN), udp(inside1, outside1, 1), ping(inside1.Addr(), external, echoRequest, 9)}
	a, b := netip.MustParseAddrPort("[2a00:1:1::a]:4000"), netip.MustParseAddrPort("[2a00:2:1::a]:80")
	seeds = append(seeds, tcp(a, b, flagSYN), udp(a, b, 1), ping(a.Addr(), b.Addr(), echoRequest, 9))
	failure, _ := seeds[0].failure(unreachable, noPort, external)
	failure6, _ := seeds[3].failure(unreachable, noPort, b.Addr())
	for _, p := range append(seeds, failure, failure6) {
		f.Add(p.b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, ok := parse(b)
		if !ok {
			return
		}
		if again, ok := parse(p.b); !ok || again.src != p.src || again.dst != p.dst {
			t.Errorf("%x parses as %v and then as %v", b, p, again)
		}
		p.reset()
		p.echo()
		p.failure(unreachable, noPort, external)
		p.failure(unreachable, noPort, netip.IPv6Loopback())
		// Every path of a NAT, from both sides.
		for _, cfg := range []NAT{{Refuse: RST}, {Firewall: true}, {EndOnRST: true, EndOnFIN: true, UDPBlocked: true}} {
			cfg, err := cfg.filled()
			if err != nil {
				t.Fatal(err)
			}
			if p.six() {
				cfg.Firewall = true // nothing translates IPv6
			}
			nat := newTranslator(cfg, []netip.Addr{external}, rand.New(rand.NewPCG(1, 2)))
			out, back := p.clone(), p.clone()
			nat.outbound(0, &out)
			back.src, back.dst = out.dst, out.src
			nat.inbound(1, &back)
			in := p.clone()
			nat.inbound(2, &in)
		}
	})
}
