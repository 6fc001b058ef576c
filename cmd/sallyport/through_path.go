package main

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/node/api"
)

// remotePath is the path of a connection that the node in the background holds.
// The node's events say when to look at it.
type remotePath struct {
	end  context.CancelFunc
	done chan struct{} // closed when it is looked at no more

	mu      sync.Mutex
	state   api.Connection
	over    bool
	changed chan struct{}
}

// watch looks at the path of a connection until that is closed.
func (c *control) watch(held api.Connection) *remotePath {
	ctx, end := context.WithCancel(context.Background())
	p := &remotePath{end: end, done: make(chan struct{}), state: held, changed: make(chan struct{})}
	go func() {
		defer close(p.done)
		c.follow(ctx, func() { p.look(ctx, c) }, func(e api.Event) {
			if e.Dropped > 0 || e.Session == held.Session && (strings.HasPrefix(e.Event, "path_") || e.Event == "closed") {
				p.look(ctx, c)
			}
		})
	}()
	return p
}

// look finds out how the connection is.
func (p *remotePath) look(ctx context.Context, c *control) {
	ctx, cancel := context.WithTimeout(ctx, controlAnswer)
	defer cancel()
	p.mu.Lock()
	state := p.state
	p.mu.Unlock()
	var now api.Connection
	err := c.ask(ctx, http.MethodGet, "/v1/connections/"+state.Name, nil, &now)
	if err != nil && ctx.Err() != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		p.state = now
	} else {
		p.over = true // it is held no more
	}
	p.tell()
}

// tell wakes those who wait for a change; the mutex is held.
func (p *remotePath) tell() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// close ends the looking, and waits for that.
func (p *remotePath) close() {
	p.end()
	<-p.done
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	p.tell()
}

func (p *remotePath) now() api.Connection { p.mu.Lock(); defer p.mu.Unlock(); return p.state }

// Changed is closed when something is another the next time, or it is over.
func (p *remotePath) Changed() <-chan struct{} { p.mu.Lock(); defer p.mu.Unlock(); return p.changed }

// Over reports whether the connection has ended, as far as is known here.
func (p *remotePath) Over() bool { p.mu.Lock(); defer p.mu.Unlock(); return p.over }

func (p *remotePath) Alive() bool        { return p.now().Alive }
func (p *remotePath) Moves() int         { return p.now().Moves }
func (p *remotePath) Via() node.Strategy { return node.Strategy(p.now().Via) }

// By is the node that relays.
func (p *remotePath) By() address.Key {
	k, _ := address.ParseKey(p.now().By)
	return k
}

// RemoteAddr is where the peer is, as the node in the background sees it.
func (p *remotePath) RemoteAddr() net.Addr {
	at, _ := netip.ParseAddrPort(p.now().Remote)
	return net.TCPAddrFromAddrPort(at)
}
