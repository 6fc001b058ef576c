package main

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/sallyport-net/sallyport/node/api"
	"github.com/sallyport-net/sallyport/node/tunnel"
)

// forwardKind is one of the ways to forward.
type forwardKind string

const (
	localForward  forwardKind = api.LocalForward
	remoteForward forwardKind = api.RemoteForward
	socksForward  forwardKind = api.SOCKSForward
)

// forwardSpec is one forward that was asked for.
type forwardSpec struct {
	kind forwardKind
	bind tunnel.Place // where to listen; port 0 is any, and the host is an address
	to   tunnel.Place // where to connect to; zero for socks, and for what the peer's node is for
}

// parseForward reads [BIND:]PORT:HOST:PORT, as ssh has it. For a local forward
// [BIND:]PORT will do, and for socks it is all.
func parseForward(kind forwardKind, text string) (forwardSpec, error) {
	fields, err := splitColons(text)
	if err != nil {
		return forwardSpec{}, err
	}
	s := forwardSpec{kind: kind, bind: tunnel.Place{Host: "127.0.0.1"}}
	if n := len(fields); n >= 3 && kind != socksForward {
		if s.to, err = tunnel.ParsePlace(net.JoinHostPort(fields[n-2], fields[n-1])); err != nil {
			return forwardSpec{}, err
		}
		fields = fields[:n-2]
	} else if kind == remoteForward {
		return forwardSpec{}, fmt.Errorf("%q is not [BIND:]PORT:HOST:PORT", text)
	}
	switch len(fields) {
	case 1:
	case 2:
		if s.bind.Host, err = parseBind(fields[0]); err != nil {
			return forwardSpec{}, err
		}
	default:
		return forwardSpec{}, fmt.Errorf("%q has too many parts; IPv6 addresses stand in brackets", text)
	}
	port := fields[len(fields)-1]
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return forwardSpec{}, fmt.Errorf("port %q is not 0 to 65535", port)
	}
	s.bind.Port = uint16(n)
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

// wide reports whether other machines reach the port.
func (s forwardSpec) wide() bool { return !loopback(s.bind) }

// where says at which end it listens, for people.
func (s forwardSpec) where(peer string) string {
	if s.kind == remoteForward {
		return "at " + peer
	}
	return "here"
}

// what says where the forward leads, for people.
func (s forwardSpec) what(peer string) string {
	switch {
	case s.kind == socksForward:
		return "wherever its clients ask (SOCKS5), by way of " + peer
	case s.kind == remoteForward:
		return fmt.Sprintf("%v here", s.to)
	case s.to == tunnel.Place{}:
		return "what the node of " + peer + " is for"
	}
	return fmt.Sprintf("%v at %s", s.to, peer)
}
