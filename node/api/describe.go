package api

import (
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/nat"
	"github.com/sallyport-net/sallyport/node"
)

// Address is an address taken apart; its JSON is a promise.
type Address struct {
	Address    string      `json:"address"`
	Compact    string      `json:"compact,omitempty"`
	ID         string      `json:"id"`
	Key        bool        `json:"key"` // whether the id is a key, so that it can be connected to
	MachineID  string      `json:"machine_id,omitempty"`
	Brokers    []string    `json:"brokers"`
	Interfaces []Interface `json:"interfaces"`
}

// Interface is one place in an address.
type Interface struct {
	Family   string `json:"family"`
	Index    int    `json:"index"`
	NetIndex int    `json:"net_index"`
	External string `json:"external"` // IP:PORT
	Internal string `json:"internal"` // IP:PORT
	Type     string `json:"type"`
	TypeCode int    `json:"type_code"`
	Delta    Delta  `json:"delta"`
	RTTMS    int64  `json:"broker_rtt_ms,omitempty"`
}

// Delta is how a NAT's ports move.
type Delta struct {
	Kind  string        `json:"kind"`
	Code  nat.DeltaKind `json:"code"` // as in addresses
	Value int           `json:"value"`
}

// Finding is what was found out about one transport.
type Finding struct {
	Asked      int     `json:"asked"`
	Answered   int     `json:"answered"`
	Mapping    string  `json:"mapping"`
	Filtering  string  `json:"filtering"`
	Delta      Delta   `json:"delta"`
	Confidence float64 `json:"confidence"`
	Guess      bool    `json:"guess"`
	RTTMS      float64 `json:"rtt_ms"`
}

// AddressOf takes an address apart.
func AddressOf(a address.Address) Address {
	p := Address{
		Address: a.String(), ID: a.Key.String() + a.Foreign, Key: !a.Key.IsZero(),
		MachineID: a.MachineID, Brokers: []string{}, Interfaces: []Interface{},
	}
	p.Compact, _ = a.Compact() // there is none for a foreign id
	for _, b := range a.Brokers {
		p.Brokers = append(p.Brokers, b.String())
	}
	for _, i := range a.Interfaces() {
		family := "IPv4"
		if i.External.Is6() {
			family = "IPv6"
		}
		p.Interfaces = append(p.Interfaces, Interface{
			Family: family, Index: i.Index, NetIndex: i.NetIndex,
			External: i.ExternalEndpoint().String(), Internal: i.InternalEndpoint().String(),
			Type: i.NAT.String(), TypeCode: int(i.NAT), Delta: DeltaOf(i.Delta), RTTMS: i.BrokerRTT.Milliseconds(),
		})
	}
	return p
}

// DeltaOf gives a delta in its own words.
func DeltaOf(d nat.Delta) Delta { return Delta{d.Kind.String(), d.Kind, d.Value} }

// FindingOf gives a finding in RFC 4787's words.
func FindingOf(f nat.Finding) Finding {
	return Finding{
		Asked: f.Asked, Answered: f.Answered, Mapping: f.Mapping.String(), Filtering: f.Filtering.String(),
		Delta: DeltaOf(f.Delta), Confidence: f.Confidence, Guess: f.Guess, RTTMS: milliseconds(f.RTT),
	}
}

// Session is a session of the node.
type Session struct {
	Session  int       `json:"session"`
	Peer     string    `json:"peer"`
	Ours     bool      `json:"ours"` // whether this node called
	Since    time.Time `json:"since"`
	Via      string    `json:"via"`          // empty where the peer called, and not by a relay
	By       string    `json:"by,omitempty"` // the id of the node that relays
	Local    string    `json:"local"`
	Remote   string    `json:"remote"`
	Alive    bool      `json:"alive"`
	Moves    int       `json:"moves"`
	Duds     int       `json:"duds"`
	Forged   int       `json:"forged"`
	RTTMS    float64   `json:"rtt_ms"`   // 0 before it was measured
	Sent     uint64    `json:"sent"`     // bytes
	Received uint64    `json:"received"` // bytes
}

func sessionOf(s node.SessionState) Session {
	return Session{
		Session: s.Number, Peer: s.Peer.String(), Ours: s.Opener, Since: s.Since.UTC(), Via: string(s.Via), By: idOf(s.By),
		Local: s.Local.String(), Remote: s.Remote.String(), Alive: s.Alive, Moves: s.Moves, Duds: s.Duds, Forged: s.Forged,
		RTTMS: milliseconds(s.RTT), Sent: s.Sent, Received: s.Received,
	}
}

// Broker is one of the node's own brokers.
type Broker struct {
	Broker   string  `json:"broker"`
	Open     bool    `json:"open"`
	Endpoint string  `json:"endpoint,omitempty"`
	RTTMS    float64 `json:"rtt_ms"` // 0 is unknown
	Error    string  `json:"error,omitempty"`
}

func brokerOf(b node.BrokerState) Broker {
	out := Broker{Broker: b.Broker.String(), Open: b.Open, Endpoint: b.Endpoint, RTTMS: milliseconds(b.RTT)}
	if b.Err != nil {
		out.Error = b.Err.Error()
	}
	return out
}

// Health says what the node misses; nothing is good.
type Health struct {
	Broker string `json:"broker,omitempty"`
	STUN   string `json:"stun,omitempty"`
}

// Status is everything at once.
type Status struct {
	Version     Version        `json:"version"`
	PID         int            `json:"pid"`
	Since       time.Time      `json:"since"`
	URL         string         `json:"url,omitempty"` // of the page; empty where nothing listens on TCP
	Address     Address        `json:"address"`
	Verdict     string         `json:"verdict"`
	Health      Health         `json:"health"`
	Brokers     []Broker       `json:"brokers"`
	Interfaces  []Place        `json:"interfaces"`
	Sessions    []Session      `json:"sessions"`
	Connections []Connection   `json:"connections"`
	Forwards    []ForwardState `json:"forwards"`
	Relaying    Relaying       `json:"relaying"`
}

// Version says what runs.
type Version struct {
	Version string `json:"version"`
	Go      string `json:"go"`
	System  string `json:"system"`
}

// milliseconds to a hundredth.
func milliseconds(d time.Duration) float64 {
	return float64(d.Round(10*time.Microsecond)) / float64(time.Millisecond)
}

// list gives the parts of a status, and never null.
func list[A, B any](all []A, of func(A) B) []B {
	out := make([]B, 0, len(all))
	for _, a := range all {
		out = append(out, of(a))
	}
	return out
}

// idOf is a key's id; "" where there is none.
func idOf(k address.Key) string {
	if k.IsZero() {
		return ""
	}
	return k.String()
}
