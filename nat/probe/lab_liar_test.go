package probe

import (
	"encoding/binary"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pion/stun/v2"

	"github.com/sallyport-net/sallyport/nat"
	"github.com/sallyport-net/sallyport/nat/natlab"
)

// lies are what one server of three may say instead of the truth, given a
// request, who asked, and the address of an honest server.
var lies = map[string]func(rng *rand.Rand, m message, from, honest netip.AddrPort) [][]byte{
	"another address": func(_ *rand.Rand, m message, _, _ netip.AddrPort) [][]byte {
		return [][]byte{respond(m, answer{seen: netip.MustParseAddrPort("8.8.8.8:1234")})}
	},
	"another address each time": func(rng *rand.Rand, m message, _, _ netip.AddrPort) [][]byte {
		ip := netip.AddrFrom4([4]byte{8, 8, byte(rng.Uint32()), byte(rng.Uint32())})
		return [][]byte{respond(m, answer{seen: netip.AddrPortFrom(ip, uint16(1+rng.IntN(65535)))})}
	},
	"a port one above": func(_ *rand.Rand, m message, from, _ netip.AddrPort) [][]byte {
		return [][]byte{respond(m, answer{seen: netip.AddrPortFrom(from.Addr(), max(1, from.Port()+1))})}
	},
	"any port": func(rng *rand.Rand, m message, from, _ netip.AddrPort) [][]byte {
		return [][]byte{respond(m, answer{seen: netip.AddrPortFrom(from.Addr(), uint16(1+rng.IntN(65535)))})}
	},
	"one port for all": func(_ *rand.Rand, m message, from, _ netip.AddrPort) [][]byte {
		return [][]byte{respond(m, answer{seen: netip.AddrPortFrom(from.Addr(), 4444)})}
	},
	// It says that it answers from elsewhere, where indeed a server lives, and
	// that it calls, and does neither.
	"silent filter tests": func(_ *rand.Rand, m message, from, honest netip.AddrPort) [][]byte {
		if m.change != 0 {
			return nil
		}
		out := respond(m, answer{seen: from, other: honest, callers: changeIP | changePort})
		if m.call != 0 {
			out = addResults(out, [2]callResult{callSilent, callReset})
		}
		return [][]byte{out}
	},
	"calls that were taken": func(_ *rand.Rand, m message, from, honest netip.AddrPort) [][]byte {
		out := respond(m, answer{seen: from, other: honest, callers: changeIP | changePort})
		if m.call != 0 {
			out = addResults(out, [2]callResult{callTaken, callTaken})
		}
		return [][]byte{out}
	},
	"mangled": func(rng *rand.Rand, m message, from, honest netip.AddrPort) [][]byte {
		return [][]byte{mangle(rng, respond(m, answer{seen: from, origin: honest, other: honest, plain: true, callers: 6}))}
	},
}

// mangle spoils an answer in one of the ways in which a parser is caught out.
func mangle(rng *rand.Rand, b []byte) []byte {
	fix := func(b []byte) []byte {
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)-headerSize))
		return b
	}
	switch rng.IntN(7) {
	case 0: // flipped bits, the header's among them
		for range 1 + rng.IntN(8) {
			b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
		}
	case 1: // flipped bits behind the header
		for range 1 + rng.IntN(8) {
			b[headerSize+rng.IntN(len(b)-headerSize)] ^= 1 << rng.IntN(8)
		}
	case 2: // cut off, with a length that is right again
		return fix(b[:headerSize+rng.IntN(len(b)-headerSize)/4*4])
	case 3: // an attribute of any type, length and content
		v := make([]byte, 4*rng.IntN(8))
		for i := range v {
			v[i] = byte(rng.Uint32())
		}
		types := []stun.AttrType{stun.AttrXORMappedAddress, stun.AttrMappedAddress, stun.AttrOtherAddress, stun.AttrErrorCode, attrCall, attrCallResult, stun.AttrType(rng.Uint32())}
		a := raw(stun.BindingSuccess, attr(types[rng.IntN(len(types))], v...))[headerSize:]
		return fix(slices.Concat(b[:headerSize], a, b[headerSize:]))
	case 4: // another length
		binary.BigEndian.PutUint16(b[2:], uint16(rng.Uint32()))
	case 5: // another class and method
		binary.BigEndian.PutUint16(b, uint16(rng.Uint32())&0x3fff)
	case 6: // noise
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
	}
	return b
}

// liar adds a rogue to the internet.
func (n *net20) liar(t *testing.T, say func(request []byte, from netip.AddrPort) [][]byte) string {
	t.Helper()
	h, err := n.Host(natlab.HostConfig{Delay: 5e6})
	if err != nil {
		t.Fatal(err)
	}
	at := netip.AddrPortFrom(h.Addr(), 3478)
	udp, err := h.ListenPacket("udp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := h.Listen("tcp", at.String())
	if err != nil {
		_ = udp.Close()
		t.Fatal(err)
	}
	beRogue(t, udp, tcp, say)
	return at.String()
}

// TestLabOneLiarAmongThree has two honest servers and one of each kind of
// liar, nearer than the others, behind several NATs. The report may be unsure,
// never sure of what is wrong. With SALLYPORT_TEST_NATS it tries all NATs.
func TestLabOneLiarAmongThree(t *testing.T) {
	if testing.Short() {
		t.Skip("a long one: left out with -short")
	}
	t.Parallel()
	n := newNet20(t)
	ei, apd := nat.EndpointIndependent, nat.AddressAndPortDependent
	equal, random := nat.Delta{Kind: nat.Equal}, nat.Delta{Kind: nat.Random}
	courses := []course{
		{{Mapping: ei, Filtering: ei, Ports: equal}},
		{{Mapping: ei, Filtering: apd, Ports: random, Refuse: natlab.RST, Hairpin: true}},
		{{Mapping: apd, Filtering: apd, Ports: nat.Delta{Kind: nat.Independent, Value: 1}}},
		{{Mapping: apd, Filtering: ei, Ports: random}},
		{{Mapping: nat.AddressDependent, Filtering: apd, Ports: nat.Delta{Kind: nat.Preserving}}},
		{{Mapping: ei, Filtering: ei, Ports: equal, UDPBlocked: true}},
		{{Firewall: true, Filtering: apd}},
	}
	var mu sync.Mutex
	var sure, all int
	t.Run("lies", func(t *testing.T) {
		for k, name := range slices.Sorted(maps.Keys(lies)) {
			lie := lies[name]
			rng := rand.New(rand.NewPCG(1, 2))
			var lock sync.Mutex
			bad := n.liar(t, func(b []byte, from netip.AddrPort) [][]byte {
				m, err := parse(b)
				if err != nil {
					return nil
				}
				lock.Lock()
				defer lock.Unlock()
				return lie(rng, m, from, netip.MustParseAddrPort(n.servers[1]))
			})
			servers := []string{n.servers[0], bad, n.servers[1]}
			for i, c := range courses {
				if os.Getenv("SALLYPORT_TEST_NATS") == "" && (i+k)%3 != 0 {
					continue
				}
				t.Run(name+"/"+c.String(), func(t *testing.T) {
					t.Parallel()
					h := n.client(t, c...)
					out := n.probe(t, h, Config{Servers: servers, TCPServers: servers})
					r := out.Reports[len(out.Reports)-1]
					wrongs := expect(c).wrongs(r)
					if r.Sure() && (len(wrongs) > 0 || r.External != h.External()) {
						t.Errorf("external %v, want %v; %s\n%v (%.2f), %v (%.2f)\nudp %s %+v\ntcp %s %+v", r.External, h.External(), strings.Join(wrongs, "; "),
							r.Type, r.Confidence, r.Delta, r.TCP.Confidence, brief(r.UDP.Samples), r.UDP.Lying, brief(r.TCP.Samples), r.TCP.Lying)
					}
					mu.Lock()
					defer mu.Unlock()
					if all++; r.Sure() {
						sure++
					}
				})
			}
		}
	})
	t.Logf("sure of %d out of %d", sure, all)
	if 2*sure < all {
		t.Errorf("sure of %d out of %d only", sure, all)
	}
}
