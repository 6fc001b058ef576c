//go:build unix

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/forward"
	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/serve"
	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/node/tunnel"
)

// piece is how much one round of the benchmark carries.
const piece = 1 << 20

// BenchmarkForward carries a stream from a service by way of a forward, and
// from the same service without one. Both nodes run in this process.
func BenchmarkForward(b *testing.B) {
	service, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer service.Close()
	go func() { // ends with the service
		for {
			c, err := service.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				block := make([]byte, 256<<10)
				for err == nil {
					_, err = c.Write(block)
				}
			}()
		}
	}()
	b.Run("plain", func(b *testing.B) { drain(b, service.Addr().String()) })
	at := startForward(b, service.Addr().String())
	b.Run("forwarded", func(b *testing.B) { drain(b, at) })
}

func drain(b *testing.B, addr string) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	buf := make([]byte, 256<<10)
	if _, err := io.ReadFull(c, buf); err != nil { // it flows
		b.Fatal(err)
	}
	b.SetBytes(piece)
	for b.Loop() {
		for n := 0; n < piece; n += len(buf) {
			if _, err := io.ReadFull(c, buf); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// startForward runs both sides of a forward to a service, and gives the port
// here.
func startForward(b *testing.B, service string) string {
	s := startServe(b, serve.Config{}).Places()
	broker, err := address.ParseBroker(s.Brokers[0])
	if err != nil {
		b.Fatal(err)
	}
	quiet := &app{out: io.Discard, err: io.Discard}
	peer, err := node.New(b.Context(), node.Config{Brokers: []address.Broker{broker}, STUN: s.STUN, Interfaces: []string{loopbackName()}, NoLAN: true, Tunnels: true})
	if err != nil {
		b.Fatal(err)
	}
	t, err := newTunnels(quiet, []string{service}, nil)
	if err != nil {
		b.Fatal(err)
	}
	var all sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	all.Go(func() {
		for {
			c, err := peer.Accept()
			if err != nil {
				return
			}
			all.Go(func() { t.Serve(ctx, c.(*node.Conn)) })
		}
	})
	f := &forwardCommand{app: quiet, flags: nodeFlags{
		key: filepath.Join(b.TempDir(), "key"), brokers: s.Brokers, stun: s.STUN, interfaces: []string{loopbackName()}, noLAN: true, timeout: patience,
	}}
	to, err := tunnel.ParsePlace(service)
	if err != nil {
		b.Fatal(err)
	}
	var port uint16
	_, _ = fmt.Sscan(freePort(), &port)
	at := tunnel.Place{Host: "127.0.0.1", Port: port}
	all.Go(func() {
		if err := f.run(ctx, peer.Address().String(), []forward.Spec{{Kind: forward.Local, Bind: at, To: to}}); ctx.Err() == nil {
			b.Error(err)
		}
	})
	b.Cleanup(func() { cancel(); _ = peer.Close(); all.Wait() })
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		c, err := net.Dial("tcp", at.String())
		if err == nil {
			c.Close()
			return at.String()
		}
		if time.Now().After(deadline) || !strings.Contains(err.Error(), "refused") {
			b.Fatal(err)
		}
	}
}
