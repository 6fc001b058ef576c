package broker

import (
	"net"
	"strings"

	mochi "github.com/mochi-mqtt/server/v2"

	"github.com/sallyport-net/sallyport/signaling"
	"github.com/sallyport-net/sallyport/signaling/proof"
)

// owner is what a client has shown of who it is. Up to the CONNACK and after
// it, one goroutine uses it: the one that reads the client's packets.
type owner struct {
	asked     bool // nobody who is not asked has anything to prove
	challenge proof.Challenge
	greeted   bool   // the CONNACK and the challenge are sent
	answered  bool   // there is one try: a proof costs a verification
	topic     string // of the key that was proven
}

func (o *owner) ask() {
	o.asked, o.challenge = true, proof.NewChallenge()
}

// greet lets the challenge follow in the same write as the CONNACK of a client
// that is let in, so that the client has it before it subscribes, and no round
// trip is spent on it.
func (o *owner) greet(p []byte) []byte {
	const connack, accepted = 0x20, 0
	if !o.asked || o.greeted || len(p) != 4 || p[0] != connack || p[3] != accepted {
		return p
	}
	o.greeted = true
	return append(p[:len(p):len(p)], o.challenge.Packet()...)
}

// mayHear reports whether the client may subscribe to topic.
func (o *owner) mayHear(topic string) bool {
	return !o.asked || topic == o.topic || isMeeting(topic)
}

// isMeeting reports whether a topic is that of a name or of a code, which are
// for everybody. No node id has a hyphen in it.
func isMeeting(topic string) bool {
	return strings.HasPrefix(topic, namePrefix) || strings.HasPrefix(topic, codePrefix)
}

// prove takes the answer to the challenge.
func (r *rules) prove(cl *mochi.Client, payload []byte) {
	c := cl.Net.Conn.(*conn)
	if c.owner.answered {
		r.broker.unproven.Add(1)
		return
	}
	c.owner.answered = true
	key, host, err := proof.Check(c.owner.challenge, payload)
	switch {
	case err != nil:
		r.broker.log.Info("proof refused", "remote", cl.Net.Remote, "error", err)
	case !r.broker.isCalled(host, c.LocalAddr()):
		r.broker.misnamed.Do(func() {
			r.broker.log.Warn("proof refused: it names a host that is not this broker", "remote", cl.Net.Remote, "host", host)
		})
	default:
		c.owner.topic = signaling.Topic(key)
		r.broker.proven.Add(1)
		return
	}
	r.broker.unproven.Add(1)
}

// isCalled reports whether host is the broker's, for a connection that came in
// at local.
func (b *Broker) isCalled(host string, local net.Addr) bool {
	if t, ok := local.(*net.TCPAddr); ok {
		at := t.AddrPort().Addr().Unmap()
		if host == proof.Host(at.String()) || host == "localhost" && at.IsLoopback() {
			return true
		}
	}
	return b.config.Names(host)
}
