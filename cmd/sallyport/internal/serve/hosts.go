package serve

import (
	"net"
	"net/netip"
	"strings"
)

// hosts are the one or two addresses to listen on.
func (c *Config) hosts() ([]netip.Addr, error) {
	if len(c.Listen) == 0 {
		return []netip.Addr{netip.IPv4Unspecified()}, nil
	}
	if len(c.Listen) > 2 || len(c.Advertise) > len(c.Listen) {
		return nil, misused("leave some of them out", "--listen may be given twice, and --advertise as often as that")
	}
	var hosts []netip.Addr
	for _, name := range c.Listen {
		ip, err := net.ResolveIPAddr("ip", name)
		if err != nil {
			return nil, misused("try --listen with one of this machine's addresses", "--listen %q is no address", name)
		}
		h, _ := netip.AddrFromSlice(ip.IP)
		hosts = append(hosts, h.Unmap().WithZone(ip.Zone))
	}
	if len(hosts) == 2 && (hosts[0] == hosts[1] || hosts[0].Is4() != hosts[1].Is4() || hosts[0].IsUnspecified() || hosts[1].IsUnspecified()) {
		return nil, misused("try two IPv4 addresses, or two IPv6 ones", "two --listen must be two addresses of one family")
	}
	return hosts, nil
}

// names are how others call the hosts.
func (c *Config) names(hosts []netip.Addr) []string {
	var names []string
	for n, h := range hosts {
		switch {
		case n < len(c.Advertise):
			names = append(names, c.Advertise[n])
		case h.IsUnspecified():
			names = append(names, likelyAddress())
		default:
			names = append(names, h.String())
		}
	}
	return names
}

// likelyAddress is the one from which this machine reaches the internet; no
// packet is sent for it.
func likelyAddress() string {
	c, err := net.Dial("udp4", "192.0.2.1:9")
	if err != nil {
		return "127.0.0.1"
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).IP.String()
}

// withHost puts a name in place of the host of a broker's URL.
func withHost(brokerURL, name string) string {
	scheme, rest, _ := strings.Cut(brokerURL, "://")
	hostport, path, slash := strings.Cut(rest, "/")
	_, port, err := net.SplitHostPort(hostport)
	if err != nil {
		return brokerURL
	}
	u := scheme + "://" + net.JoinHostPort(name, port)
	if slash {
		u += "/" + path
	}
	return u
}
