package natlab

import (
	"context"
	"io"
	"net"
	"testing"
	"time"
)

func TestSmoke(t *testing.T) {
	for _, cfg := range []NAT{{}, {Kernel: true}} {
		start := time.Now()
		l := newLab(t, Config{})
		t.Log("new", time.Since(start))
		server := newHost(t, l, HostConfig{})
		t.Log("host", time.Since(start))
		b := newBox(t, l, cfg)
		t.Log("nat", time.Since(start))
		h := newHost(t, l, HostConfig{Behind: b})
		t.Log("host", time.Since(start))
		ln, err := server.Listen("tcp", ":80")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, c.RemoteAddr().String())
			c.Close()
		}()
		c, err := h.Dial(context.Background(), &net.Dialer{Timeout: 3 * time.Second}, "tcp", ln.Addr().(*net.TCPAddr).AddrPort().String())
		if err != nil {
			c, err = h.Dial(context.Background(), &net.Dialer{Timeout: 3 * time.Second}, "tcp", server.Addr().String()+":80")
		}
		if err != nil {
			t.Fatal(err)
		}
		all, _ := io.ReadAll(c)
		t.Log(c.LocalAddr(), string(all), h.External(), time.Since(start))
		out, err := h.Command(context.Background(), "sh", "-c", "cat /proc/net/dev; cat /proc/net/route").CombinedOutput()
		t.Log(string(out), err, time.Since(start))
		start = time.Now()
		l.Close()
		t.Log("close", time.Since(start))
	}
}
