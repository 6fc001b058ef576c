package nat

import (
	"math"
	"net/netip"
)

// FilteringVerdict says from whom packets get in.
type FilteringVerdict struct {
	Behavior   Behavior
	Confidence float64 // 0 to 1
}

// ClassifyFiltering judges the filtering behaviour (RFC 5780 §4.4, RFC 4787
// §5). An answer that got in is proof, since nobody can send it through a
// filter; silence counts only where the sender was seen alive, since servers
// and packets get lost. An answer from the very address that was asked means
// that the server does not do what it was asked, and counts for nothing.
func ClassifyFiltering(fs []Filtered) FilteringVerdict {
	type test struct{ in, shut map[netip.Addr]bool }
	both := test{map[netip.Addr]bool{}, map[netip.Addr]bool{}}
	port := test{map[netip.Addr]bool{}, map[netip.Addr]bool{}}
	for _, f := range fs {
		t, ip := &port, f.Server.Addr().Unmap()
		if f.ChangeIP {
			t = &both
		} else if !f.ChangePort {
			continue
		}
		from := unmap(f.From)
		switch {
		case !f.From.IsValid():
			if f.Alive {
				t.shut[ip] = true
			}
		case f.ChangeIP && from.Addr() != ip,
			!f.ChangeIP && from.Addr() == ip && from.Port() != f.Server.Port():
			t.in[ip] = true
		}
	}
	for ip := range both.in { // an answer came at last: no silence
		delete(both.shut, ip)
	}
	for ip := range port.in {
		delete(port.shut, ip)
	}
	sure := func(n, against int) float64 {
		return (1 - math.Pow(0.2, float64(n))) * float64(n) / float64(n+against)
	}
	switch {
	case len(both.in) > 0:
		// Silence elsewhere is loss, and loss is more likely than a hole.
		return FilteringVerdict{EndpointIndependent, max(0.6, sure(len(both.in), len(both.shut)))}
	case len(port.in) > 0 && len(both.shut) > 0:
		return FilteringVerdict{AddressDependent, max(0.6, sure(len(port.in), len(port.shut)))}
	case len(port.in) > 0:
		return FilteringVerdict{AddressDependent, 0.4} // or endpoint-independent: nobody could try
	case len(port.shut) > 0:
		return FilteringVerdict{AddressAndPortDependent, sure(len(port.shut), 0)}
	case len(both.shut) > 0:
		return FilteringVerdict{AddressAndPortDependent, 0.4} // or address-dependent
	}
	return FilteringVerdict{}
}
