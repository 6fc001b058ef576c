package node

import (
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/nat"
)

// SessionState is a session as it stands.
type SessionState struct {
	Number        int // in this node, from 1 on; as in the events
	Peer          address.Key
	Opener        bool // whether we called
	Since         time.Time
	Via           Strategy    // of the path in use, as Conn.Via
	By            address.Key // as Conn.By
	Local, Remote net.Addr    // of the path in use, or of the last one
	Alive         bool        // the path works, as far as is known
	Moves         int         // how often the session has gone over to another path
	Duds          int         // links and resumptions of its that broke a rule, and were refused
	Forged        int         // links that TLS ended, since what came was changed on the way
	RTT           time.Duration
	// Sent and Received are bytes of the application: those that streams have
	// taken, and those that have come.
	Sent, Received uint64
}

// Sessions gives the sessions that there are, the oldest first.
func (n *Node) Sessions() []SessionState {
	list, about := n.events.known()
	all := make([]SessionState, len(list))
	for k, s := range list {
		st := s.Stats()
		local, remote := s.Addrs()
		all[k] = SessionState{
			Number: about[k].number, Peer: s.Peer(), Opener: s.Opener(), Since: about[k].since, Via: pathIn(s).via, By: pathIn(s).by,
			Local: local, Remote: remote, Alive: st.Alive, Moves: st.Moves, Duds: st.Duds, Forged: st.Forged, RTT: st.RTT, Sent: st.Sent, Received: st.Received,
		}
	}
	return all
}

// SessionNumber gives the number of a connection's session, as Sessions and the
// events have it; 0 once the session has ended.
func (n *Node) SessionNumber(c *Conn) int {
	n.events.mu.Lock()
	defer n.events.mu.Unlock()
	if t := n.events.sessions[c.Session()]; t != nil {
		return t.number
	}
	return 0
}

// BrokerState is one of the node's own brokers as it stands.
type BrokerState struct {
	Broker   address.Broker
	Open     bool
	Endpoint string        // the URL, "" before there was one
	RTT      time.Duration // 0 is unknown
	Err      error         // why it is not open; nil where that is not known yet
}

// Brokers gives the state of the node's own brokers, best first.
func (n *Node) Brokers() []BrokerState {
	n.events.mu.Lock()
	defer n.events.mu.Unlock()
	open := n.channel.Open()
	var all []BrokerState
	for _, b := range n.cfg.Brokers {
		s := n.events.brokers[b]
		state := BrokerState{Broker: b, Open: slices.Contains(open, b), Endpoint: s.Endpoint, Err: s.Err}
		if state.Open {
			state.RTT, state.Err = n.channel.RTT(b), nil
		}
		all = append(all, state)
	}
	return all
}

// PlaceState is one local address of the node, and what is known of the way
// from there to the internet.
type PlaceState struct {
	Interface string // its name
	Addr      netip.Addr
	Report    nat.Report // the zero Report where nothing is known
	// Uplink is whether STUN servers are asked from there: something may lead on
	// to the internet.
	Uplink bool
}

// Places gives the node's local addresses, in the order of its address.
func (n *Node) Places() []PlaceState {
	var all []PlaceState
	list := n.around.places()
	up := uplinksOf(list)
	for _, p := range list {
		all = append(all, PlaceState{p.name, p.addr, n.around.report(p.addr), slices.Contains(up, p)})
	}
	return all
}
