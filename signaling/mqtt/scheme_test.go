package mqtt_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/signaling/broker/brokertest"
	"github.com/sallyport-net/sallyport/signaling/mqtt"
)

func TestEveryScheme(t *testing.T) {
	cert := brokertest.CertificateFor(t, "localhost")
	b := startBroker(t, brokertest.Everywhere(cert))
	ports := map[string]string{}
	for _, u := range b.URLs() {
		scheme, rest, _ := strings.Cut(u, "://")
		_, port, _ := net.SplitHostPort(rest)
		ports[scheme] = port
	}
	sender := newChannel(t, mqtt.Config{Brokers: at(b.URL())})
	untilOpen(t, sender, 1)
	for _, u := range []string{
		"tcp://localhost:" + ports["tcp"], "mqtt://user:secret@localhost:" + ports["tcp"],
		"tls://localhost:" + ports["tls"], "ssl://localhost:" + ports["tls"], "mqtts://localhost:" + ports["tls"],
		"ws://localhost:" + ports["ws"], "ws://user:secret@localhost:" + ports["ws"] + "/any/path?x=y",
		"wss://localhost:" + ports["wss"] + "/mqtt",
	} {
		t.Run(u, func(t *testing.T) {
			var mu sync.Mutex
			var dialled []string
			key := newKey(t)
			begin := time.Now()
			c := newChannel(t, mqtt.Config{
				Key: key, Brokers: at(u), TLS: cert.Client(),
				Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
					mu.Lock()
					defer mu.Unlock()
					dialled = append(dialled, network+" "+addr)
					return (&net.Dialer{}).DialContext(ctx, "tcp4", addr)
				},
			})
			ctx := deadline(t)
			if err := c.Wait(ctx); err != nil {
				t.Fatal(err)
			}
			mu.Lock()
			if len(dialled) != 1 || !strings.HasPrefix(dialled[0], "tcp localhost:") {
				t.Errorf("dialled %q", dialled)
			}
			mu.Unlock()
			payload := strings.Repeat("x", mqtt.MaxPayload)
			if err := sender.Publish(ctx, key, at(b.URL()), []byte(payload)); err != nil {
				t.Fatal(err)
			}
			receive(t, c, payload)
			if err := c.Publish(ctx, key, at(u), []byte("to myself")); err != nil {
				t.Fatal(err)
			}
			receive(t, c, "to myself")
			if rtt := c.RTT(at(u)[0]); rtt <= 0 || rtt > time.Since(begin) {
				t.Errorf("RTT %v", rtt)
			}
		})
	}
	for name, c := range map[string]mqtt.Config{
		"unknown authority": {Brokers: at("tls://localhost:" + ports["tls"])},
		"wrong name":        {Brokers: at("wss://127.0.0.1:" + ports["wss"]), TLS: cert.Client()},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := newChannel(t, mqtt.Config{}).Join(deadline(t), at("tcp://localhost:"+ports["tls"]))
			if err == nil {
				t.Error("plain MQTT to a TLS port")
			}
			c.ConnectTimeout = patience
			_, err = newChannel(t, mqtt.Config{TLS: c.TLS}).Join(deadline(t), c.Brokers)
			var tlsErr *tls.CertificateVerificationError
			if !errors.As(err, &tlsErr) {
				t.Errorf("got %v", err)
			}
		})
	}
}
