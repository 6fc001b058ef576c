package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/pipe"
	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/node/lan"
	"github.com/sallyport-net/sallyport/node/link"
	"github.com/sallyport-net/sallyport/signaling"
)

// verdictWait is how long a peer has to say whether it admits us.
const verdictWait = 10 * time.Second

// call is one connection to a peer, with the node that it was made from; node is
// nil where that is the one in the background.
type call struct {
	app  *app
	node *node.Node
	conn peerConn
}

// peerConn is a connection to a peer: a *node.Conn, or one through the node in
// the background.
type peerConn interface {
	net.Conn
	CloseWrite() error
	Reset() error
	Verdict() error
	WaitClosed()
	Peer() address.Key
	Via() node.Strategy
	By() address.Key
	Took() time.Duration
}

// dial starts a node and connects to target, by connect: a stream or a ping.
// Nobody waits for long without being told what goes on.
func (a *app) dial(ctx context.Context, f *nodeFlags, target string, connect func(*node.Node, context.Context, address.Address) (*node.Conn, error)) (*call, error) {
	peer, err := a.resolvePeer(ctx, f, target)
	if err != nil {
		return nil, err
	}
	cfg, err := a.callerConfig(ctx, f, peer)
	if err != nil {
		return nil, err
	}
	story := newNarrator(a)
	cfg.Logger = slog.New(story)
	cfg.NoWait = true // a peer on the LAN needs neither broker nor STUN
	defer a.tellWaiting(f.timeout, peer, story.story)()
	n, err := a.startNode(ctx, cfg, !f.portAsked)
	if err != nil {
		return nil, err
	}
	conn, err := connect(n, ctx, peer)
	if err != nil {
		err = a.explainCall(n, err)
		_ = n.Close()
		return nil, err
	}
	return &call{app: a, node: n, conn: conn}, nil
}

// callerConfig is a node's that only calls: nobody needs to find it, so that it
// meets the peer on the peer's brokers unless told otherwise.
func (a *app) callerConfig(ctx context.Context, f *nodeFlags, peer address.Address) (node.Config, error) {
	cfg, err := a.nodeConfig(ctx, f)
	if err != nil {
		return cfg, err
	}
	if len(cfg.Brokers) == 0 {
		cfg.Brokers = peer.Brokers
	}
	if len(cfg.Brokers) == 0 {
		cfg.Brokers = signaling.Home(peer.Key, signaling.ListenBrokers)
	}
	if cfg.Key.Public() == peer.Key {
		if f.key != "" {
			return cfg, misused("try another --key, or none", "the target has the same key as this node")
		}
		a.say("Note: the target is this user's own node. It is called with a new key for this run.")
		cfg.Key = address.PrivateKey{}
	}
	return cfg, nil
}

// admitted waits for the peer's yes, and tells of the connection.
func (c *call) admitted() error {
	if err := verdict(c.conn); err != nil {
		return err
	}
	c.app.tellConnected(connectedOf(c.conn))
	return nil
}

// verdict waits for the peer's yes. A no is a failure of the way by which the
// peer was reached.
func verdict(conn peerConn) error {
	_ = conn.SetReadDeadline(time.Now().Add(verdictWait))
	if err := conn.Verdict(); err != nil {
		f := explain(err)
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			f = explain(failed(err, "try again", "the peer has proved its key, and then fell silent"))
		} else if f.status == statusFailed && f.hint == "" {
			f = explain(failed(err, "try again", "%s", pipe.Plainly(err)))
		}
		f.event = failedEvent{"failed", []failedAttempt{{string(conn.Via()), f.what}}, f.hint, f.status}
		return f
	}
	_ = conn.SetReadDeadline(time.Time{})
	return nil
}

func connectedOf(c peerConn) connectedEvent {
	return connectedEvent{"connected", string(c.Via()), c.RemoteAddr().String(), c.Peer().String(), milliseconds(c.Took()), c.By().String()}
}

func (a *app) tellConnected(e connectedEvent) {
	if a.json {
		emit(a.err, e)
		return
	}
	peer, err := address.ParseKey(e.Peer)
	if err != nil {
		return
	}
	a.say("Connected with %s at %s, %s, in %.0f ms.", peer.Short(), e.Remote, viaWords(node.Strategy(e.Via), e.By), e.MS)
}

// viaWords says by which way a connection goes; by is the id of a node that relays.
func viaWords(s node.Strategy, by string) string {
	if by != "" {
		return "through node " + by + ", which relays"
	}
	switch s {
	case node.LAN:
		return "on the local network"
	case node.Direct:
		return "directly"
	case node.Reverse:
		return "dialled back by the peer"
	case node.Punch:
		return "through the NATs by hole punching"
	case node.Relay:
		return "through a relay"
	}
	return "by " + string(s)
}

type connectedEvent struct {
	Event  string  `json:"event"`
	Via    string  `json:"via"`
	Remote string  `json:"remote"`
	Peer   string  `json:"peer"`
	MS     float64 `json:"ms"`
	By     string  `json:"by,omitempty"` // the id of the node that relays
}

// close ends the connection and the node.
func (c *call) close() {
	_ = c.conn.Close()
	if c.node != nil {
		_ = c.node.Close()
	}
}

// failedEvent is how a call failed, each attempt and what would help.
type failedEvent struct {
	Event    string          `json:"event"`
	Attempts []failedAttempt `json:"attempts"`
	Hint     string          `json:"hint"`
	Status   int             `json:"status"`
}

type failedAttempt struct {
	Strategy string `json:"strategy"`
	Error    string `json:"error"`
}

// explainCall makes a failed Connect into the words, the event and the exit
// status that it deserves.
func (a *app) explainCall(n *node.Node, err error) error {
	var ce *node.ConnectError
	if !errors.As(err, &ce) {
		return err
	}
	broker, stun := n.Health()
	f := &failure{cause: err, hint: ce.Hint()}
	event := failedEvent{Event: "failed", Attempts: []failedAttempt{}}
	for _, t := range ce.Attempts {
		event.Attempts = append(event.Attempts, failedAttempt{string(t.Strategy), t.Err.Error()})
	}
	var refusal *signaling.RefusedError
	switch {
	case errors.Is(err, link.ErrRefused), errors.As(err, &refusal) && refusal.Reason == signaling.RefusedPolicy:
		f.status, f.what = statusRefused, "the peer refuses this node"
	case len(ce.Attempts) == 1 && errors.Is(err, lan.ErrSilent): // nothing else was to be tried
		f.status, f.what, f.hint = statusAbsent, fmt.Sprintf("%s does not answer on the local networks", ce.Peer.Short()), ce.LANHint()
	case broker != nil && stun != nil:
		f.status, f.what = statusNoNetwork, "no network: neither a signalling broker nor a STUN server could be reached"
		f.hint = withLAN("try another network, or --broker and --stun with servers that this one reaches", ce)
	case brokerless(err):
		f.status, f.what = statusNoNetwork, "no signalling broker could be reached"
		f.hint = withLAN("try another network, or a broker that both sides reach with --broker", ce)
	case absent(ce):
		f.status, f.what = statusAbsent, fmt.Sprintf("%s does not answer", ce.Peer.Short())
		f.hint = `try to start "sallyport node" there; it must admit this node, and share a broker with it`
	default:
		f.status, f.what = statusFailed, ce.Error()
	}
	event.Hint, event.Status = f.hint, f.status
	f.event = event
	return f
}

// withLAN adds what would help if the peer is near.
func withLAN(hint string, ce *node.ConnectError) string {
	if h := ce.LANHint(); h != "" {
		return hint + "; " + h
	}
	return hint
}

// absent reports whether nothing has shown that the peer is there.
func absent(ce *node.ConnectError) bool {
	if !errors.Is(ce, signaling.ErrNoAnswer) || errors.Is(ce, signaling.ErrRefused) {
		return false
	}
	for _, t := range ce.Attempts {
		var silent *signaling.NoAnswerError
		if errors.As(t.Err, &silent) && silent.Acked || errors.Is(t.Err, link.ErrOtherNode) {
			return false
		}
	}
	return true
}
