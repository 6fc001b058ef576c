package tunnel

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// maxHost is the longest host name (RFC 1035 §2.3.4, without the root).
const maxHost = 253

// Place is one end of a TCP connection: an IP address or a host name, and a port.
type Place struct {
	Host string // canonical, as ParseHost gives it; may be empty
	Port uint16
}

// ParsePlace reads "HOST:PORT", where both are given and the port is not 0.
func ParsePlace(s string) (Place, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return Place{}, fmt.Errorf("%q is not HOST:PORT", clip(s))
	}
	p := Place{}
	if p.Host, err = ParseHost(host); err != nil {
		return Place{}, err
	}
	if p.Port, err = parsePort(port); err != nil {
		return Place{}, err
	}
	return p, nil
}

func parsePort(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("port %q is not 1 to 65535", clip(s))
	}
	return uint16(n), nil
}

// ParseHost gives the canonical form of an IP address or a host name: small
// letters, no dot at the end, RFC 5952. It refuses zones, and addresses that
// are none, such as 0.0.0.0, which systems take for this machine.
func ParseHost(s string) (string, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		a = a.Unmap()
		switch {
		case a.Zone() != "":
			return "", fmt.Errorf("%q has a zone, which means nothing on another machine", clip(s))
		case a.IsUnspecified():
			return "", fmt.Errorf("%v is nowhere to connect to", a)
		}
		return a.String(), nil
	}
	name := strings.TrimSuffix(strings.ToLower(s), ".")
	if name == "" {
		return "", fmt.Errorf("a host is missing")
	}
	if len(name) > maxHost {
		return "", fmt.Errorf("host name %q has more than %d characters", clip(s), maxHost)
	}
	for label := range strings.SplitSeq(name, ".") {
		if len(label) == 0 || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" || label[0] == '-' {
			return "", fmt.Errorf("%q is neither an IP address nor a host name", clip(s))
		}
	}
	if last := name[strings.LastIndexByte(name, '.')+1:]; strings.Trim(last, "0123456789") == "" || strings.HasPrefix(last, "0x") {
		return "", fmt.Errorf("%q is neither an IP address nor a host name", clip(s)) // 127.1 and the like
	}
	return name, nil
}

// clip makes foreign text fit for a message.
func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}

// Addr is the host as an IP address; ok says whether it is one.
func (p Place) Addr() (a netip.Addr, ok bool) {
	a, err := netip.ParseAddr(p.Host)
	return a, err == nil
}

// String is "HOST:PORT".
func (p Place) String() string { return net.JoinHostPort(p.Host, strconv.Itoa(int(p.Port))) }

func (p Place) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, p.Port)
	b = append(b, byte(len(p.Host)))
	return append(b, p.Host...)
}

// readPlace reads one whose host may be empty, whose port may be 0, and that
// may be no place to connect to, such as 0.0.0.0.
func readPlace(r io.Reader) (Place, error) {
	var head [3]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return Place{}, cut(err)
	}
	if head[2] > maxHost {
		return Place{}, malformed("a host of %d bytes", head[2])
	}
	host := make([]byte, head[2])
	if _, err := io.ReadFull(r, host); err != nil {
		return Place{}, cut(err)
	}
	p := Place{string(host), binary.BigEndian.Uint16(head[:])}
	if p.Host == "" {
		return p, nil
	}
	if a, ok := p.Addr(); ok && a.IsUnspecified() && a.String() == p.Host {
		return p, nil
	}
	if canonical, err := ParseHost(p.Host); err != nil || canonical != p.Host {
		return Place{}, malformed("host %q", clip(p.Host))
	}
	return p, nil
}
