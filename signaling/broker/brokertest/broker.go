// Package brokertest runs real brokers for tests, on loopback, and makes what they
// need for TLS.
package brokertest

import (
	"testing"

	"github.com/sallyport-net/sallyport/signaling/broker"
)

// Start starts one that is closed with the test: where the configuration names
// nothing to listen on, on any TCP port of loopback.
func Start(t testing.TB, cfg broker.Config) *broker.Broker {
	t.Helper()
	if cfg.Listen == "" && cfg.ListenTLS == "" && cfg.ListenWS == "" && cfg.ListenWSS == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	b, err := broker.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

// Everywhere is the configuration of a broker that listens on loopback in all
// ways that there are: plainly, over TLS, and both over WebSocket.
func Everywhere(c *Certificate) broker.Config {
	const any = "127.0.0.1:0"
	return broker.Config{Listen: any, ListenTLS: any, ListenWS: any, ListenWSS: any, TLS: c.Server()}
}
