package memory

import (
	"crypto/hmac"
	"crypto/sha256"
	"net/netip"
)

// Network is where a machine is, as far as others need to know: the addresses
// are cut to their networks, /24 or /48, since a provider hands out others of
// the same network to the same line.
type Network struct {
	External netip.Addr
	Internal netip.Addr // of our own interface; none of a peer's
}

// Name gives the pair of our network and a peer in its network. peer are the
// bytes that identify it: a port is forwarded to one machine, not to its
// neighbours. Without the secret nobody can find out which pair it is, though
// there are few networks to guess.
func Name(secret []byte, here Network, peer []byte, there netip.Addr) Pair {
	h := hmac.New(sha256.New, secret)
	for _, a := range []netip.Addr{here.External, here.Internal, there} {
		b, _ := network(a).MarshalBinary()
		h.Write([]byte{byte(len(b))})
		h.Write(b)
	}
	h.Write(peer)
	return Pair(h.Sum(nil)[:16])
}

// network cuts an address to its network; of an invalid one it is invalid.
func network(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := 48
	if a.Is4() {
		bits = 24
	}
	p, _ := a.Prefix(bits)
	return p
}
