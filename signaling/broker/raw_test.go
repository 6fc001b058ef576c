package broker_test

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"io"
	mrand "math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/signaling/broker"
	"github.com/sallyport-net/sallyport/signaling/broker/brokertest"
)

// untilClosed waits until the broker has closed c.
func untilClosed(t testing.TB, c net.Conn) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.Copy(io.Discard, c); err != nil {
		if ne, ok := err.(net.Error); ok && ne.Timeout() {
			t.Fatalf("still open after %v", patience)
		}
	}
}

// Whatever a connection does short of a complete CONNECT, it is over at the
// deadline.
func TestConnectDeadline(t *testing.T) {
	everywhere := brokertest.Everywhere(brokertest.CertificateFor(t, "127.0.0.1"))
	everywhere.ConnectTimeout = 300 * time.Millisecond
	b := start(t, everywhere)
	for _, u := range b.URLs() {
		scheme, addr, _ := strings.Cut(u, "://")
		for name, send := range map[string]string{
			"silence":     "",
			"one byte":    "\x10",
			"half packet": string(connectPacket(4)[:9]),
			"endless":     "\x10" + strings.Repeat("\x80", 3),
			"http":        "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ",
		} {
			t.Run(scheme+" "+name, func(t *testing.T) {
				t.Parallel()
				c, err := net.Dial("tcp", addr)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				_, _ = io.WriteString(c, send) // unless it is closed already
				untilClosed(t, c)
			})
		}
		t.Run(scheme+" byte by byte", func(t *testing.T) {
			t.Parallel()
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			begin := time.Now()
			for { // a byte each 20 ms
				if _, err := c.Write([]byte{0x80}); err != nil {
					break
				}
				if time.Since(begin) > patience {
					t.Fatal("still open")
				}
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
}

func TestGarbage(t *testing.T) {
	b := start(t, broker.Config{Listen: "127.0.0.1:0", ListenWS: "127.0.0.1:0", ConnectTimeout: time.Second})
	long := make([]byte, 1<<16)
	rand.Read(long)
	inputs := map[string][]byte{
		"zeros":         make([]byte, 64),
		"ones":          bytes.Repeat([]byte{0xff}, 64),
		"noise":         long,
		"publish first": {0x30, 5, 0, 1, 'a', 'h', 'i'},
		"size 256 MB":   {0x10, 0xff, 0xff, 0xff, 0x7f},
		"size overflow": {0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		"mqtt 5":        connectPacket(5),
		// mochi panics on this one if it ever lets an MQTT 5 client in.
		"mqtt 5 subscribe": append(connectPacket(5), 0x82, 6, 0, 1, 0, 0, 1, 'a'),
		"two connects":     append(connectPacket(4), connectPacket(4)...),
		"qos 3":            append(connectPacket(4), 0x36, 3, 0, 1, 'a'),
		"auth":             append(connectPacket(4), 0xf0, 0),
		"pubrec":           append(connectPacket(4), 0x50, 2, 0, 1),
		"pubrel":           append(connectPacket(4), 0x62, 2, 0, 1),
		"empty subscribe":  append(connectPacket(4), 0x82, 2, 0, 1),
		"cut subscribe":    append(connectPacket(4), 0x82, 5, 0, 1, 0, 9, 'a'),
		"topic with nul":   append(connectPacket(4), 0x30, 3, 0, 1, 0),
		"wildcard publish": append(connectPacket(4), 0x30, 3, 0, 1, '#'),
	}
	for name, in := range inputs {
		t.Run(name, func(t *testing.T) {
			c, err := net.Dial("tcp", b.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			go c.Write(in)
			untilClosed(t, c)
		})
	}
	until(t, "it still serves", func() bool {
		_, err := tryConnect(t, b)
		return err == nil // unless a second went by before the CONNECT
	})
}

func TestPlainHTTPIsRefused(t *testing.T) {
	b := start(t, broker.Config{ListenWS: "127.0.0.1:0"})
	for name, header := range map[string]http.Header{
		"no upgrade": {},
		"other site": {"Connection": {"upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"},
			"Sec-Websocket-Key": {"AAAAAAAAAAAAAAAAAAAAAA=="}, "Origin": {"https://elsewhere.example"}},
	} {
		req, _ := http.NewRequest("GET", "http://"+b.Addr().String()+"/mqtt", nil)
		req.Header = header
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode/100 != 4 {
			t.Errorf("%s: status %d", name, resp.StatusCode)
		}
	}
}

// FuzzClient sends any bytes, fresh or past a CONNECT. The broker must not
// panic, must give the connection's place back, and must serve the next one.
func FuzzClient(f *testing.F) {
	b := brokertest.Start(f, broker.Config{ConnectTimeout: 100 * time.Millisecond, MaxKeepAlive: time.Second, MaxPerIP: 1000})
	seeds := []string{
		"", "10", "c000", "e000", "30050001616869", "82060001000161", "8206000100016100",
		"3013000f73616c6c79706f72742f70726f6f660101", "a2050001000161", "40020001", "3203000161", "34050001610001",
	}
	if len(seeds) == 0 {
		f.Fatal("no seeds")
	}
	for _, s := range seeds {
		raw, err := hex.DecodeString(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw, byte(4))
		f.Add(raw, byte(5))
		f.Add(raw, byte(0))
	}
	f.Fuzz(func(t *testing.T, data []byte, version byte) {
		// From a new loopback address each time: TIME_WAIT would use up the
		// ports of a single one.
		from := net.IPv4(127, byte(mrand.IntN(256)), byte(mrand.IntN(256)), byte(1+mrand.IntN(254)))
		c, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: from}}).Dial("tcp", b.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if version != 0 {
			data = append(connectPacket(version), data...)
		}
		_, _ = c.Write(data)
		_ = c.(*net.TCPConn).CloseWrite()
		untilClosed(t, c)
		c.Close()
		if n := b.Stats().Panics; n != 0 {
			t.Fatalf("%d panics", n)
		}
	})
}
