package portmap

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"
)

// UPnP's errors that have a way around (WANIPConnection:1 §2.4.16).
const (
	noSuchEntry   = 714
	conflict      = 718 // the external port is somebody else's
	samePortsOnly = 724
	permanentOnly = 725
)

// upnpMapper speaks UPnP-IGD.
type upnpMapper struct {
	local   netip.AddrPort
	gateway netip.Addr
	search  uint16 // port of SSDP
	http    *http.Client
	service service
	address netip.Addr
	pinhole string // its id; "" where there is none
}

func newUPnPMapper(local netip.AddrPort, gateway netip.Addr, port uint16) *upnpMapper {
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(local.Addr(), 0))}
	return &upnpMapper{local: local, gateway: gateway, search: port, http: &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DisableKeepAlives: true, MaxResponseHeaderBytes: 16 << 10, // and no proxy
			// Whatever a URL says, the gateway is the only host that is dialled.
			DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				_, port, err := net.SplitHostPort(addr)
				if err != nil {
					return nil, err
				}
				return d.DialContext(ctx, network, net.JoinHostPort(gateway.String(), port))
			},
		},
	}}
}

// fetch runs a request, and reads at most maxXML bytes of its answer.
func (m *upnpMapper) fetch(r *http.Request) (status int, body []byte, err error) {
	answer, err := m.http.Do(r)
	if err != nil {
		return 0, nil, fmt.Errorf("upnp: %w", err)
	}
	defer answer.Body.Close()
	body, err = io.ReadAll(io.LimitReader(answer.Body, maxXML+1))
	if err == nil && len(body) > maxXML {
		err = errors.New("upnp: the router's answer is too long")
	}
	return answer.StatusCode, body, err
}

func (m *upnpMapper) discover(ctx context.Context) error {
	at, err := search(ctx, m.local.Addr(), m.gateway, m.search)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return err
	}
	status, body, err := m.fetch(r)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return fmt.Errorf("upnp: the router answers with status %d", status)
	}
	wanted := connections
	if m.local.Addr().Is6() {
		wanted = firewalls
	}
	if m.service, err = parseDescription(body, at, m.gateway, wanted); err != nil || m.local.Addr().Is6() {
		return err
	}
	return m.learnAddress(ctx)
}

func (m *upnpMapper) call(ctx context.Context, action string, args ...arg) (map[string]string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, m.service.control.String(), bytes.NewReader(soapRequest(m.service.kind, action, args)))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", `text/xml; charset="utf-8"`)
	r.Header["SOAPAction"] = []string{`"` + m.service.kind + "#" + action + `"`}
	status, body, err := m.fetch(r)
	if err != nil {
		return nil, err
	}
	values, err := parseSOAP(body)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("upnp: the router answers with status %d", status)
	}
	return values, err
}

func (m *upnpMapper) learnAddress(ctx context.Context) error {
	values, err := m.call(ctx, "GetExternalIPAddress")
	if err != nil {
		return err
	}
	if m.address, err = netip.ParseAddr(values["NewExternalIPAddress"]); err != nil {
		return errors.New("upnp: the router does not tell its external address")
	}
	return nil
}

func (m *upnpMapper) ask(ctx context.Context, external netip.AddrPort, life time.Duration) (l lease, err error) {
	err = m.whereItIs(ctx, func() error {
		if m.local.Addr().Is6() {
			l, err = m.askPinhole(ctx, life)
		} else {
			l, err = m.askMapping(ctx, external, life)
		}
		return err
	})
	return l, err
}

func (m *upnpMapper) askMapping(ctx context.Context, external netip.AddrPort, life time.Duration) (lease, error) {
	if !reachable(m.address) {
		return lease{}, ErrUseless
	}
	port := external.Port()
	if port == 0 {
		port = m.local.Port()
	}
	if m.service.kind == connections[0] {
		values, err := m.call(ctx, "AddAnyPortMapping", m.mapping(port, life)...)
		if err == nil {
			got, err := strconv.ParseUint(values["NewReservedPort"], 10, 16)
			return lease{external: netip.AddrPortFrom(m.address, uint16(got)), life: life}, err
		}
		if no := (*RefusedError)(nil); !errors.As(err, &no) {
			return lease{}, err
		}
	}
	var err error
	for range 4 { // 718 and 725 may both come
		if _, err = m.call(ctx, "AddPortMapping", m.mapping(port, life)...); err == nil {
			return lease{external: netip.AddrPortFrom(m.address, port), life: life}, nil
		}
		var no *RefusedError
		switch errors.As(err, &no); {
		case no != nil && no.Code == permanentOnly && life != 0:
			life = 0
		case no != nil && no.Code == conflict:
			port = uint16(20000 + rand.N(40000))
		case no != nil && no.Code == samePortsOnly:
			port = m.local.Port()
		default:
			return lease{}, err
		}
	}
	return lease{}, err
}

func (m *upnpMapper) mapping(port uint16, life time.Duration) []arg {
	return []arg{
		{"NewRemoteHost", ""}, {"NewExternalPort", strconv.Itoa(int(port))}, {"NewProtocol", "TCP"},
		{"NewInternalPort", strconv.Itoa(int(m.local.Port()))}, {"NewInternalClient", m.local.Addr().String()},
		{"NewEnabled", "1"}, {"NewPortMappingDescription", "sallyport"}, {"NewLeaseDuration", strconv.Itoa(int(seconds(life)))},
	}
}

// askPinhole opens the port to everyone, or renews that (WANIPv6FirewallControl:1 §2.4).
func (m *upnpMapper) askPinhole(ctx context.Context, life time.Duration) (lease, error) {
	time := strconv.Itoa(int(seconds(life)))
	if m.pinhole != "" {
		if _, err := m.call(ctx, "UpdatePinhole", arg{"UniqueID", m.pinhole}, arg{"NewLeaseTime", time}); err == nil {
			return lease{external: m.local, life: life}, nil
		}
	}
	values, err := m.call(ctx, "AddPinhole", arg{"RemoteHost", ""}, arg{"RemotePort", "0"},
		arg{"InternalClient", m.local.Addr().String()}, arg{"InternalPort", strconv.Itoa(int(m.local.Port()))},
		arg{"Protocol", strconv.Itoa(protocolTCP)}, arg{"LeaseTime", time})
	if err != nil {
		return lease{}, err
	}
	if _, err := strconv.ParseUint(values["UniqueID"], 10, 16); err != nil {
		return lease{}, errors.New("upnp: the router gives the pinhole no id")
	}
	m.pinhole = values["UniqueID"]
	return lease{external: m.local, life: life}, nil
}

func (m *upnpMapper) check(ctx context.Context, l lease) error {
	return m.whereItIs(ctx, func() error { return m.look(ctx, l) })
}

// whereItIs does it once more where the router is by now, if nobody answers
// where it was: a daemon that starts anew may take another port.
func (m *upnpMapper) whereItIs(ctx context.Context, do func() error) error {
	err := do()
	var no *RefusedError
	if err == nil || errors.Is(err, errLost) || errors.Is(err, ErrUseless) || errors.As(err, &no) || ctx.Err() != nil {
		return err
	}
	if err := m.discover(ctx); err != nil {
		return err
	}
	return do()
}

// look asks for the mapping and for the external address.
func (m *upnpMapper) look(ctx context.Context, l lease) error {
	var no *RefusedError
	if m.local.Addr().Is6() {
		_, err := m.call(ctx, "CheckPinholeWorking", arg{"UniqueID", m.pinhole})
		if errors.As(err, &no) && no.Code == 704 { // no such entry
			return errLost
		}
		return err
	}
	if err := m.learnAddress(ctx); err != nil {
		return err
	}
	if m.address != l.external.Addr() {
		return errLost
	}
	values, err := m.call(ctx, "GetSpecificPortMappingEntry", m.entry(l)...)
	if errors.As(err, &no) && no.Code == noSuchEntry || err == nil && values["NewInternalClient"] != m.local.Addr().String() {
		return errLost
	}
	return err
}

func (m *upnpMapper) entry(l lease) []arg {
	return []arg{{"NewRemoteHost", ""}, {"NewExternalPort", strconv.Itoa(int(l.external.Port()))}, {"NewProtocol", "TCP"}}
}

// drop deletes what is ours: who was not told that it was granted does not know
// whose the port is.
func (m *upnpMapper) drop(ctx context.Context, l lease) error {
	if m.local.Addr().Is6() {
		if m.pinhole == "" {
			return nil
		}
		_, err := m.call(ctx, "DeletePinhole", arg{"UniqueID", m.pinhole})
		return err
	}
	values, err := m.call(ctx, "GetSpecificPortMappingEntry", m.entry(l)...)
	var no *RefusedError
	if err == nil && values["NewInternalClient"] != m.local.Addr().String() || errors.As(err, &no) && no.Code == noSuchEntry {
		return nil
	}
	_, err = m.call(ctx, "DeletePortMapping", m.entry(l)...)
	return err
}
