package node

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node/circuit"
	"github.com/sallyport-net/sallyport/node/relay"
	"github.com/sallyport-net/sallyport/signaling"
	"github.com/sallyport-net/sallyport/signaling/reflector"
)

// Strategy is one way to make a connection.
type Strategy string

const (
	LAN     Strategy = "lan"     // ask for the peer on the local networks, and dial it there
	Direct  Strategy = "direct"  // dial the peer
	Reverse Strategy = "reverse" // ask the peer to dial us
	Punch   Strategy = "punch"   // dial each other at once, through both NATs
	Relay   Strategy = "relay"   // meet at a TURN server or a node that relays, where all else fails
)

// Strategies are all that this version knows, in the order in which ties are
// settled. They race: none waits for another, but for the relay, which comes last.
func Strategies() []Strategy { return []Strategy{LAN, Direct, Reverse, Punch, Relay} }

// Config says how a node lives. The zero value works: it gives a node with a
// key of its own for this run, on the public brokers and STUN servers.
type Config struct {
	// Key is the node's identity. Zero means a new one, which is forgotten
	// with the node.
	Key address.PrivateKey
	// MachineID tells peers which nodes share a machine: 0 to 64 of
	// [A-Za-z0-9_]. Empty means that nobody shall know.
	MachineID string
	// Brokers are where the node listens for signals, best first. None means
	// the public ones that follow from the key. Those named here replace the
	// public ones altogether: bare node ids are looked for on them too.
	Brokers []address.Broker
	// STUN and STUNTCP are servers as "host:port", asked over UDP and over
	// TCP. Nil for both means the public ones; where only STUN is set, its
	// servers are asked over TCP too. A list that is empty but not nil means
	// that nobody is asked.
	STUN, STUNTCP []string
	// Interfaces names the network interfaces to use, best first. None means
	// all that lead somewhere, the one with the default route first.
	Interfaces []string
	// Port is the TCP port to listen on and to punch from. 0 means any.
	Port uint16
	// KeepAlive is how long a broker may be silent before it is asked whether
	// it is there, in whole seconds; after a third more it counts as lost.
	// 0 means 30 s.
	KeepAlive time.Duration
	// Refresh is how often the node looks where its port is mapped, beside the
	// times when it has a reason to. 0 means 10 min; less than 1 s is 1 s.
	Refresh time.Duration
	// Admission says who may connect. Nil means everyone. Nobody is admitted
	// before the first call of Accept.
	Admission *signaling.Admission
	// StateDir is where the node remembers, in a file networks.json, which ways
	// led from one network to another, so that they are tried first the next
	// time. The file names nobody. Nodes may share a directory. Empty means that
	// nothing is remembered.
	StateDir string
	// Birthday says for whom many ports are opened or dialled, which is what
	// reaches a NAT with random ports. The default is for listed peers only;
	// calls of our own are not concerned unless it says never.
	Birthday reflector.Birthday
	// Strategies narrows the ways in which Connect tries. None means all.
	Strategies []Strategy
	// Relays are TURN servers for calls that nothing else brings about, ours and
	// those of others to us, best first. One of the two sides needs one.
	Relays []relay.Place
	// RelayNodes are nodes that relay for us, as Relays do, best first, at most
	// MaxRelayNodes: such as have Relaying set and admit us there. They may be
	// behind NATs themselves. Relays and RelayNodes are tried side by side.
	RelayNodes []address.Address
	// Relaying has this node relay for others. The zero value is off.
	Relaying Relaying
	// Timeout bounds a Connect whose context has no nearer end. 0 means 30 s.
	Timeout time.Duration
	// HoldOn is how long a connection whose path is lost waits for another. 0
	// means 10 min. Where the peer's machine itself has ended the path, as when
	// its process was killed, it is 15 s at most; who relays is not the peer.
	HoldOn time.Duration
	// NoWait has New return at once. A Connect looks for its peer on the LAN
	// meanwhile; everything else that it does waits for what New would wait for.
	NoWait bool
	// Tunnels has Accept give the streams that peers have opened by Tunnel, too:
	// Conn.Tunnel tells them apart. Without it they are refused.
	Tunnels bool
	// Backlog is how many connections wait for Accept at most. 0 means 64.
	Backlog int
	// Sessions is how many peers' sessions the node takes at once, each of which
	// may carry 256 connections; 0 means 4096. One peer gets a quarter of them;
	// those who are admitted only as everyone is get three quarters, and a quarter
	// where they come from one IPv4 address or IPv6 /64. Whoever finds no room is
	// told link.ErrBusy.
	Sessions int
	// PortMap has each router asked by PCP, NAT-PMP and UPnP to forward Port to
	// this machine while the node runs. Where one does, the node's address says
	// that strangers get in. It is off by default: docs/overview.md says why.
	PortMap bool
	// NoLAN keeps the node from answering on its local networks those who look
	// for its key, and from looking for others there. Both take multicast, which
	// tells everybody on them that a node runs here, but not which one.
	NoLAN bool
	// HideLAN leaves the inner addresses out of the node's address.
	HideLAN bool
	// Logger gets events as data. Nil means silence.
	Logger *slog.Logger
	// Now is the wall clock. Nil means time.Now.
	Now func() time.Time

	waiting int // of peers' sessions; 0 means a quarter of Sessions, 256 at least
}

// MaxRelayNodes is how many nodes may relay for one.
const MaxRelayNodes = signaling.MaxBy

// Relaying says for whom a node relays, and how much. Whoever is in For and not
// admitted by Config.Admission may open circuits, and nothing else.
type Relaying struct {
	// For is who may reach others through this node, and be reached. Those of
	// them who are named, rather than admitted as everyone, may have it call
	// whom they want to reach. The zero value is nobody.
	For signaling.Admission
	// Limits bound what is relayed; each zero means its default.
	Limits circuit.Limits
}

func (c Config) withDefaults() (Config, error) {
	if c.Key.IsZero() {
		k, err := address.GenerateKey()
		if err != nil {
			return c, fmt.Errorf("making a key: %w", err)
		}
		c.Key = k
	}
	if len(c.Brokers) == 0 {
		c.Brokers = signaling.Home(c.Key.Public(), signaling.ListenBrokers)
	}
	if c.STUNTCP == nil {
		c.STUNTCP = c.STUN
	}
	if len(c.Strategies) == 0 {
		c.Strategies = Strategies()
	}
	for _, s := range c.Strategies {
		if !slices.Contains(Strategies(), s) {
			return c, fmt.Errorf("strategy %q is unknown: choose from %v", s, Strategies())
		}
	}
	if c.Admission == nil {
		everyone := signaling.Everyone()
		c.Admission = &everyone
	}
	if len(c.RelayNodes) > MaxRelayNodes {
		return c, fmt.Errorf("%d nodes are to relay, of %d at most", len(c.RelayNodes), MaxRelayNodes)
	}
	for _, r := range c.RelayNodes {
		if r.Key.IsZero() || r.Foreign != "" {
			return c, errors.New("a node that is to relay has no key")
		}
	}
	c.Relaying.Limits = c.Relaying.Limits.WithDefaults()
	if c.KeepAlive <= 0 {
		c.KeepAlive = 30 * time.Second
	}
	if c.Refresh <= 0 {
		c.Refresh = 10 * time.Minute
	}
	c.Refresh = max(c.Refresh, time.Second)
	if c.Timeout <= 0 {
		c.Timeout = 30 * time.Second
	}
	if c.HoldOn <= 0 {
		c.HoldOn = 10 * time.Minute
	}
	if c.Backlog <= 0 {
		c.Backlog = 64
	}
	if c.Sessions <= 0 {
		c.Sessions = defaultSessions
	}
	if c.waiting <= 0 {
		c.waiting = max(leastWaiting, c.Sessions/4)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c, nil
}
