package mqtt_test

import (
	"io"
	"net"
	"sync"
	"testing"
)

// listen serves each connection with f until the test is over.
func listen(t testing.TB, f func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var conns []net.Conn
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
			wg.Go(func() { f(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range conns {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return l.Addr().String()
}

// hold reads until the other side, or the test, closes.
func hold(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

// proxy forwards to a broker until it is stalled: then it holds every
// connection open, whatever the broker does, and forwards nothing.
type proxy struct {
	addr string
	mu   sync.Mutex
	flow chan struct{} // closed while it forwards
	over chan struct{} // closed at the end of the test
}

func newProxy(t testing.TB, to string) *proxy {
	p := &proxy{flow: make(chan struct{}), over: make(chan struct{})}
	close(p.flow)
	p.addr = listen(t, func(c net.Conn) {
		up, err := net.Dial("tcp", to)
		if err != nil {
			c.Close()
			return
		}
		var wg sync.WaitGroup
		wg.Go(func() { p.copy(up, c); up.Close() })
		p.copy(c, up)
		c.Close()
		wg.Wait()
	})
	t.Cleanup(func() { close(p.over) }) // before the one of listen
	return p
}

func (p *proxy) copy(dst, src net.Conn) {
	buf := make([]byte, 4096)
	for {
		n, err := src.Read(buf)
		p.mu.Lock()
		flow := p.flow
		p.mu.Unlock()
		select {
		case <-flow:
		case <-p.over:
		}
		if _, werr := dst.Write(buf[:n]); err != nil || werr != nil {
			return
		}
	}
}

func (p *proxy) stall(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if on {
		p.flow = make(chan struct{})
	} else {
		close(p.flow)
	}
}
