package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node/link"
	"github.com/sallyport-net/sallyport/signaling"
)

// handshakeTimeout bounds the proof of a fresh connection.
const handshakeTimeout = 10 * time.Second

// call is one attempt of ours to connect: its strategies offer it connections,
// and the first one that is proven wins.
type call struct {
	node   *Node
	peer   address.Address
	id     signaling.ID
	secret signaling.Secret
	token  link.Token
	begun  time.Time
	by     []Strategy
	aside  bool // it is for a circuit: the peer is a node that relays, or is led to

	proven chan offer // of one place: the first counts
	joined func() ([]address.Broker, error)
	ctx    context.Context // of the race: a proof may outlast the strategy that led to it

	reversed atomic.Bool   // the peer was asked to dial us
	punching chan struct{} // closed when the first punch has its mapping, or will not come
	opened   func()        // closes it
	punched  chan struct{} // closed when the punch has failed
	hopeless chan struct{} // closed when a relay is all that is left, or nearly
	despair  func()        // closes it

	lessons *lessons // nil where nothing is remembered

	mu      sync.Mutex
	claimed []netip.AddrPort // what is dialled or was
	log     []Event
	over    bool // the race is
}

// offer is a proven link and how it came.
type offer struct {
	link *link.Link
	via  Strategy
}

func (n *Node) newCall(peer address.Address) *call {
	c := &call{node: n, peer: peer, begun: time.Now(), by: n.cfg.Strategies, proven: make(chan offer, 1), punching: make(chan struct{}), punched: make(chan struct{}), hopeless: make(chan struct{})}
	c.despair = sync.OnceFunc(func() { close(c.hopeless) })
	c.opened = sync.OnceFunc(func() { close(c.punching) })
	_, _ = rand.Read(c.id[:])
	_, _ = rand.Read(c.secret[:])
	c.token = link.NewToken(c.secret, c.id, n.ID(), peer.Key)
	return c
}

// note adds a step to the timeline.
func (c *call) note(s Strategy, format string, args ...any) {
	c.tell(Event{Strategy: s, What: fmt.Sprintf(format, args...)})
}

// noteError is note for an error, before which what is said.
func (c *call) noteError(s Strategy, what string, err error) {
	c.tell(Event{Strategy: s, What: what + brief(err), Err: err})
}

func (c *call) tell(e Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e.At = time.Since(c.begun)
	s := e.Strategy
	c.log = append(c.log, e)
	c.node.events.tell(CallStep{c.id.String(), c.peer.Key, e})
	if c.aside { // a part of something else
		e.Strategy, e.What = Relay, fmt.Sprintf("node %s: %s", c.peer.Key.Short(), strings.TrimSpace(string(s)+" "+e.What))
	}
	attrs := []any{"id", c.id.String()[:8], "at", e.At, "strategy", string(e.Strategy), "what", e.What}
	if chain := e.Chain(); chain != "" {
		attrs = append(attrs, "error", chain)
	}
	c.node.log.Debug("attempt", attrs...)
}

func (c *call) timeline() []Event {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Event(nil), c.log...)
}

// prove runs the TLS client over a connection to the peer and offers the link.
// It takes the connection over.
func (c *call) prove(ctx context.Context, via Strategy, conn net.Conn) error {
	l, err := c.proof(ctx, via, conn)
	if err == nil {
		c.offer(l, via)
	}
	return err
}

// proof is prove without the offer.
func (c *call) proof(ctx context.Context, via Strategy, conn net.Conn) (*link.Link, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	c.note(via, "connected with %v", conn.RemoteAddr())
	conn = c.node.tuples.hold(conn)
	reset(conn) // until it is proven, nothing of it shall linger on the port
	l, err := link.Client(ctx, conn, c.node.identity, c.peer.Key, c.token)
	if err != nil {
		c.noteError(via, "not proven: ", err)
		return nil, err
	}
	linger(conn)
	c.note(via, "proven")
	return l, nil
}

// claim reports whether nobody else in this call has dialled e, nor will.
func (c *call) claim(e netip.AddrPort) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if slices.Contains(c.claimed, e) {
		return false
	}
	c.claimed = append(c.claimed, e)
	return true
}

// offer hands a proven link to the race, which takes the first.
func (c *call) offer(l *link.Link, via Strategy) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.over {
		select {
		case c.proven <- offer{l, via}:
			return
		default:
		}
	}
	_ = l.Close() // another link was faster
}

// end closes what was offered too late, now and from now on.
func (c *call) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	select {
	case late := <-c.proven:
		_ = late.link.Close()
	default:
	}
}

// busyPause is how long a peer that is busy is left alone.
const busyPause = time.Second

// ask puts a question to the peer, and again while it is busy.
func (c *call) ask(ctx context.Context, brokers []address.Broker, m signaling.Message) (signaling.Answer, error) {
	for {
		answer, err := c.node.exchange.Ask(ctx, c.peer.Key, brokers, m)
		var no *signaling.RefusedError
		if !errors.As(err, &no) || no.Reason != signaling.RefusedBusy || !pause(ctx, busyPause) {
			return answer, err
		}
		c.note("", "the peer is busy: asking again")
	}
}

// reset makes Close send an RST; linger undoes it.
func reset(c net.Conn) { setLinger(c, 0) }

func linger(c net.Conn) { setLinger(c, -1) }

func setLinger(c net.Conn, sec int) {
	for {
		beneath, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		c = beneath.NetConn()
	}
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(sec)
	}
}

// calls finds the attempt that a token belongs to.
type calls struct {
	mu sync.Mutex
	m  map[link.Token]*call
}

func newCalls() *calls { return &calls{m: make(map[link.Token]*call)} }

func (c *calls) add(a *call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.m[a.token] = a
}

func (c *calls) remove(a *call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.m, a.token)
}

func (c *calls) find(t link.Token) *call {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.m[t]
}
