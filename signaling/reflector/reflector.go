// Package reflector keeps a node from being aimed at third parties.
//
// Keys are free, and anyone can sign a victim's address as its own. A signal
// that asks for packets is therefore vetted: the Budget says which of the
// destinations may be dialled, and gives a Permit that the dialer spends packet
// by packet. For a sender who is admitted only because everyone is:
//
//   - at most 10 packets for one message, retransmissions included, within 20 s
//   - at most 60 at once and 1 a second in the long run to one destination (an
//     IPv4 address or an IPv6 /64), whoever asks
//   - at most 500 at once and 50 a second to all destinations together
//   - inner addresses only where an external address of the sender equals one of
//     ours (over IPv6: is in the same /64) or a beacon of the sender was heard on the LAN, and no port below 1024
//   - no random ports; where the configuration allows them, 1024 packets to them
//     at once and 17 a second in all
//
// Whoever asks, nothing is sent to addresses that no peer can have (prefixes.go
// lists them), nor to this machine unless the sender is on it.
//
// A message that asks for 10 SYNs of 60 bytes is itself 1024 bytes or more, so
// that a node sends fewer bytes than it got: there is nothing to amplify. And
// the outcome of a dial is never reported to the sender, so that there is
// nothing to scan with.
//
// Everything here is a value with an injected clock. No packet is sent.
package reflector

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/signaling"
)

// Limits for senders who are admitted as everyone is. In 60 s a destination's
// budget is full again and needs no memory; until then at most TotalBurst + 60 ×
// TotalRate destinations can have been opened, which is less than maxSites.
const (
	PerMessage       = 10 // packets
	Window           = 20 * time.Second
	PerSiteRate      = 1  // packets per second
	PerSiteBurst     = 60 // packets
	TotalRate        = 50 // packets per second
	TotalBurst       = 500
	RandomRate       = 17   // packets per second to random ports
	RandomBurst      = 1024 // packets: 98 % of a birthday with 256 sockets
	MaxDestinations  = 32   // of one message that are looked at
	lowestInnerPort  = 1024 // for open senders: routers and printers listen below
	maxSites         = 4096
	refill           = PerSiteBurst / PerSiteRate * time.Second
	sweepingInterval = 10 * time.Second
)

// Config is what a Budget needs; the zero value will do.
type Config struct {
	// Birthday says who may have us dial random ports. Default listed.
	Birthday Birthday
}

// Birthday says for whom random ports are dialled.
type Birthday uint8

const (
	BirthdayListed Birthday = iota
	BirthdayAlways
	BirthdayNever
)

// Budget is shared by all senders. It is safe for use by several goroutines.
type Budget struct {
	config Config
	mu     sync.Mutex
	total  *rate.Limiter
	random *rate.Limiter
	sites  map[netip.Prefix]*account
	swept  time.Time
	proofs map[proof]time.Time // until when they count
}

type account struct {
	*rate.Limiter
	used time.Time
}

// New makes a full budget.
func New(config Config) *Budget {
	return &Budget{
		config: config,
		total:  rate.NewLimiter(TotalRate, TotalBurst),
		random: rate.NewLimiter(RandomRate, RandomBurst),
		sites:  make(map[netip.Prefix]*account),
		proofs: make(map[proof]time.Time),
	}
}

// Request is what one signal asks for.
type Request struct {
	Level signaling.Level
	Self  address.Address // ours
	Peer  address.Address // the sender's, which may be a lie
	// Dest is where packets are wanted, best first. Of a message it is what
	// Destinations gives.
	Dest []netip.AddrPort
	// LAN is set where a beacon of this very key was heard on the local
	// network.
	LAN bool
}

// Refusal is a destination that is not to be dialled, and why.
type Refusal struct {
	Dest netip.AddrPort
	Why  string
}

// Vet sorts the destinations of a request, and gives the permit for those that
// may be dialled; it may hold none. Listed senders are not counted.
func (b *Budget) Vet(now time.Time, r Request) *Permit {
	p := &Permit{
		Deadline: now.Add(Window),
		budget:   b,
		left:     PerMessage,
		metered:  r.Level != signaling.Listed,
		sender:   r.Peer.Key,
	}
	if r.Level == signaling.Stranger {
		p.left = 0
	}
	switch b.config.Birthday {
	case BirthdayAlways:
		p.Birthday = r.Level != signaling.Stranger
	case BirthdayListed:
		p.Birthday = r.Level == signaling.Listed
	}
	near := r.LAN || shareExternal(r.Self, r.Peer)
	for n, d := range r.Dest {
		why := ""
		if n >= MaxDestinations {
			why = "too many destinations"
		} else {
			why = r.objection(d, near)
		}
		switch {
		case why != "":
			p.Refused = append(p.Refused, Refusal{d, why})
		case !slices.Contains(p.Dest, d):
			p.Dest = append(p.Dest, d)
		}
	}
	return p
}

// objection says why d is not dialled for this request; "" where it is.
func (r Request) objection(d netip.AddrPort, near bool) string {
	listed := r.Level == signaling.Listed
	switch {
	case r.Level == signaling.Stranger:
		return "the sender is not admitted"
	case d.Port() == 0:
		return "no port"
	case ours(r.Self, d):
		return "our own endpoint"
	}
	switch classify(d.Addr()) {
	case never:
		return "no peer can have this address"
	case loopback:
		if r.Self.MachineID == "" || r.Self.MachineID != r.Peer.MachineID {
			return "the sender is not on this machine"
		}
		fallthrough
	case inner:
		if !listed && !near {
			return "the sender is on another network"
		}
		if !listed && d.Port() < lowestInnerPort {
			return "a port of the system"
		}
	}
	return ""
}

// shareExternal reports whether both are behind the same external address; of
// IPv6, which every host has its own of, in the same /64.
func shareExternal(a, b address.Address) bool {
	for _, x := range a.Interfaces() {
		for _, y := range b.Interfaces() {
			if x.External.IsValid() && y.External.IsValid() && site(x.External) == site(y.External) {
				return true
			}
		}
	}
	return false
}

// ours reports whether d is where we listen ourselves.
func ours(self address.Address, d netip.AddrPort) bool {
	for _, i := range self.Interfaces() {
		if d == i.ExternalEndpoint() || d == i.InternalEndpoint() {
			return true
		}
	}
	return false
}

// spend takes n packets to d from the common budgets.
func (b *Budget) spend(now time.Time, d netip.Addr, n int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sweep(now)
	s := site(d)
	a := b.sites[s]
	if a == nil {
		if len(b.sites) >= maxSites {
			return false
		}
		a = &account{Limiter: rate.NewLimiter(PerSiteRate, PerSiteBurst)}
	}
	// Looked at before it is taken, so that a no costs nothing.
	if a.TokensAt(now) < float64(n) || !b.total.AllowN(now, n) {
		return false
	}
	a.AllowN(now, n)
	a.used = now
	b.sites[s] = a
	return true
}

// sweep forgets destinations whose budget is full again.
func (b *Budget) sweep(now time.Time) {
	if now.Sub(b.swept) < sweepingInterval && len(b.sites) < maxSites {
		return
	}
	b.swept = now
	for s, a := range b.sites {
		if now.Sub(a.used) >= refill {
			delete(b.sites, s)
		}
	}
}

// Destinations lists where a message asks its recipient to dial.
func Destinations(m signaling.Message) []netip.AddrPort {
	switch {
	case m.Direct != nil:
		return m.Direct.Dial
	case m.Punch != nil:
		return m.Punch.From
	case m.Relay != nil:
		return m.Relay.Dial
	}
	return nil
}
