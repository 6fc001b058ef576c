package node_test

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/node/relay"
	"github.com/sallyport-net/sallyport/node/relay/coturn"
)

// held is a relay of one side's, and what that side has to open it.
type held struct {
	coturn   bool // and not the server of serve
	password bool // a user and a password, which are never lent, and not the secret
}

func (h *held) String() string {
	if h == nil {
		return "nothing"
	}
	server, opens := "serve", "a secret"
	if h.coturn {
		server = "coturn"
	}
	if h.password {
		opens = "a password"
	}
	return server + " by " + opens
}

// lends reports whether its owner can lend what opens it.
func (h *held) lends() bool { return h != nil && !h.password }

// dials reports whether the relay connects with endpoints on other ones.
func (h *held) dials() bool { return h != nil && h.coturn }

// corner is a pair of nodes whose networks let out TCP to port 443 and nothing
// else, with a relay on that port for each, or for one of them.
type corner struct {
	caller, callee *held
	listed         bool // the callee lists the caller: it lends to nobody else
	same           bool // the two relays are one
}

func (c corner) String() string {
	who := "everyone"
	if c.listed {
		who = "the caller"
	}
	theirs := c.callee.String()
	if c.same {
		theirs = "the same"
	}
	return fmt.Sprintf("%v and %s, which admits %s", c.caller, theirs, who)
}

// meets is what docs/relay.md has: one side comes to the other's relay with what
// it is lent, or has its own relay connect with the other.
func (c corner) meets() bool {
	lent := c.caller.lends() || c.callee.lends() && c.listed
	return lent || c.same || c.caller != nil && c.callee != nil && (c.caller.dials() || c.callee.dials())
}

func corners() []corner {
	var all []corner
	var each []*held
	for n := range 4 {
		each = append(each, &held{coturn: n&1 != 0, password: n&2 != 0})
	}
	for _, a := range each {
		all = append(all, corner{a, nil, false, false}, corner{a, a, false, true})
		for _, listed := range []bool{false, true} {
			all = append(all, corner{nil, a, listed, false})
			for _, b := range each {
				all = append(all, corner{a, b, listed, false})
			}
		}
	}
	return all
}

// relayOf adds a host with that relay on port 443, and gives its URL.
func (w *world) relayOf(name string, h *held) string {
	w.t.Helper()
	host := w.host(name, nil)
	at := netip.AddrPortFrom(host.Addr(), 443)
	if h.coturn {
		coturn.Server{
			Secret: relaySecret, At: at, Dial: host.Dial,
			Command: func(ctx context.Context, name string, args ...string) (*exec.Cmd, coturn.Process) {
				c := host.Command(ctx, name, args...)
				return c.Cmd, c
			},
		}.Start(w.t)
	} else {
		w.start(host, role{Serve: []string{host.Addr().String()}, TURN: at.String()})
	}
	opens := url.PathEscape(relaySecret)
	if h.password {
		user, password := relay.Credentials(relaySecret, name, time.Now().Add(time.Hour))
		opens = strings.ReplaceAll(user, ":", "%3A") + ":" + strings.NewReplacer("/", "%2F", "+", "%2B", "=", "%3D").Replace(password)
	}
	return "turn:" + opens + "@" + at.String()
}

// Two nodes that get out to port 443 alone meet at the relays that they have,
// whichever these are, wherever docs/relay.md says that they can. Elsewhere they
// are told at once, with the remedy.
//
//	go test ./node -run TestRelaysOnPort443 -reach=all
func TestRelaysOnPort443(t *testing.T) {
	t.Parallel()
	quick := []corner{
		{caller: &held{}, callee: &held{}},                                           // the caller lends
		{caller: &held{coturn: true, password: true}, callee: &held{}},               // the caller's relay dials
		{caller: &held{password: true}, callee: &held{coturn: true, password: true}}, // the callee's does
		{caller: &held{password: true}, callee: &held{coturn: true}, listed: true},   // the callee lends
		{caller: &held{password: true}, callee: &held{password: true}, same: true},   // one relay is enough
		{caller: &held{password: true}, callee: &held{password: true}},               // nobody can
		{caller: &held{coturn: true, password: true}}, {callee: &held{}},             // nobody can
	}
	list := quick
	switch {
	case *reachFlag == "all":
		list = corners()
	case testing.Short():
		list = quick[:3]
	}
	for _, c := range list {
		t.Run(c.String(), func(t *testing.T) {
			t.Parallel()
			r := c.play(t)
			if r.Error == "" {
				t.Logf("via %s, first echo after %v", r.Via, r.Echo)
			} else {
				t.Logf("after %v: %s (hint: %s)", r.Took, r.Error, r.Hint)
			}
			switch {
			case c.meets() != (r.Error == ""):
				t.Errorf("connected: %v\n%s", r.Error == "", strings.Join(r.Log, "\n"))
			case r.Error == "" && r.Via != node.Relay:
				t.Errorf("via %s", r.Via)
			case r.Error != "" && (r.Took > toldWithin || !strings.Contains(r.Hint, "--turn")):
				t.Errorf("not told at once with the remedy")
			}
		})
	}
}

// toldWithin is how soon two who can't meet at relays are told: the relay's turn
// comes after 1.5 s, and a peer that has a relay of its own gets 4 s to come.
// Who is not told so waits until Connect's end, after 30 s.
const toldWithin = 20 * time.Second

// play has the caller connect.
func (c corner) play(t *testing.T) reply {
	w := newWorld(t)
	gate := w.host("gate", nil)
	w.start(gate, role{Serve: []string{gate.Addr().String()}, MQTT: "443"})
	secret, id := newKey(t)
	one := sync.OnceValue(func() string { return w.relayOf("relay", c.caller) })
	side := func(name string, h *held, change func(*role)) *agent {
		var urls []string
		switch {
		case c.same:
			urls = []string{one()}
		case h != nil:
			urls = []string{w.relayOf("relay-of-"+name, h)}
		}
		return w.node(w.behind(name, only443.nat), func(r *role) {
			r.Brokers, r.Relays = []string{"tcp://" + gate.Addr().String() + ":443"}, urls
		}, change)
	}
	callee := side("callee", c.callee, func(r *role) {
		if c.listed {
			r.Allow = []string{id}
		}
	})
	caller := side("caller", c.caller, func(r *role) { r.Key = secret })
	return caller.do(order{Connect: callee.Address, Bytes: 1 << 16})
}
