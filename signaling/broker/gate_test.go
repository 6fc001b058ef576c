package broker

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// slowToSet is a connection on which something happens while a deadline is set.
type slowToSet struct {
	net.Conn
	meanwhile func()
	begun     atomic.Bool
	mu        sync.Mutex
	last      time.Time
}

func (c *slowToSet) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

func (c *slowToSet) SetWriteDeadline(t time.Time) error {
	if c.begun.CompareAndSwap(false, true) {
		c.meanwhile()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = t
	return nil
}

// A write that begins while the broker is told to hurry has no longer than the
// others.
func TestHurryHoldsForAWriteThatBegins(t *testing.T) {
	g := newGate(1, 1)
	c := &slowToSet{}
	w := g.admit(c, time.Hour)
	defer w.watch.Stop()
	end := time.Now().Add(time.Second)
	hurried := make(chan struct{})
	c.meanwhile = func() {
		go func() {
			g.hurry(end)
			close(hurried)
		}()
		select {
		case <-hurried: // in between
		case <-time.After(50 * time.Millisecond): // it waits, as it should
		}
	}
	_ = w.SetWriteDeadline(end.Add(time.Hour))
	<-hurried
	if !c.last.Equal(end) {
		t.Errorf("a write has until %v, want %v", c.last, end)
	}
}
