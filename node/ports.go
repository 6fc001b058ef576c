package node

import (
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
)

// lowestFresh and highestFresh are the local ports that punches and looks leave
// from: such as systems give out by themselves (RFC 6335 §6, and Linux by its
// default), since by those our NATs were classified.
const lowestFresh, highestFresh = 49152, 60999

// freshPorts gives out local ports in turn, from a random one on, so that none
// comes again before all others did. A NAT keeps the mapping of a connection
// that was reset for minutes (RFC 5382 REQ-5): who goes to the same place from
// the same port within these gets the mapping of then, which moves no counter,
// and whoever counts on the next port is wrong by hundreds. Ports drawn at
// random collide within a few dozen punches.
type freshPorts struct {
	mu   sync.Mutex
	next int
}

func newFreshPorts() *freshPorts {
	return &freshPorts{next: lowestFresh + rand.IntN(highestFresh-lowestFresh+1)}
}

var errNoFreePort = errors.New("no local port is free")

// row gives the first of n consecutive ports of local that nobody uses at the
// moment; n is at least 1.
func (f *freshPorts) row(local netip.Addr, n int) (netip.AddrPort, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := unused(netip.AddrPortFrom(local, 0)); err != nil {
		return netip.AddrPort{}, err // the address is not ours, or there is none left
	}
	free := 0
	for range highestFresh - lowestFresh + n {
		if f.next > highestFresh {
			f.next, free = lowestFresh, 0
		}
		at := netip.AddrPortFrom(local, uint16(f.next))
		f.next++
		if unused(at) != nil {
			free = 0
			continue
		}
		if free++; free == n {
			return netip.AddrPortFrom(local, at.Port()-uint16(n-1)), nil
		}
	}
	return netip.AddrPort{}, errNoFreePort
}

// unused fails where somebody uses a local port at the moment.
func unused(at netip.AddrPort) error {
	l, err := net.Listen("tcp", at.String())
	if err != nil {
		return err
	}
	return l.Close()
}
