package node_test

import (
	"cmp"
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"

	"github.com/sallyport-net/sallyport/nat/probe"
	"github.com/sallyport-net/sallyport/node/relay"
	"github.com/sallyport-net/sallyport/signaling/broker"
)

func playServer(ctx context.Context, r role) error {
	cfg := broker.Config{Listen: net.JoinHostPort(r.Serve[0], cmp.Or(r.MQTT, "1883")), MaxPerIP: 10_000, Anyone: true} // as public ones are
	families := addrsByFamily(r.Serve)
	if len(families) > 1 {
		cfg.Listen = ":1883"
	}
	if r.Flooded {
		cfg.PublishRate, cfg.PublishBurst, cfg.Queue = 1e6, 1e6, 1e5
	}
	b, err := broker.Start(cfg)
	if err != nil {
		return err
	}
	defer b.Close()
	for _, addrs := range families {
		stun := probe.ServerConfig{Primary: netip.AddrPortFrom(addrs[0], 3478), OnePort: len(addrs) == 1}
		if len(addrs) > 1 {
			stun.Alternate = netip.AddrPortFrom(addrs[1], 3479)
		}
		s, err := probe.NewServer(stun)
		if err != nil {
			return err
		}
		defer s.Close()
	}
	if r.TURN != "" {
		t, err := relay.NewServer(relay.ServerConfig{Listen: r.TURN, Secret: relaySecret})
		if err != nil {
			return err
		}
		defer t.Close()
	}
	say(reply{Address: r.Serve[0]})
	_, _ = io.Copy(io.Discard, os.Stdin)
	return nil
}

// addrsByFamily sorts addresses into IPv4 and IPv6 ones, as far as there are any.
func addrsByFamily(texts []string) [][]netip.Addr {
	var four, six []netip.Addr
	for _, text := range texts {
		if a := netip.MustParseAddr(text); a.Is4() {
			four = append(four, a)
		} else {
			six = append(six, a)
		}
	}
	return slices.DeleteFunc([][]netip.Addr{four, six}, func(list []netip.Addr) bool { return len(list) == 0 })
}
