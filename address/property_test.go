package address

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sallyport-net/sallyport/nat"
)

var anyKey = rapid.Custom(func(t *rapid.T) Key {
	b := rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "scalar")
	b[0], b[31] = b[0]&0x7f, b[31]|1 // in [1, n-1]
	p, err := PrivateKeyFromBytes(b)
	if err != nil {
		t.Fatal(err)
	}
	return p.Public()
})

func anyIP(f family) *rapid.Generator[netip.Addr] {
	size := 4
	if f == ipv6 {
		size = 16
	}
	raw := rapid.Custom(func(t *rapid.T) netip.Addr {
		ip, _ := netip.AddrFromSlice(rapid.SliceOfN(rapid.Byte(), size, size).Draw(t, "ip"))
		return ip
	})
	return raw.Filter(func(ip netip.Addr) bool { _, want := f.check(ip); return want == "" })
}

// privateIP is an IPv4 address of the ranges that inner addresses come from.
var privateIP = rapid.Custom(func(t *rapid.T) netip.Addr {
	r := rapid.SampledFrom(internalRanges[ipv4][:4]).Draw(t, "range")
	b := r.Addr().As4()
	for i, v := range rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "host") {
		for bit := range 8 {
			if 8*i+bit >= r.Bits() {
				b[i] |= v & (0x80 >> bit)
			}
		}
	}
	return netip.AddrFrom4(b)
})

// edgy draws the ends of tiers and of the range more often than the rest.
func edgy(lo, hi int) *rapid.Generator[int] {
	var edges []int
	for _, n := range []int{lo, lo + 1, -33, -32, -1, 31, 32, 33, 1023, 1024, 1025, 2079, 2080, 65535, hi} {
		if n >= lo && n <= hi {
			edges = append(edges, n)
		}
	}
	return rapid.OneOf(rapid.SampledFrom(edges), rapid.IntRange(lo, hi))
}

func anyInterface(f family) *rapid.Generator[Interface] {
	return rapid.Custom(func(t *rapid.T) Interface {
		i := Interface{
			NetIndex: edgy(0, maxIndex).Draw(t, "netiface"),
			Index:    edgy(0, maxIndex).Draw(t, "index"),
			External: anyIP(f).Draw(t, "external"),
			Port:     uint16(edgy(1, 65535).Draw(t, "port")),
			NAT:      nat.Type(rapid.IntRange(1, 7).Draw(t, "nat")),
			Delta:    nat.Delta{Kind: nat.DeltaKind(rapid.IntRange(1, 6).Draw(t, "delta"))},
		}
		i.Internal = i.External
		if !rapid.Bool().Draw(t, "no NAT") {
			i.Internal = anyIP(f).Draw(t, "internal")
		}
		if f == ipv4 && rapid.Bool().Draw(t, "private") {
			i.Internal = privateIP.Draw(t, "private address")
		}
		if stepped(i.Delta.Kind) {
			i.Delta.Value = edgy(-32768, 32767).Draw(t, "value")
		}
		if rapid.Bool().Draw(t, "mapped elsewhere") {
			i.ExternalPort = uint16(edgy(1, 65535).Draw(t, "external port"))
		}
		i.BrokerRTT = time.Duration(edgy(0, maxIndex).Draw(t, "rtt")) * time.Millisecond
		return i.canonical()
	})
}

var anyBroker = rapid.Custom(func(t *rapid.T) Broker {
	if rapid.Bool().Draw(t, "well known") {
		return Broker{Index: edgy(0, maxIndex).Draw(t, "index")}
	}
	scheme := rapid.SampledFrom([]string{"tcp", "mqtt", "ssl", "tls", "mqtts", "ws", "wss", "WSS"}).Draw(t, "scheme")
	host := rapid.SampledFrom([]string{
		rapid.StringMatching(`[a-zA-Z0-9_-]{1,20}(\.[a-zA-Z0-9_-]{1,20}){0,2}\.[a-z-]{1,9}`).Draw(t, "name"),
		anyIP(ipv4).Draw(t, "ip").String(),
		"[" + anyIP(ipv6).Draw(t, "ip").String() + "]",
	}).Draw(t, "host")
	port := rapid.StringMatching(`(:[1-9][0-9]{0,3})?`).Draw(t, "port")
	path := ""
	if scheme[0]|0x20 == 'w' {
		path = rapid.StringMatching(`(/([a-z%,|\-\[\]";:@]{0,4}|%2[05F])){0,3}`).Draw(t, "path")
	}
	b, err := ParseBroker(scheme + "://" + host + port + path)
	if err != nil && path != "" {
		t.Skip(err) // half an escape, or too long once it is escaped
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
})

var anyAddress = rapid.Custom(func(t *rapid.T) Address {
	return Address{
		Brokers:   orNil(rapid.SliceOfNDistinct(anyBroker, 0, MaxBrokers, rapid.ID[Broker]).Draw(t, "brokers")),
		V4:        orNil(rapid.SliceOfN(anyInterface(ipv4), 0, MaxInterfaces).Draw(t, "v4")),
		V6:        orNil(rapid.SliceOfN(anyInterface(ipv6), 0, MaxInterfaces).Draw(t, "v6")),
		Key:       anyKey.Draw(t, "key"),
		MachineID: rapid.StringMatching(`([0-9a-f]{8})?|[A-Za-z0-9_]{0,64}`).Draw(t, "machine id"),
	}
})

// orNil gives nil for an empty list, as Parse does.
func orNil[T any](list []T) []T {
	if len(list) == 0 {
		return nil
	}
	return list
}

func TestEveryAddressComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := anyAddress.Draw(t, "address")
		sameAfterParse(t, a, a.String())
		compact, err := a.Compact()
		if err != nil {
			t.Fatal(err)
		}
		sameAfterParse(t, a, compact)
		if len(compact) > maxCompact || len(a.String()) > MaxLength {
			t.Errorf("%d characters in the text form, %d in the compact form", len(a.String()), len(compact))
		}
		if b, err := Parse(compact); err != nil || b.String() != a.String() {
			t.Errorf("the two forms differ: %v, %v", b, err)
		}
	})
}

func TestEveryForeignAddressComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := anyAddress.Draw(t, "address")
		a.Key = Key{}
		a.Foreign = rapid.StringMatching(`[A-Za-z0-9_]{1,39}|_[A-Za-z0-9_]{38,63}|[A-Za-z0-9_]{47,64}`).Draw(t, "id")
		sameAfterParse(t, a, a.String())
	})
}

// TestLongestAddress builds the longest address of all, so that MaxLength and
// maxCompact keep no valid address out.
func TestLongestAddress(t *testing.T) {
	a := Address{Key: testKey(6), MachineID: strings.Repeat("Z", MaxMachineID)}
	for n := range MaxBrokers {
		a.Brokers = append(a.Brokers, Broker{URL: "wss://a.example:443/" + strings.Repeat("-", MaxBrokerURL-21) + string(rune('a'+n))})
	}
	for range MaxInterfaces {
		i := Interface{
			NetIndex: maxIndex, Index: maxIndex - 1, Port: 65535, ExternalPort: 65534, NAT: nat.Blocked,
			External: netip.MustParseAddr("255.255.255.254"), Internal: netip.MustParseAddr("223.255.255.254"),
			Delta: nat.Delta{Kind: nat.Dependent, Value: -32768}, BrokerRTT: maxIndex * time.Millisecond,
		}
		a.V4 = append(a.V4, i)
		i.External = netip.MustParseAddr("2001:1000:1000:1000:1000:1000:1000:1000")
		i.Internal = netip.MustParseAddr("2001:1000:1000:1000:1000:1000:1000:1001")
		a.V6 = append(a.V6, i)
	}
	sameAfterParse(t, a, a.String())
	compact, err := a.Compact()
	if err != nil {
		t.Fatal(err)
	}
	sameAfterParse(t, a, compact)
	if len(a.Brokers[0].URL) != MaxBrokerURL {
		t.Errorf("the URL has %d bytes", len(a.Brokers[0].URL))
	}
	t.Logf("text form %d bytes, compact form %d", len(a.String()), len(compact))
}

// TestOneInterfaceFitsInto84Characters draws from all that the promise at
// Compact allows.
func TestOneInterfaceFitsInto84Characters(t *testing.T) {
	brokers := rapid.Custom(func(t *rapid.T) Broker { return Broker{Index: rapid.IntRange(0, 31).Draw(t, "index")} })
	rapid.Check(t, func(t *rapid.T) {
		i := anyInterface(ipv4).Draw(t, "interface")
		i.NetIndex = edgy(0, 2079).Draw(t, "netiface")
		i.Index = 0
		i.Internal = rapid.OneOf(rapid.Just(i.External), privateIP).Draw(t, "internal")
		if i.Delta.Value != 0 {
			i.Delta.Value = edgy(-32, 31).Draw(t, "value")
		}
		i.BrokerRTT = time.Duration(edgy(0, 1024).Draw(t, "rtt")) * time.Millisecond
		a := Address{
			Key: anyKey.Draw(t, "key"), V4: []Interface{i},
			Brokers:   orNil(rapid.SliceOfNDistinct(brokers, 0, 3, rapid.ID[Broker]).Draw(t, "brokers")),
			MachineID: rapid.StringMatching(`([0-9a-f]{8})?`).Draw(t, "machine id"),
		}
		compact, err := a.Compact()
		if err != nil {
			t.Fatal(err)
		}
		sameAfterParse(t, a, compact)
		if len(compact) > 84 {
			t.Errorf("%d characters: %s", len(compact), a)
		}
	})
	// The most that it allows, so that it promises no more than it must: base58 of
	// as many bytes is a character shorter for most keys.
	longest := Address{
		Key: testKey(6), Brokers: []Broker{{Index: 31}, {Index: 30}, {Index: 29}}, MachineID: "ffffffff",
		V4: []Interface{{
			NetIndex: 2079, External: netip.MustParseAddr("223.255.255.254"), Internal: netip.MustParseAddr("192.168.255.254"),
			Port: 65535, ExternalPort: 65534, NAT: nat.Symmetric, Delta: nat.Delta{Kind: nat.Dependent, Value: -32}, BrokerRTT: 1024 * time.Millisecond,
		}},
	}
	compact, err := longest.Compact()
	if err != nil || len(compact) < 83 {
		t.Errorf("the longest has %d characters, %v", len(compact), err)
	}
}

// TestTyposAreRefused makes every kind of typo, everywhere.
func TestTyposAreRefused(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := anyAddress.Draw(t, "address")
		s, err := a.Compact()
		if err != nil {
			t.Fatal(err)
		}
		at := rapid.IntRange(len(compactPrefix), len(s)-2).Draw(t, "at")
		c := string(base58Alphabet[rapid.IntRange(0, 57).Draw(t, "character")])
		for typo, bad := range map[string]string{
			"wrong character":      s[:at] + c + s[at+1:],
			"lost character":       s[:at] + s[at+1:],
			"lost last character":  s[:len(s)-1],
			"extra character":      s[:at] + c + s[at:],
			"extra last character": s + c,
			"doubled character":    s[:at] + s[at:at+1] + s[at:],
			"swap":                 s[:at] + s[at+1:at+2] + s[at:at+1] + s[at+2:],
			"end moved to front":   s[:2] + s[at:] + s[2:at],
			"pasted twice":         s + s[2:],
		} {
			if bad == s {
				continue
			}
			b, err := Parse(bad)
			pe, ok := err.(*ParseError)
			if !ok || pe.Failure != BadChecksum && pe.Failure != TooLong || !reflect.DeepEqual(b, Address{}) {
				t.Errorf("%s: %q is read as %v, %v", typo, bad, b, err)
			}
		}
		for n := range compactPrefix {
			if b, err := Parse(s[:n] + c + s[n+1:]); err == nil && s[n:n+1] != c {
				t.Errorf("a wrong prefix is read as %v", b)
			}
		}
	})
}
