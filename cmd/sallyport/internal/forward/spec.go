package forward

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/sallyport-net/sallyport/node/api"
	"github.com/sallyport-net/sallyport/node/tunnel"
)

// Kind is one of the ways to forward.
type Kind string

const (
	// Local is a port here for a service at the peer.
	Local Kind = api.LocalForward
	// Remote is a port at the peer for a service here.
	Remote Kind = api.RemoteForward
	// SOCKS is a SOCKS5 proxy here, whose clients say where the peer connects to.
	SOCKS Kind = api.SOCKSForward
)

// Spec is one forward that was asked for.
type Spec struct {
	Kind Kind
	Bind tunnel.Place // where to listen; port 0 is any, and the host is an address
	To   tunnel.Place // where to connect to; zero for SOCKS, and for what the peer's node is for
}

// Parse reads [BIND:]PORT:HOST:PORT, as ssh has it. For a Local forward [BIND:]PORT
// will do, and for SOCKS it is all. BIND is an IP address, localhost, or * for every
// address, and 127.0.0.1 where it is left out.
func Parse(kind Kind, text string) (Spec, error) {
	fields, err := splitColons(text)
	if err != nil {
		return Spec{}, err
	}
	s := Spec{Kind: kind, Bind: tunnel.Place{Host: "127.0.0.1"}}
	if n := len(fields); n >= 3 && kind != SOCKS {
		if s.To, err = tunnel.ParsePlace(net.JoinHostPort(fields[n-2], fields[n-1])); err != nil {
			return Spec{}, err
		}
		fields = fields[:n-2]
	} else if kind == Remote {
		return Spec{}, fmt.Errorf("%q is not [BIND:]PORT:HOST:PORT", text)
	}
	switch len(fields) {
	case 1:
	case 2:
		if s.Bind.Host, err = parseBind(fields[0]); err != nil {
			return Spec{}, err
		}
	default:
		return Spec{}, fmt.Errorf("%q has too many parts; IPv6 addresses stand in brackets", text)
	}
	port := fields[len(fields)-1]
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return Spec{}, fmt.Errorf("port %q is not 0 to 65535", port)
	}
	s.Bind.Port = uint16(n)
	return s, nil
}

// parseBind reads an address to listen on: * is all.
func parseBind(s string) (string, error) {
	switch s {
	case "localhost":
		return "127.0.0.1", nil
	case "*":
		return "::", nil
	}
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return "", fmt.Errorf("%q is no address to listen on", s)
	}
	return a.Unmap().String(), nil
}

// parseBindPlace reads IP:PORT, where the port may be 0.
func parseBindPlace(s string) (tunnel.Place, error) {
	at, err := netip.ParseAddrPort(s)
	if err != nil || at.Addr().Zone() != "" {
		return tunnel.Place{}, fmt.Errorf("%q is no address and port to listen on", s)
	}
	return tunnel.Place{Host: at.Addr().Unmap().String(), Port: at.Port()}, nil
}

// splitColons splits at colons, but for those in brackets, which it takes off.
func splitColons(s string) ([]string, error) {
	var fields []string
	for {
		if inner, found := strings.CutPrefix(s, "["); found {
			field, rest, closed := strings.Cut(inner, "]")
			if !closed || rest != "" && rest[0] != ':' {
				return nil, fmt.Errorf("%q has brackets that do not fit", s)
			}
			fields = append(fields, field)
			if rest == "" {
				return fields, nil
			}
			s = rest[1:]
			continue
		}
		field, rest, more := strings.Cut(s, ":")
		fields = append(fields, field)
		if !more {
			return fields, nil
		}
		s = rest
	}
}

// OfAPI reads a forward as the API has it, and API is the way back.
func OfAPI(f api.Forward) (s Spec, err error) {
	s.Kind = Kind(f.Kind)
	if s.Bind, err = parseBindPlace(f.Bind); err == nil && f.To != "" {
		s.To, err = tunnel.ParsePlace(f.To)
	}
	return s, err
}

// API gives the forward as the API has it.
func (s Spec) API() api.Forward {
	f := api.Forward{Kind: string(s.Kind), Bind: s.Bind.String()}
	if (s.To != tunnel.Place{}) {
		f.To = s.To.String()
	}
	return f
}

// Wide reports whether other machines than the one that listens reach a place.
func Wide(bind tunnel.Place) bool {
	a, ok := bind.Addr()
	return !ok || !a.IsLoopback()
}

// Where says at which end it listens, for people; peer is what they call the peer.
func (s Spec) Where(peer string) string {
	if s.Kind == Remote {
		return "at " + peer
	}
	return "here"
}

// What says where the forward leads, for people; peer is what they call the peer.
func (s Spec) What(peer string) string {
	switch {
	case s.Kind == SOCKS:
		return "wherever its clients ask (SOCKS5), by way of " + peer
	case s.Kind == Remote:
		return fmt.Sprintf("%v here", s.To)
	case s.To == tunnel.Place{}:
		return "what the node of " + peer + " is for"
	}
	return fmt.Sprintf("%v at %s", s.To, peer)
}
