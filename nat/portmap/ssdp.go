package portmap

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"
)

// searchPort is SSDP's; a gateway is searched there directly as well, since
// not every network carries multicast (UPnP Device Architecture 1.1 §1.3.2).
const searchPort = 1900

var (
	group4 = netip.MustParseAddr("239.255.255.250")
	group6 = netip.MustParseAddr("ff02::c")
)

func searchRequest(group netip.Addr, target string) []byte {
	return fmt.Appendf(nil, "M-SEARCH * HTTP/1.1\r\nHOST: %v\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: %s\r\n\r\n",
		netip.AddrPortFrom(group, searchPort), target)
}

// parseSearch reads an answer and gives where the description is: an HTTP URL
// on the gateway itself. A router has several IPv6 addresses, so for IPv6 any
// is taken, and the gateway's put in its place.
func parseSearch(b []byte, gateway netip.Addr) (*url.URL, error) {
	r, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(b)), nil)
	if err != nil {
		return nil, errForeign
	}
	_ = r.Body.Close()
	if r.StatusCode != http.StatusOK || r.Header.Get("Location") == "" {
		return nil, errForeign
	}
	return onGateway(nil, r.Header.Get("Location"), gateway)
}

// onGateway resolves ref and refuses what is not plain HTTP on the gateway.
func onGateway(base *url.URL, ref string, gateway netip.Addr) (*url.URL, error) {
	u, err := url.Parse(ref)
	if err != nil || len(ref) > 1024 {
		return nil, fmt.Errorf("upnp: the router names a URL that is none")
	}
	if base != nil {
		u = base.ResolveReference(u)
	}
	host, err := netip.ParseAddr(u.Hostname())
	if u.Scheme != "http" || u.User != nil || err != nil || host.WithZone("") != gateway.WithZone("") && !(gateway.Is6() && host.Is6() && !host.Is4In6()) {
		return nil, fmt.Errorf("upnp: %q is not on the gateway %v, so it is not fetched", u.Redacted(), gateway)
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	u.Host = net.JoinHostPort(gateway.String(), port)
	return u, nil
}

// ofGateway reports whether an answer may be the gateway's. That is one of many
// addresses for IPv6, where the route names the link-local one and daemons
// answer from the global one: there any of local's network will do, since the
// answer only says where on the gateway itself the description is.
func ofGateway(sender, local, gateway netip.Addr) bool {
	if sender == gateway || gateway.Is4() {
		return sender == gateway
	}
	own, err := local.Prefix(64)
	return err == nil && own.Contains(sender)
}

// search asks for Internet gateway devices and gives the first description
// that the gateway itself names. Answers of others are not read (see ofGateway).
func search(ctx context.Context, local, gateway netip.Addr, port uint16) (*url.URL, error) {
	network, group := "udp4", group4
	if local.Is6() {
		network, group = "udp6", group6.WithZone(gateway.Zone())
	}
	from := net.UDPAddrFromAddrPort(netip.AddrPortFrom(local, 0))
	conn, err := net.ListenUDP(network, from)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	var failed error
	b := make([]byte, 2048)
	for wait := resend; ; wait *= 2 {
		for _, target := range []string{"urn:schemas-upnp-org:device:InternetGatewayDevice:1", "urn:schemas-upnp-org:device:InternetGatewayDevice:2"} {
			request := searchRequest(group.WithZone(""), target)
			_, direct := conn.WriteToUDPAddrPort(request, netip.AddrPortFrom(gateway, port))
			_, cast := conn.WriteToUDPAddrPort(request, netip.AddrPortFrom(group, port))
			if direct != nil && cast != nil {
				return nil, errors.Join(ctx.Err(), direct)
			}
		}
		_ = conn.SetReadDeadline(time.Now().Add(wait))
		for {
			n, sender, err := conn.ReadFromUDPAddrPort(b)
			if ctx.Err() != nil {
				return nil, errors.Join(failed, ctx.Err())
			}
			if err != nil {
				break // until the next try
			}
			if !ofGateway(sender.Addr().Unmap(), local, gateway) {
				continue
			}
			u, err := parseSearch(b[:n], gateway)
			if err == nil {
				return u, nil
			}
			if !errors.Is(err, errForeign) {
				failed = err
			}
		}
	}
}
