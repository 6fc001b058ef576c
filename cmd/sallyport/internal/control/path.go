package control

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

// Path is the path of a connection that the node in the background holds.
// The node's events say when to look at it.
type Path struct {
	end  context.CancelFunc
	done chan struct{} // closed when it is looked at no more

	mu      sync.Mutex
	state   api.Connection
	over    bool
	changed chan struct{}
}

// watch looks at the path of a connection until that is closed.
func (c *Client) watch(held api.Connection) *Path {
	ctx, end := context.WithCancel(context.Background())
	p := &Path{end: end, done: make(chan struct{}), state: held, changed: make(chan struct{})}
	go func() {
		defer close(p.done)
		c.Follow(ctx, func() { p.look(ctx, c) }, func(e api.Event) {
			if e.Dropped > 0 || e.Session == held.Session && (strings.HasPrefix(e.Event, "path_") || e.Event == "closed") {
				p.look(ctx, c)
			}
		})
	}()
	return p
}

// look finds out how the connection is.
func (p *Path) look(ctx context.Context, c *Client) {
	ctx, cancel := context.WithTimeout(ctx, AnswerTime)
	defer cancel()
	p.mu.Lock()
	state := p.state
	p.mu.Unlock()
	var now api.Connection
	err := c.Ask(ctx, http.MethodGet, "/v1/connections/"+state.Name, nil, &now)
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
func (p *Path) tell() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// close ends the looking, and waits for that.
func (p *Path) close() {
	p.end()
	<-p.done
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	p.tell()
}

func (p *Path) now() api.Connection { p.mu.Lock(); defer p.mu.Unlock(); return p.state }

// Changed is closed when something is another the next time, or it is over.
func (p *Path) Changed() <-chan struct{} { p.mu.Lock(); defer p.mu.Unlock(); return p.changed }

// Over reports whether the connection has ended, as far as is known here.
func (p *Path) Over() bool { p.mu.Lock(); defer p.mu.Unlock(); return p.over }

// Alive reports whether anything was heard of the peer lately.
func (p *Path) Alive() bool { return p.now().Alive }

// Moves counts how often the connection went over to another path.
func (p *Path) Moves() int { return p.now().Moves }

// Via is the way by which the peer was reached.
func (p *Path) Via() node.Strategy { return node.Strategy(p.now().Via) }

// By is the node that relays.
func (p *Path) By() address.Key {
	k, _ := address.ParseKey(p.now().By)
	return k
}

// RemoteAddr is where the peer is, as the node in the background sees it.
func (p *Path) RemoteAddr() net.Addr {
	at, _ := netip.ParseAddrPort(p.now().Remote)
	return net.TCPAddrFromAddrPort(at)
}
