package natlab

import (
	"fmt"
	"net/netip"
	"os"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sallyport-net/sallyport/nat"
)

// router is a NAT that Linux itself is: a namespace with a TUN towards each
// side, forwarding between them and masquerading.
type router struct {
	ns       *namespace
	wan, lan *tun
}

func newRouter(b *Box) (r *router, err error) {
	r = &router{}
	if r.ns, err = newNamespace(); err != nil {
		return nil, err
	}
	if err := r.ns.run(func() error { return r.boot(b) }); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

// boot runs in the router's namespace.
func (r *router) boot(b *Box) (err error) {
	if err := loopbackUp(); err != nil {
		return err
	}
	if r.wan, err = openTUN("wan"); err != nil {
		return err
	}
	if r.lan, err = openTUN("lan"); err != nil {
		return err
	}
	if err := r.wan.configure(b.link.nets.v4.within(b.nat.externals)); err != nil {
		return err
	}
	if err := r.wan.route(everywhere, b.link.nets.v4.gateway(), 0); err != nil {
		return err
	}
	for _, n := range []*subnet{b.lan, b.carrier} {
		if err := r.lan.configure(n.within([]netip.Addr{n.gateway()})); err != nil {
			return err
		}
	}
	// Inner networks of firewalls behind this box.
	if err := r.lan.route(netip.MustParsePrefix("10.0.0.0/8"), netip.Addr{}, 0); err != nil {
		return err
	}
	// /proc/sys/net shows the namespace of the thread that looks.
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0); err != nil {
		return fmt.Errorf("turn on forwarding: %w", err)
	}
	return masquerade(b.cfg)
}

// masquerade has nftables translate what leaves by wan, and refuse what comes
// in there and belongs to nothing.
func masquerade(c NAT) error {
	conn, err := nftables.New()
	if err != nil {
		return fmt.Errorf("nftables: %w", err)
	}
	table := conn.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: "natlab"})
	post := conn.AddChain(&nftables.Chain{
		Table: table, Name: "postrouting", Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource,
	})
	conn.AddRule(&nftables.Rule{Table: table, Chain: post, Exprs: append(
		interfaceIs(expr.MetaKeyOIFNAME, "wan"),
		&expr.Masq{FullyRandom: c.Ports.Kind == nat.Random},
	)})
	for name, hook := range map[string]*nftables.ChainHook{
		"input": nftables.ChainHookInput, "forward": nftables.ChainHookForward,
	} {
		chain := conn.AddChain(&nftables.Chain{
			Table: table, Name: name, Type: nftables.ChainTypeFilter,
			Hooknum: hook, Priority: nftables.ChainPriorityFilter,
		})
		if refuse := refusal(c.Refuse); refuse != nil {
			conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: append(unsolicited(), refuse)})
		}
	}
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("nftables: %w", err)
	}
	return nil
}

// forwarded is the bit of a connection's status that tells that the router has
// changed its destination (IPS_DST_NAT in linux/nf_conntrack_common.h): a port
// is forwarded, and what comes there is wanted.
const forwarded = 1 << 5

// unsolicited matches packets from wan that open a conversation, apart from
// pings and from those to a forwarded port.
func unsolicited() []expr.Any {
	state := func(bits uint32) []byte {
		return []byte{byte(bits), byte(bits >> 8), byte(bits >> 16), byte(bits >> 24)}
	}
	return append(interfaceIs(expr.MetaKeyIIFNAME, "wan"),
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: []byte{protoICMP}},
		&expr.Ct{Key: expr.CtKeySTATE, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: state(expr.CtStateBitNEW | expr.CtStateBitINVALID), Xor: state(0)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: state(0)},
		&expr.Ct{Key: expr.CtKeySTATUS, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: state(forwarded), Xor: state(0)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: state(0)},
	)
}

// refusal is the verdict that r asks for; nil leaves it to Linux.
func refusal(r Refusal) expr.Any {
	icmp := func(code uint8) expr.Any { return &expr.Reject{Type: unix.NFT_REJECT_ICMP_UNREACH, Code: code} }
	switch r {
	case Drop:
		return &expr.Verdict{Kind: expr.VerdictDrop}
	case PortICMP:
		return icmp(noPort.v4)
	case ProhibitedICMP:
		return icmp(prohibited.v4)
	case HostICMP:
		return icmp(hostProhibited.v4)
	}
	return nil
}

// interfaceIs matches an interface by name.
func interfaceIs(key expr.MetaKey, name string) []expr.Any {
	data := make([]byte, unix.IFNAMSIZ)
	copy(data, name)
	return []expr.Any{
		&expr.Meta{Key: key, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: data},
	}
}

// flush forgets every connection.
func (r *router) flush() error {
	err := r.ns.run(func() error { return netlink.ConntrackTableFlush(netlink.ConntrackTable) })
	if err != nil {
		return fmt.Errorf("flush conntrack: %w", err)
	}
	return nil
}

func (r *router) close() {
	for _, t := range []*tun{r.wan, r.lan} {
		if t != nil {
			t.close()
		}
	}
	r.ns.close()
}
