package nat

import (
	"math"
	"net/netip"
)

// FilteringVerdict says from whom packets get in.
type FilteringVerdict struct {
	Behavior   Behavior
	Confidence float64 // 0 to 1
	// Witnesses is how many server IPs say so. That somebody was shut out is
	// hearsay; that somebody got in is seen.
	Witnesses int
	// Refusal is what a stranger met who was not let in; TCP only.
	Refusal Refusal
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
	v := FilteringVerdict{Refusal: refusal(fs)}
	switch {
	case len(both.in) > 0:
		// Silence elsewhere is loss, and loss is more likely than a hole.
		v.Behavior, v.Confidence, v.Witnesses = EndpointIndependent, max(0.6, sure(len(both.in), len(both.shut))), len(both.in)
		v.Refusal = RefusalUnknown // of whom, then?
	case len(port.in) > 0 && len(both.shut) > 0:
		v.Behavior, v.Confidence, v.Witnesses = AddressDependent, max(0.6, sure(len(port.in), len(port.shut))), len(both.shut)
	case len(port.in) > 0:
		v.Behavior, v.Confidence, v.Witnesses = AddressDependent, 0.4, len(port.in) // or endpoint-independent: nobody could try
	case len(port.shut) > 0:
		v.Behavior, v.Confidence, v.Witnesses = AddressAndPortDependent, sure(len(port.shut), 0), len(port.shut)
	case len(both.shut) > 0:
		v.Behavior, v.Confidence, v.Witnesses = AddressAndPortDependent, 0.4, len(both.shut) // or address-dependent
	}
	return v
}

// refusal is what strangers met, if they agree. One from another IP is a
// stranger to every filter; one from another port only to those that look at it.
func refusal(fs []Filtered) Refusal {
	for _, changeIP := range []bool{true, false} {
		met, agree := RefusalUnknown, true
		for _, f := range fs {
			if f.ChangeIP != changeIP || f.Refusal == RefusalUnknown || f.From.IsValid() {
				continue
			}
			agree = agree && (met == RefusalUnknown || met == f.Refusal)
			met = f.Refusal
		}
		if met != RefusalUnknown && agree {
			return met
		}
		if !agree {
			break
		}
	}
	return RefusalUnknown
}

// filterOfTCP says how TCP is filtered, by what calls over TCP have shown and
// by what UDP has, which one NAT seldom treats otherwise.
func filterOfTCP(tcp, udp FilteringVerdict) FilteringVerdict {
	switch {
	case tcp.Behavior == BehaviorUnknown:
		udp.Refusal = tcp.Refusal
		return udp
	case udp.Behavior == BehaviorUnknown:
		if tcp.Behavior != EndpointIndependent && tcp.Witnesses < 2 {
			tcp.Confidence = min(tcp.Confidence, 0.45)
		}
	case tcp.Behavior == udp.Behavior:
		tcp.Confidence = 1 - (1-tcp.Confidence)*(1-udp.Confidence)
	case tcp.Confidence < sureEnough && tcp.Behavior == udp.Behavior+1:
		udp.Refusal = tcp.Refusal // half an answer, which agrees as far as it goes
		return udp
	case tcp.Behavior > udp.Behavior && tcp.Witnesses < 2:
		// UDP gets in where, by one server's word, TCP does not.
		return FilteringVerdict{}
	}
	return tcp
}
