// Package natlab is a laboratory of simulated networks: hosts behind NATs of
// every kind, on a closed internet inside one process, with real kernel TCP.
//
// A host is a Linux network namespace with a TUN device for each of its
// interfaces, which is one unless HostConfig.More adds others. This process holds
// the other ends of all of them and is the internet and every NAT in between.
// The hosts' kernels do TCP, UDP and ICMP; the lab only delays, loses,
// translates, filters and routes packets. Nothing leaves the machine, nothing
// has a name on it, and whatever becomes of the process, nothing stays behind.
//
//	func TestMain(m *testing.M) {
//		natlab.Main() // where not root: run again in a user namespace
//		os.Exit(m.Run())
//	}
//
//	func TestPunch(t *testing.T) {
//		if err := natlab.Available(); err != nil {
//			t.Skip(err)
//		}
//		lab, err := natlab.New(natlab.Config{Seed: 1})
//		…
//		defer lab.Close()
//		server, err := lab.Host(natlab.HostConfig{Addresses: 2})
//		home, err := lab.NAT(natlab.NAT{Refuse: natlab.RST, Delay: 20 * time.Millisecond})
//		alice, err := lab.Host(natlab.HostConfig{Behind: home})
//		out, err := alice.Command(ctx, "sallyport", "nat").Output()
//		conn, err := alice.Dial(ctx, nil, "tcp", "51.10.1.10:80")
//	}
//
// # Two ways to run something on a host
//
// A socket belongs to the namespace of the thread that opened it, for ever,
// and from then on any goroutine may use it. Host.Do runs a function on such a
// thread, and Host.Dial, Host.Listen and Host.ListenPacket open single sockets
// that way, so that a test can be both peers at once. What opens sockets of
// its own accord and from its own goroutines, such as a whole node, needs a
// process: Host.Command starts one that is born in the namespace. It may be
// the test binary itself, os.Args[0], with an environment variable or a flag
// that tells TestMain which part to play.
//
// # The network
//
//	host ── Delay ──┐
//	                box (NAT) ── Delay ──┐
//	host ── Delay ──┘                    internet ── Delay ── host
//	host ── box ── box (carrier) ────────┘
//
// Each host and each box hangs on one link with a delay, jitter and loss that
// hold for each direction; the way from one host to another is the sum of
// the links between. With 20 ms on the two access links, peers are 40 ms
// apart one way. A link without jitter keeps the order of packets. Delays are
// kept to about a tenth of a millisecond on an idle machine.
//
// Hosts and boxes on the internet have addresses such as 51.10.1.10 and
// 52.10.1.10, each in a /16 of its own; a LAN is 192.168.N.0/24, and the
// network between a carrier's box and those behind it 100.64.N.0/24. The
// router of a network has its .1. Hosts of one LAN reach one another directly,
// broadcast and multicast included, without the box's Delay. Packets that
// carry a source address from elsewhere are dropped.
//
// # IPv6 and several interfaces
//
//	lab.NAT(natlab.NAT{V6: &natlab.V6{Refuse: natlab.RST}})
//	lab.Host(natlab.HostConfig{Behind: home, Stack: natlab.DualStack})
//	lab.Host(natlab.HostConfig{Behind: cable, More: []natlab.Uplink{{Behind: mobile}}})
//
// IPv6 is routed and never translated: a host has an address of the global /64
// of its box, such as 2a00:5:1::a, and a stateful firewall, NAT.V6, stands
// before it, whatever the box does to IPv4. V6.ULA adds unique local addresses
// (fd5a:…), which serve among the hosts of one box. There are no link-local
// addresses, router advertisements or neighbour discovery: a TUN needs none.
//
// A host with several interfaces has a default route by each, of which the first
// one's wins; Host.Bridge adds an interface that leads nowhere, as containers do.
//
// Every box and the internet's core take one from the TTL: a SYN sent with
// TTL 1 dies at the sender's own NAT, 2 at the core, 3 at the peer's NAT, and
// 4 arrives; behind a carrier's NAT it is one more. The router where a packet
// dies answers with ICMP time exceeded, also if the packet would have been
// refused. Errors are translated back on their way like everything else, with
// the packet that they quote, so that the sender's kernel finds its socket.
//
// # What a NAT does
//
// An outbound SYN, datagram or ping makes a mapping, as NAT.Mapping and
// NAT.Ports say, and a session with that remote endpoint. What comes in
// passes if there is a session, whatever its flags, or if the mapping's
// filter (NAT.Filtering) lets strangers in, which starts a session too.
// Anything else is answered as NAT.Refuse says. TCP from inside that belongs
// to no session and is no SYN is dropped. Fragments don't cross a box.
//
// Ports are drawn as a nat.Delta has it:
//
//	nat.Equal        the local port
//	nat.Preserving   the local port plus an offset, the same for all
//	nat.Independent  the last port that anyone got, plus Value
//	nat.Dependent    if the local port is one above the last one of that host,
//	                 the last external one plus Value; else random
//	nat.Random       random
//
// A port that is taken or out of range is replaced by the next free one in
// the pattern (Independent) or a random one (the others). TCP, UDP and ICMP
// have ports and counters of their own.
//
// NAT.Kernel asks for Linux's own NAT (nftables masquerade) instead; it has no
// IPv6.
//
// # Limits
//
// A lab holds 10800 hosts and boxes with public IPv4 addresses, and 65535 IPv6
// networks. IPv6 packets with extension headers don't cross a box. A link holds 32768 packets under way in each direction
// and loses what is more.
package natlab
