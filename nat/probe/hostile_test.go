package probe

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/nat"
	"github.com/sallyport-net/sallyport/nat/machinetest"
)

// honest answers as a server does.
func honest(b []byte, from netip.AddrPort) []byte {
	m, err := parse(b)
	if err != nil {
		return nil
	}
	return respond(m, answer{seen: from})
}

// TestRunAmongRogues asks three honest servers and one rogue of each kind: the
// report must be what the honest ones say, and soon.
func TestRunAmongRogues(t *testing.T) {
	for _, c := range []struct {
		name string
		say  func(b []byte, from netip.AddrPort) [][]byte
	}{
		{"lies", func(b []byte, _ netip.AddrPort) [][]byte {
			return [][]byte{honest(b, netip.MustParseAddrPort("8.8.8.8:1234"))}
		}},
		{"silent", func([]byte, netip.AddrPort) [][]byte { return nil }},
		{"another transaction", func(b []byte, from netip.AddrPort) [][]byte {
			out := honest(b, from)
			out[15] ^= 1
			return [][]byte{out}
		}},
		{"truncated", func(b []byte, from netip.AddrPort) [][]byte { return [][]byte{honest(b, from)[:21]} }},
		{"huge length", func(b []byte, from netip.AddrPort) [][]byte {
			out := honest(b, from)
			binary.BigEndian.PutUint16(out[2:], 0xfffc)
			return [][]byte{out, bytes.Repeat([]byte{0}, 1400)}
		}},
		{"empty address", func(b []byte, from netip.AddrPort) [][]byte {
			out := append(honest(b, from)[:headerSize], 0, 0x20, 0, 0)
			binary.BigEndian.PutUint16(out[2:], 4)
			return [][]byte{out}
		}},
		{"says no", func(b []byte, _ netip.AddrPort) [][]byte {
			m, _ := parse(b)
			return [][]byte{refuse(m, 500, nil)}
		}},
		{"noise", func([]byte, netip.AddrPort) [][]byte { return [][]byte{[]byte("HTTP/1.1 400 Bad Request\r\n\r\n")} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			var servers []string
			for i := range 3 {
				servers = append(servers, startServer(t, ServerConfig{
					Primary: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 1, byte(i + 1)}), 0),
					OnePort: true,
				}).Addr().String())
			}
			bad := rogue(t, c.say)
			machinetest.Calmly(t, func() string {
				start := time.Now()
				r, err := Run(t.Context(), Config{Servers: append(servers, bad), TCPServers: append(servers, bad)})
				if err != nil {
					return err.Error()
				}
				if r.Type != nat.SymmetricFirewall || r.NATed() || r.UDP.Mapping != nat.EndpointIndependent || r.TCP.Mapping != nat.EndpointIndependent {
					return fmt.Sprintf("%v, external %v\nudp %+v\ntcp %+v", r.Type, r.External, r.UDP, r.TCP)
				}
				lied := c.name == "lies"
				if r.UDP.Asked != 4 || r.TCP.Asked != 4 || (r.UDP.Answered == 4) != lied || (r.TCP.Answered == 4) != lied {
					return fmt.Sprintf("asked %d and %d, answered %d and %d", r.UDP.Asked, r.TCP.Asked, r.UDP.Answered, r.TCP.Answered)
				}
				if lied && (len(r.UDP.Lying) != 1 || r.UDP.Lying[0].String() != bad || len(r.TCP.Lying) != 1) {
					return fmt.Sprintf("lying: %v and %v", r.UDP.Lying, r.TCP.Lying)
				}
				if d := time.Since(start); d > 1500*time.Millisecond {
					return fmt.Sprintf("it took %v", d)
				}
				return ""
			})
		})
	}
}

// TestRunReadsSplitAnswers has an honest server that writes byte by byte.
func TestRunReadsSplitAnswers(t *testing.T) {
	slow := rogue(t, func(b []byte, from netip.AddrPort) [][]byte {
		var out [][]byte
		for _, c := range honest(b, from) {
			out = append(out, []byte{c})
		}
		return out
	})
	r, err := Run(t.Context(), Config{Servers: []string{}, TCPServers: []string{slow}})
	if err != nil || r.TCP.Answered != 1 || r.External != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("%v, %+v", err, r.TCP)
	}
}

// TestRunIgnoresAnswersFromStrangers has a server that answers, with the right
// transaction id, from another port than the one that was asked.
func TestRunIgnoresAnswersFromStrangers(t *testing.T) {
	stranger, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	asked := rogue(t, func(b []byte, from netip.AddrPort) [][]byte {
		_, _ = stranger.WriteTo(honest(b, from), net.UDPAddrFromAddrPort(from))
		return nil
	})
	r, err := Run(t.Context(), Config{Servers: []string{asked}, TCPServers: []string{}, Timeout: 600 * time.Millisecond})
	if !errors.Is(err, ErrNoServer) || r.UDP.Answered != 0 {
		t.Errorf("%v, %+v", err, r.UDP)
	}
}

// TestOtherAddressIsBounded has a server name an address of another reach.
func TestOtherAddressIsBounded(t *testing.T) {
	for _, c := range []struct {
		from, to string
		want     bool
	}{
		{"8.8.8.8:3478", "8.8.4.4:3479", true},
		{"8.8.8.8:3478", "8.8.8.8:3479", true},
		{"8.8.8.8:3478", "8.8.8.8:3478", false},
		{"8.8.8.8:3478", "192.168.1.1:80", false},
		{"8.8.8.8:3478", "127.0.0.1:80", false},
		{"8.8.8.8:3478", "169.254.169.254:80", false},
		{"8.8.8.8:3478", "100.64.0.1:80", false},
		{"8.8.8.8:3478", "224.0.0.1:80", false},
		{"8.8.8.8:3478", "255.255.255.255:80", false},
		{"8.8.8.8:3478", "0.0.0.0:80", false},
		{"8.8.8.8:3478", "8.8.4.4:0", false},
		{"8.8.8.8:3478", "[2001:db8::1]:80", false},
		{"10.0.0.1:3478", "10.0.0.2:3479", true},
		{"127.0.0.1:3478", "127.0.0.2:3479", true},
	} {
		if got := maySend(netip.MustParseAddrPort(c.from), netip.MustParseAddrPort(c.to)); got != c.want {
			t.Errorf("%s names %s: %v", c.from, c.to, got)
		}
	}
}

func TestLookupRefuses(t *testing.T) {
	for _, name := range []string{"", "host", "host:", "1.2.3.4:0", "1.2.3.4:70000", "[::1]:3478", "1.2.3.4:x"} {
		_, err := lookup(t.Context(), nil, "ip4", name)
		if err == nil || !strings.Contains(err.Error(), "STUN server") {
			t.Errorf("%q: %v", name, err)
		}
	}
}
