package portmap

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"
)

// mappingPort is where PCP and NAT-PMP are served.
const mappingPort = 5351

// resend is when a request is sent again, doubling (RFC 6886 §3.1).
const resend = 250 * time.Millisecond

// exchange sends a request from local to the gateway until accept takes an answer
// for its own, or ctx ends. The socket is connected, so that the kernel hears
// nobody else; accept gives errForeign for what it does not want.
func exchange(ctx context.Context, local netip.Addr, gateway netip.AddrPort, request []byte, accept func([]byte) error) error {
	d := net.Dialer{LocalAddr: net.UDPAddrFromAddrPort(netip.AddrPortFrom(local, 0))}
	conn, err := d.DialContext(ctx, "udp", gateway.String())
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	b := make([]byte, 1500)
	for wait := resend; ; wait *= 2 {
		if _, err := conn.Write(request); err != nil {
			return errors.Join(ctx.Err(), err)
		}
		again := time.Now().Add(wait)
		for time.Now().Before(again) {
			_ = conn.SetReadDeadline(again)
			if ctx.Err() != nil { // the line above may have undone its end
				return ctx.Err()
			}
			n, err := conn.Read(b)
			if err == nil {
				if err = accept(b[:n]); !errors.Is(err, errForeign) {
					return err
				}
				continue
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if timeout := net.Error(nil); !errors.As(err, &timeout) || !timeout.Timeout() {
				return err // ICMP: nobody listens there
			}
		}
	}
}

// pmpMapper speaks NAT-PMP.
type pmpMapper struct {
	local   netip.AddrPort
	gateway netip.AddrPort
	epoch   epoch
	address netip.Addr
}

func (m *pmpMapper) talk(ctx context.Context, opcode byte, request []byte) (a pmpAnswer, lost bool, err error) {
	err = exchange(ctx, m.local.Addr(), m.gateway, request, func(b []byte) (err error) {
		a, err = parsePMP(b, opcode)
		if err == nil && opcode == pmpMapTCP && a.internal != m.local.Port() {
			err = errForeign
		}
		return err
	})
	if err == nil {
		now := epoch{a.epoch, time.Now(), true}
		m.epoch, lost = now, m.epoch.restarted(now)
	}
	return a, lost, err
}

func (m *pmpMapper) discover(ctx context.Context) error {
	a, _, err := m.talk(ctx, pmpAddress, pmpAddressRequest())
	m.address = a.address
	return err
}

func (m *pmpMapper) ask(ctx context.Context, external netip.AddrPort, life time.Duration) (lease, error) {
	if !reachable(m.address) {
		return lease{}, ErrUseless
	}
	a, _, err := m.talk(ctx, pmpMapTCP, pmpMapRequest(m.local.Port(), external.Port(), life))
	if err == nil && a.life == 0 {
		err = errors.New("nat-pmp: the router granted no time")
	}
	return lease{external: netip.AddrPortFrom(m.address, a.external), life: a.life}, err
}

func (m *pmpMapper) check(ctx context.Context, l lease) error {
	a, lost, err := m.talk(ctx, pmpAddress, pmpAddressRequest())
	if err != nil {
		return err
	}
	m.address = a.address
	if lost || a.address != l.external.Addr() {
		return errLost
	}
	return nil
}

func (m *pmpMapper) drop(ctx context.Context, _ lease) error {
	_, _, err := m.talk(ctx, pmpMapTCP, pmpMapRequest(m.local.Port(), 0, 0))
	return err
}

// pcpMapper speaks PCP.
type pcpMapper struct {
	local   netip.AddrPort
	gateway netip.AddrPort
	epoch   epoch
	nonce   nonce
}

func (m *pcpMapper) talk(ctx context.Context, opcode byte, request []byte) (a pcpAnswer, lost bool, err error) {
	err = exchange(ctx, m.local.Addr(), m.gateway, request, func(b []byte) (err error) {
		a, err = parsePCP(b, opcode)
		if err == nil && opcode == pcpMap && (a.nonce != m.nonce || a.internal != m.local.Port()) {
			err = errForeign
		}
		return err
	})
	if err == nil {
		now := epoch{a.epoch, time.Now(), true}
		m.epoch, lost = now, m.epoch.restarted(now)
	}
	return a, lost, err
}

func (m *pcpMapper) discover(ctx context.Context) error {
	_, _, err := m.talk(ctx, pcpAnnounce, pcpAnnounceRequest(m.local.Addr()))
	return err
}

func (m *pcpMapper) ask(ctx context.Context, external netip.AddrPort, life time.Duration) (lease, error) {
	a, _, err := m.talk(ctx, pcpMap, pcpMapRequest(m.local, external, m.nonce, life))
	if err == nil && a.life == 0 {
		err = errors.New("pcp: the router granted no time")
	}
	return lease{external: a.external, life: a.life}, err
}

func (m *pcpMapper) check(ctx context.Context, _ lease) error {
	_, lost, err := m.talk(ctx, pcpAnnounce, pcpAnnounceRequest(m.local.Addr()))
	if err == nil && lost {
		return errLost
	}
	return err
}

// drop may have to leave the mapping to end by itself, soon: miniupnpd with
// nftables (2.3.1) forgets whose a pinhole is when it is renewed, or asked for
// twice because its answer was late, and then lets nobody delete it.
func (m *pcpMapper) drop(ctx context.Context, l lease) error {
	_, _, err := m.talk(ctx, pcpMap, pcpMapRequest(m.local, l.external, m.nonce, 0))
	var no *RefusedError
	if errors.As(err, &no) && no.Code == notAuthorized {
		_, err = m.ask(ctx, l.external, time.Second) // the router's own minimum, where that is longer
	}
	return err
}
