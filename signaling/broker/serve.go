package broker

import (
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"

	"github.com/gorilla/websocket"

	"github.com/sallyport-net/sallyport/signaling/wsstream"
)

func (b *Broker) servePlain(l net.Listener) {
	b.serve(l, func(tcp *guarded) net.Conn { return tcp })
}

func (b *Broker) serveTLS(l net.Listener) {
	b.serve(l, func(tcp *guarded) net.Conn { return tls.Server(tcp, b.config.TLS) })
}

// serve runs an accept loop, and each connection in a goroutine of its own.
func (b *Broker) serve(l net.Listener, wrap func(*guarded) net.Conn) {
	b.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			tcp := c.(*guarded)
			b.wg.Go(func() { b.establish(b.newConn(wrap(tcp), tcp)) })
		}
	})
}

func (b *Broker) serveWS(l net.Listener) { b.serveHTTP(l) }

func (b *Broker) serveWSS(l net.Listener) {
	cfg := b.config.TLS.Clone()
	cfg.NextProtos = []string{"http/1.1"} // WebSocket starts from HTTP/1.1
	b.serveHTTP(tls.NewListener(l, cfg))
}

// serveHTTP upgrades every request that asks for it. A page of another site
// may not: gorilla compares Origin and Host.
func (b *Broker) serveHTTP(l net.Listener) {
	upgrader := websocket.Upgrader{
		HandshakeTimeout: b.config.ConnectTimeout,
		ReadBufferSize:   1024,
		WriteBufferSize:  1024,
		Subprotocols:     []string{"mqtt"},
	}
	server := &http.Server{
		ReadHeaderTimeout: b.config.ConnectTimeout,
		MaxHeaderBytes:    8 << 10,
		ErrorLog:          log.New(io.Discard, "", 0),
		ConnState: func(_ net.Conn, s http.ConnState) {
			switch s { // each connection is new once, and closed or hijacked once
			case http.StateNew:
				b.wg.Add(1)
			case http.StateClosed, http.StateHijacked:
				b.wg.Done()
			}
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			// The connection still counts here: it is hijacked only below.
			b.wg.Add(1)
			defer b.wg.Done()
			ws, err := upgrader.Upgrade(w, r, nil)
			if err != nil {
				return
			}
			nc := ws.NetConn()
			if t, ok := nc.(*tls.Conn); ok {
				nc = t.NetConn()
			}
			b.establish(b.newConn(wsstream.New(ws), nc.(*guarded)))
		}),
	}
	server.SetKeepAlivesEnabled(false)
	b.https = append(b.https, server)
	b.wg.Go(func() { _ = server.Serve(l) })
}
