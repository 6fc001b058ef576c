package forward

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/pipe"
	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/node/tunnel"
)

const (
	// maxPorters is how many places peers may listen on at once.
	maxPorters = 64
	// maxKnocking is how many connections of one place may wait to be taken.
	maxKnocking = 64
	// knockPatience is how long each of them waits.
	knockPatience = 20 * time.Second
)

// porters listen here for peers.
type porters struct {
	mu      sync.Mutex
	all     map[porterKey]*porter
	waiting map[tunnel.Ticket]*visitor
}

// porterKey is whom a porter listens for, and where, as was asked for.
type porterKey struct {
	peer  address.Key
	place tunnel.Place
}

// porter listens in one place, until its peer's stream or it itself is closed.
type porter struct {
	listener net.Listener
	stream   *node.Conn
	done     chan struct{} // closed when it listens no more
	visitors int           // that wait; under porters.mu
}

// visitor is a connection that has come in, and waits for the peer to take it.
type visitor struct {
	conn   *net.TCPConn
	porter *porter
	peer   address.Key
	expiry *time.Timer
}

// serve listens where the peer wants it, if it may, until the stream ends. A
// peer that asks for the same place again has lost its first stream, whatever
// this side knows of that: the new one takes the place.
func (p *porters) serve(ctx context.Context, c *node.Conn, at tunnel.Place, t *Server) error {
	key := porterKey{c.Peer(), at}
	if at.Host == "" {
		at.Host = "127.0.0.1"
	}
	me, err := p.open(ctx, key, at, c, t.Listen)
	status := tunnel.StatusOf(err)
	if errors.Is(err, errFull) {
		status = tunnel.Busy
	}
	t.Wanted(c, tunnel.Listen, at, status)
	if err != nil {
		return refuse(c, status, &tunnel.RefusedError{Kind: tunnel.Listen, Place: at, Status: status}).Err
	}
	at.Port = uint16(me.listener.Addr().(*net.TCPAddr).Port)
	if _, err = c.Write(tunnel.Reply{Place: at}.Bytes()); err == nil {
		var knocking sync.WaitGroup
		knocking.Go(func() { p.knock(me, c.Peer()) })
		err = p.hear(c)
		_ = me.listener.Close()
		pipe.Cut(c) // a knock that is being written
		knocking.Wait()
	}
	p.close(key, me)
	return err
}

var errFull = errors.New("too many")

// open begins to listen.
func (p *porters) open(ctx context.Context, key porterKey, at tunnel.Place, c *node.Conn, rules tunnel.Rules) (*porter, error) {
	if !rules.Allow(at) || at.Port == 0 && !rules.AllowAnyPort(at) {
		return nil, tunnel.ErrNotAllowed
	}
	p.mu.Lock()
	old := p.all[key]
	p.mu.Unlock()
	if old != nil && key.place.Port != 0 {
		pipe.Cut(old.stream)
		_ = old.listener.Close()
		select {
		case <-old.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.all) >= maxPorters {
		return nil, errFull
	}
	var cfg net.ListenConfig
	l, err := cfg.Listen(ctx, "tcp", at.String())
	if err != nil {
		return nil, err
	}
	if p.all == nil {
		p.all = make(map[porterKey]*porter)
		p.waiting = make(map[tunnel.Ticket]*visitor)
	}
	if key.place.Port == 0 { // each of these is a place of its own
		key.place.Port = uint16(l.Addr().(*net.TCPAddr).Port)
	}
	me := &porter{listener: l, stream: c, done: make(chan struct{})}
	p.all[key] = me
	return me, nil
}

// close forgets a porter and turns its visitors away.
func (p *porters) close(key porterKey, me *porter) {
	_ = me.listener.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	for k, other := range p.all {
		if other == me {
			delete(p.all, k)
		}
	}
	for ticket, g := range p.waiting {
		if g.porter == me {
			p.forget(ticket)
			pipe.Abort(g.conn)
		}
	}
	close(me.done)
}

// forget takes a visitor off the list, whose lock is held; nil if it is not there.
func (p *porters) forget(ticket tunnel.Ticket) *visitor {
	g := p.waiting[ticket]
	if g != nil {
		delete(p.waiting, ticket)
		g.porter.visitors--
		g.expiry.Stop()
	}
	return g
}

// knock tells the peer of every connection that comes in, until the listener
// is closed.
func (p *porters) knock(me *porter, peer address.Key) {
	for {
		conn, err := me.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of descriptors, mostly
			time.Sleep(100 * time.Millisecond)
			continue
		}
		k := tunnel.Knock{From: placeOf(conn.RemoteAddr())}
		_, _ = rand.Read(k.Ticket[:])
		if !p.admit(k.Ticket, &visitor{conn: conn.(*net.TCPConn), porter: me, peer: peer}) {
			pipe.Abort(conn.(*net.TCPConn))
			continue
		}
		if _, err := me.stream.Write(k.Bytes()); err != nil {
			return // hear ends as well
		}
	}
}

func placeOf(a net.Addr) tunnel.Place {
	at := a.(*net.TCPAddr).AddrPort()
	return tunnel.Place{Host: at.Addr().Unmap().WithZone("").String(), Port: at.Port()}
}

// admit has a visitor wait, if there is room.
func (p *porters) admit(ticket tunnel.Ticket, g *visitor) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if g.porter.visitors >= maxKnocking {
		return false
	}
	g.porter.visitors++
	g.expiry = time.AfterFunc(knockPatience, func() { p.turnAway(g.peer, ticket) })
	p.waiting[ticket] = g
	return true
}

// take gives the connection that peer has a ticket for; nil if there is none.
func (p *porters) take(peer address.Key, ticket tunnel.Ticket) *net.TCPConn {
	p.mu.Lock()
	defer p.mu.Unlock()
	if g := p.waiting[ticket]; g == nil || g.peer != peer {
		return nil
	}
	return p.forget(ticket).conn
}

// turnAway resets a connection that nobody wants.
func (p *porters) turnAway(peer address.Key, ticket tunnel.Ticket) {
	if conn := p.take(peer, ticket); conn != nil {
		pipe.Abort(conn)
	}
}

// hear takes back the tickets of connections that the peer does not want, until
// the stream ends.
func (p *porters) hear(c *node.Conn) error {
	for {
		var ticket tunnel.Ticket
		if _, err := io.ReadFull(c, ticket[:]); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		p.turnAway(c.Peer(), ticket)
	}
}
