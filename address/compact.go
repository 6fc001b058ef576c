package address

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/bits"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/mr-tron/base58"

	"github.com/sallyport-net/sallyport/nat"
)

const (
	compactPrefix = "s_"
	checksumSize  = 4
	// maxCompact bounds the work of base58, which grows with the square of
	// the length. The longest valid address has about 1830 characters.
	maxCompact = 2048
)

// Compact gives the short form for people, chats and QR codes, which tells a
// typo from an address. It loses nothing: Parse of it gives an equal address.
// Only a valid address with a Key has one; a foreign node id is an error.
//
// One IPv4 interface takes at most 84 characters where the brokers are none or
// at most three of the first 32 well-known ones, the machine id is one of
// NewMachineID or empty, Internal is External or private (RFC 1918, RFC 6598),
// Index is the interface's position, NetIndex is below 2080, BrokerRTT at most
// 1024 ms and the delta's value -32 to 31.
func (a Address) Compact() (string, error) {
	if err := a.Validate(); err != nil {
		return "", err
	}
	if a.Key.IsZero() {
		return "", errors.New("address: a foreign node id has no compact form")
	}
	return encodeCompact(a.pack()), nil
}

func encodeCompact(payload []byte) string {
	sum := checksum(payload)
	return compactPrefix + base58.Encode(append(payload, sum[:]...))
}

const (
	wantSum    = "the compact address as it was given; a character is wrong, missing, swapped or too many"
	wantLayout = "the layout of " + compactPrefix + " addresses; the checksum is right, so a faulty program made this one"
)

func checksum(payload []byte) [checksumSize]byte {
	sum := sha256.Sum256(append([]byte(compactPrefix), payload...))
	return [checksumSize]byte(sum[:])
}

// pack gives the payload of a valid address with a key.
func (a Address) pack() []byte {
	a.Brokers = slices.Clone(a.Brokers) // the coder writes back what it was given
	a.V4, a.V6 = canonicalList(a.V4), canonicalList(a.V6)
	var c coder
	c.address(&a)
	return c.buf
}

func canonicalList(list []Interface) []Interface {
	list = slices.Clone(list)
	for n := range list {
		list[n] = list[n].canonical()
	}
	return list
}

func parseCompact(s string) (Address, error) {
	if len(s) > maxCompact {
		return Address{}, parseError(s, maxCompact, "compact address", TooLong, "", fmt.Sprintf("at most %d characters, not %d", maxCompact, len(s)))
	}
	body := s[len(compactPrefix):]
	for n := range len(body) {
		if strings.IndexByte(base58Alphabet, body[n]) < 0 {
			return Address{}, parseError(s, len(compactPrefix)+n, "compact address", Syntax, body[n:n+1], "letters and digits other than 0, O, I and l")
		}
	}
	b, err := base58.Decode(body)
	if err != nil || len(b) <= checksumSize {
		return Address{}, parseError(s, 0, "checksum", BadChecksum, "", wantSum)
	}
	payload, sum := b[:len(b)-checksumSize], b[len(b)-checksumSize:]
	if want := checksum(payload); !bytes.Equal(sum, want[:]) {
		return Address{}, parseError(s, 0, "checksum", BadChecksum, "", wantSum)
	}
	var a Address
	c := coder{reading: true, buf: payload}
	c.address(&a)
	// Writing it again finds whatever is written in a way that no writer has:
	// padding that is not zero or too long, a wide form of what has a narrow one.
	if c.bad || a.Validate() != nil || !bytes.Equal(a.pack(), payload) {
		return Address{}, parseError(s, 0, "compact address", BadLayout, "", wantLayout)
	}
	return a, nil
}

const base58Alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

// address is the layout that the package comment describes.
func (c *coder) address(a *Address) {
	c.key(&a.Key)
	c.brokers(&a.Brokers)
	c.machineID(&a.MachineID)
	v4, v6 := len(a.V4), len(a.V6)
	c.number(&v4, 2)
	c.number(&v6, 2)
	if c.reading {
		a.V4, a.V6 = sized[Interface](v4), sized[Interface](v6)
	}
	for n := range a.V4 {
		c.iface(&a.V4[n], ipv4, n)
	}
	for n := range a.V6 {
		c.iface(&a.V6[n], ipv6, n)
	}
}

// sized gives n zero values, and nil for none, as the text parser does.
func sized[T any](n int) []T {
	if n == 0 {
		return nil
	}
	return make([]T, n)
}

func (c *coder) key(k *Key) {
	odd := k.b[0]&1 == 1
	c.flag(&odd)
	b := k.b
	c.bytes(b[1:], 0)
	if !c.reading {
		return
	}
	b[0] = 2
	if odd {
		b[0] = 3
	}
	var err error
	if *k, err = KeyFromBytes(b[:]); err != nil {
		c.bad = true
	}
}

// ownURL stands for the index of a broker that has none: the first number that
// no index has, since two tiers of 5 and 16 bits come before it.
const ownURL = 1<<5 + 1<<16

func (c *coder) brokers(list *[]Broker) {
	some := len(*list) > 0
	if c.flag(&some); !some {
		return
	}
	n := len(*list) - 1
	c.number(&n, 3)
	if c.reading {
		*list = sized[Broker](n + 1)
	}
	for i := range *list {
		b := &(*list)[i]
		which := b.Index
		if b.URL != "" {
			which = ownURL
		}
		c.tiered(&which, 5, 16, 0)
		if which == ownURL {
			c.text(&b.URL, 7, 8)
		} else {
			b.Index = which
		}
	}
}

func (c *coder) machineID(id *string) {
	some := *id != ""
	if c.flag(&some); !some {
		return
	}
	raw, err := hex.DecodeString(*id)
	usual := err == nil && len(raw) == machineIDSize && strings.ToLower(*id) == *id
	if c.flag(&usual); !usual {
		c.text(id, 6, 7)
		return
	}
	if c.reading {
		raw = make([]byte, machineIDSize)
	}
	c.bytes(raw, 0)
	*id = hex.EncodeToString(raw)
}

// text is a string of at least one byte: its length less 1, then its bytes.
func (c *coder) text(s *string, lengthWidth, byteWidth int) {
	n := len(*s) - 1
	c.number(&n, lengthWidth)
	b := []byte(*s)
	if c.reading {
		b = make([]byte, n+1)
	}
	for i := range b {
		v := int(b[i])
		c.number(&v, byteWidth)
		b[i] = byte(v)
	}
	*s = string(b)
}

func (c *coder) iface(i *Interface, f family, position int) {
	c.tiered(&i.NetIndex, 5, 11, 16)
	moved := (i.Index - position) & maxIndex
	c.tiered(&moved, 0, 16)
	i.Index = (position + moved) & maxIndex
	c.ip(&i.External, f)
	c.internal(i, f)

	port, kind, delta := int(i.Port), int(i.NAT), int(i.Delta.Kind)
	c.number(&port, 16)
	c.number(&kind, 3)
	c.number(&delta, 3)
	i.Port, i.NAT, i.Delta.Kind = uint16(port), nat.Type(kind), nat.DeltaKind(delta)
	if stepped(i.Delta.Kind) {
		zigzag := i.Delta.Value<<1 ^ i.Delta.Value>>63 // 0, -1, 1, -2, 2 become 0, 1, 2, 3, 4
		c.tiered(&zigzag, 6, 16)
		i.Delta.Value = zigzag>>1 ^ -(zigzag & 1)
	}
	external, rtt := int(i.ExternalPort), int(i.BrokerRTT/time.Millisecond)
	c.tiered(&external, 0, 16)
	c.tiered(&rtt, 0, 10, 16)
	if external > maxIndex {
		c.bad = true
	}
	i.ExternalPort, i.BrokerRTT = uint16(external), time.Duration(rtt)*time.Millisecond
}

func (c *coder) ip(ip *netip.Addr, f family) {
	raw := make([]byte, 4)
	if f == ipv6 {
		raw = make([]byte, 16)
	}
	if !c.reading {
		raw = ip.AsSlice()
	}
	c.bytes(raw, 0)
	*ip, _ = netip.AddrFromSlice(raw)
}

// internalRanges has the ranges that inner addresses come from, likeliest
// first. The last one holds every address.
var internalRanges = map[family][]netip.Prefix{
	ipv4: {
		netip.MustParsePrefix("192.168.0.0/16"),
		netip.MustParsePrefix("10.0.0.0/8"),
		netip.MustParsePrefix("172.16.0.0/12"),
		netip.MustParsePrefix("100.64.0.0/10"), // carrier-grade NAT, RFC 6598
		netip.MustParsePrefix("0.0.0.0/0"),
	},
	ipv6: {netip.MustParsePrefix("::/0")},
}

// internal is 0 for the external address again, or 1 and up for a range and
// the bits that the range leaves open.
func (c *coder) internal(i *Interface, f family) {
	ranges := internalRanges[f]
	which := 0
	if i.Internal != i.External {
		which = 1 + slices.IndexFunc(ranges, func(p netip.Prefix) bool { return p.Contains(i.Internal) })
	}
	c.number(&which, bits.Len(uint(len(ranges))))
	switch {
	case which == 0:
		i.Internal = i.External
	case which > len(ranges):
		c.bad = true
	default:
		r := ranges[which-1]
		raw := r.Addr().AsSlice()
		if !c.reading {
			raw = i.Internal.AsSlice()
		}
		c.bytes(raw, r.Bits())
		i.Internal, _ = netip.AddrFromSlice(raw)
	}
}
