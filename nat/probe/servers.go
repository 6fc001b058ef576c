package probe

import (
	"math/rand/v2"
	"slices"
)

// Public STUN servers by operator, as known in 2025. None has promised
// anything; a probe asks several of different operators at once and does
// without those that are gone.
var (
	// defaultChanging answer over UDP and honour CHANGE-REQUEST.
	defaultChanging = []string{
		"stun.hot-chilli.net:3478", "stun.telnyx.com:3478", "stun.hide.me:3478",
		"stun.easybell.de:3478", "stun.m-online.net:3478", "stun.schlund.de:3478",
		"stun.nfon.net:3478", "stun.voip.aebc.com:3478", "stun.sip.us:3478",
		"stun.mixvoip.com:3478", "stun.aaisp.co.uk:3478", "stun.srce.hr:3478",
		"stun.infra.net:3478", "stun.levigo.de:3478", "stun.voipia.net:3478",
	}
	// defaultSteady answer over UDP and belong to large operators.
	defaultSteady = []string{
		"stun.l.google.com:19302", "stun.cloudflare.com:3478", "stun.nextcloud.com:443",
		"stun.sipgate.net:3478", "stun.antisip.com:3478",
	}
	// defaultTCP answer over TCP.
	defaultTCP = []string{
		"stun.nextcloud.com:443", "stun.hot-chilli.net:3478", "stun.antisip.com:3478",
		"stun.telnyx.com:3478", "stun.signalwire.com:3478", "stun.ipfire.org:3478",
		"stun.flashdance.cx:3478", "stun.cunicu.li:3478", "stun.sipnet.com:3478",
		"stun.m-online.net:3478", "stun.sonetel.net:3478", "stun.axialys.net:3478",
		"stunserver.stunprotocol.org:3478",
	}
)

// DefaultServers draws six public servers to ask over UDP: three that honour
// CHANGE-REQUEST and three of large operators, each of another operator.
func DefaultServers() []string {
	return slices.Concat(draw(defaultChanging, 3), draw(defaultSteady, mostServers-3))
}

// DefaultTCPServers draws five public servers to ask over TCP. The one with two
// ports, which tells address-dependent from port-dependent mappings, and one
// on port 443, which most firewalls let out, are always among them.
func DefaultTCPServers() []string {
	return append([]string{"stun.nextcloud.com:443", "stun.nextcloud.com:3478"}, draw(defaultTCP[1:], mostTCPServers-2)...)
}

// draw gives n of list at random, so that no one server gets all the load.
func draw(list []string, n int) []string {
	list = slices.Clone(list)
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list[:min(n, len(list))]
}
