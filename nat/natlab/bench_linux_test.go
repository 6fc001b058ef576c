package natlab

import (
	"context"
	"io"
	"testing"
	"time"
)

// BenchmarkThroughput is one TCP stream from a host behind a NAT to one on the
// internet.
func BenchmarkThroughput(b *testing.B) {
	for _, c := range []struct {
		name  string
		nat   NAT
		delay time.Duration
	}{
		{name: "user space"},
		{name: "user space 5 ms", delay: 5 * time.Millisecond},
		{name: "kernel", nat: NAT{Kernel: true}},
	} {
		b.Run(c.name, func(b *testing.B) {
			l := newLab(b, Config{})
			server := newHost(b, l, HostConfig{Delay: c.delay})
			client := newHost(b, l, HostConfig{Behind: newBox(b, l, c.nat)})
			from, to := connected(b, client, server)
			chunk := make([]byte, 1<<16)
			b.SetBytes(int64(len(chunk)))
			done := make(chan error, 1)
			go func() {
				_, err := io.Copy(io.Discard, to)
				done <- err
			}()
			for b.Loop() {
				if _, err := from.Write(chunk); err != nil {
					b.Fatal(err)
				}
			}
			from.Close()
			if err := <-done; err != nil {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkHost is what it takes to add a host.
func BenchmarkHost(b *testing.B) {
	l := newLab(b, Config{})
	for b.Loop() {
		newHost(b, l, HostConfig{})
	}
	b.StopTimer()
	start := time.Now()
	l.Close()
	b.ReportMetric(float64(time.Since(start).Microseconds())/float64(b.N), "close-µs/host")
}

// BenchmarkRoundTrip is a datagram to the internet and back through a NAT.
func BenchmarkRoundTrip(b *testing.B) {
	l := newLab(b, Config{})
	server := newHost(b, l, HostConfig{})
	client := newHost(b, l, HostConfig{Behind: newBox(b, l, NAT{})})
	echoUDP(b, server, ":7")
	conn, err := client.Dial(context.Background(), nil, "udp", server.Addr().String()+":7")
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	buf := make([]byte, 64)
	for b.Loop() {
		conn.Write(buf)
		conn.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := conn.Read(buf); err != nil {
			b.Fatal(err)
		}
	}
}
