package broker

import (
	"crypto/rand"
	"strings"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/sallyport-net/sallyport/signaling/proof"
)

const (
	protocolVersion = 4 // MQTT 3.1.1
	topicPrefix     = "sallyport/1/"
	maxTopicLevel   = 64 // bytes after topicPrefix; a node id has 45 at most
	maxClientID     = 256
)

// isSignalTopic reports whether topic is sallyport/1/<one level>. It refuses
// wildcards, so it holds for subscriptions as well.
func isSignalTopic(topic string) bool {
	level, ok := strings.CutPrefix(topic, topicPrefix)
	return ok && level != "" && len(level) <= maxTopicLevel && !strings.ContainsAny(level, "/+#")
}

// rules is the hook through which mochi asks us. What it does with our answers
// differs from hook to hook:
//   - OnPublish: an error other than the two used here is ignored for MQTT
//     3.1.1, and the message published all the same.
//   - OnPacketRead: an error other than ErrRejectPacket is ignored;
//     ErrRejectPacket ends the connection.
//   - OnConnect: any error ends the connection, without a CONNACK.
//   - A will asks neither OnPublish nor OnACLCheck.
type rules struct {
	mochi.HookBase
	broker *Broker
}

func (*rules) ID() string { return "sallyport" }

func (*rules) Provides(hook byte) bool {
	switch hook {
	case mochi.OnConnect, mochi.OnConnectAuthenticate, mochi.OnSessionEstablished, mochi.OnACLCheck,
		mochi.OnPacketRead, mochi.OnSubscribe, mochi.OnPublish:
		return true
	}
	return false
}

// OnConnect checks a CONNECT, and makes a client what we want it to be.
func (r *rules) OnConnect(cl *mochi.Client, pk packets.Packet) error {
	refuse := func(code packets.Code) error {
		_ = r.broker.server.SendConnack(cl, code, false, nil)
		return code
	}
	switch {
	case pk.ProtocolVersion != protocolVersion:
		return refuse(packets.ErrUnsupportedProtocolVersion)
	case len(pk.Connect.ClientIdentifier) > maxClientID:
		return refuse(packets.ErrClientIdentifierNotValid)
	case pk.Connect.WillFlag:
		return refuse(packets.ErrBadUsernameOrPassword) // mochi's name for code 5, not authorized
	}
	// An id of our own: with the client's, anybody could take its session
	// over, and mochi loses the newer one of two that come at once.
	cl.ID = rand.Text()
	// Otherwise mochi keeps the session, and its subscriptions for ever.
	cl.Properties.Clean = true
	cl.Properties.Username = nil
	if !r.broker.config.Anyone {
		cl.Net.Conn.(*conn).owner.ask()
	}
	if limit := uint16(r.broker.config.MaxKeepAlive / time.Second); cl.State.Keepalive == 0 || cl.State.Keepalive > limit {
		cl.State.Keepalive = limit
	}
	// mochi waits one and a half times as long, rounded down: for 1 s that is
	// 1 s, and a client that pings each second would be cut off.
	cl.State.Keepalive += cl.State.Keepalive & 1
	return nil
}

// OnConnectAuthenticate lets everybody in: signals are sealed.
func (*rules) OnConnectAuthenticate(*mochi.Client, packets.Packet) bool { return true }

// OnSessionEstablished ends the wait for CONNECT.
func (r *rules) OnSessionEstablished(cl *mochi.Client, _ packets.Packet) {
	c := cl.Net.Conn.(*conn)
	c.client = cl
	c.tcp.passed()
	r.broker.log.Debug("client connected", "remote", cl.Net.Remote)
}

// OnACLCheck is asked for subscriptions, and for each delivery. Publishing is
// OnPublish's: refused here, a QoS 1 publish would end the connection and be
// sent again after every reconnect.
func (*rules) OnACLCheck(_ *mochi.Client, topic string, write bool) bool {
	return write || isSignalTopic(topic)
}

// OnPacketRead ends the connection of a client that sends packets of any kind
// much faster than it may publish, or such as belong to QoS 2 or MQTT 5.
func (r *rules) OnPacketRead(cl *mochi.Client, pk packets.Packet) (packets.Packet, error) {
	switch pk.FixedHeader.Type {
	case packets.Connect, packets.Publish, packets.Subscribe, packets.Unsubscribe,
		packets.Pingreq, packets.Disconnect, packets.Puback:
	default:
		return pk, packets.ErrRejectPacket
	}
	if pk.FixedHeader.Type == packets.Connect && pk.Connect.WillFlag {
		// So that it is OnConnect that refuses it: mochi would answer with a
		// code that MQTT 3.1.1 does not have and that paho takes for a yes.
		pk.Connect.WillRetain, pk.Connect.WillQos = false, 0
	}
	if !cl.Net.Conn.(*conn).packets.Allow() {
		r.broker.log.Info("client sends too fast, disconnected", "remote", cl.Net.Remote)
		return pk, packets.ErrRejectPacket
	}
	return pk, nil
}

// OnSubscribe grants QoS 0, and empties the filters over the cap and those that
// are another's, which mochi then refuses one by one.
func (r *rules) OnSubscribe(cl *mochi.Client, pk packets.Packet) packets.Packet {
	have := cl.State.Subscriptions.Len()
	owner := &cl.Net.Conn.(*conn).owner
	for i := range pk.Filters {
		f := &pk.Filters[i]
		f.Qos = 0
		if _, again := cl.State.Subscriptions.Get(f.Filter); again || !isSignalTopic(f.Filter) {
			continue
		}
		if !owner.mayHear(f.Filter) {
			r.broker.unproven.Add(1)
			f.Filter = ""
			continue
		}
		if have++; have > r.broker.config.MaxSubscriptions {
			f.Filter = ""
		}
	}
	return pk
}

// OnPublish drops what is against the rules or above the rate. At QoS 1 it is
// acknowledged nevertheless, or the client would send it again and again.
func (r *rules) OnPublish(cl *mochi.Client, pk packets.Packet) (packets.Packet, error) {
	if !cl.Net.Conn.(*conn).publishes.Allow() {
		r.broker.limited.Add(1)
		return pk, packets.CodeSuccessIgnore
	}
	if pk.TopicName == proof.Topic && !r.broker.config.Anyone {
		r.prove(cl, pk.Payload)
		return pk, packets.CodeSuccessIgnore
	}
	if !isSignalTopic(pk.TopicName) ||
		pk.FixedHeader.Retain && !r.broker.kept.admit(r.broker.server, cl.Net.Conn.(*conn).tcp.from, pk) {
		r.broker.refused.Add(1)
		return pk, packets.CodeSuccessIgnore
	}
	return pk, nil
}
