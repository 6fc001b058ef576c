package probe

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/nat"
	"github.com/sallyport-net/sallyport/nat/machinetest"
)

// startServer runs a server on 127.0.0.1 and 127.0.0.2.
func startServer(t *testing.T, cfg ServerConfig) *Server {
	t.Helper()
	if !cfg.Primary.IsValid() {
		cfg.Primary = netip.MustParseAddrPort("127.0.0.1:0")
	}
	if !cfg.Alternate.IsValid() && !cfg.OnePort {
		cfg.Alternate = netip.MustParseAddrPort("127.0.0.2:0")
	}
	s, err := NewServer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestRunOpen(t *testing.T) {
	s := startServer(t, ServerConfig{})
	machinetest.Calmly(t, func() string {
		var early []nat.Report
		r, err := Run(t.Context(), Config{
			Servers: []string{s.Addr().String()}, TCPServers: []string{s.Addr().String()},
			Progress: func(r nat.Report) { early = append(early, r) },
		})
		switch {
		case err != nil:
			return err.Error()
		case r.Type != nat.Open || !r.Sure() || r.NATed():
			return fmt.Sprintf("type %v, confidence %v, external %v: want open internet, sure", r.Type, r.Confidence, r.External)
		case r.UDP.Filtering != nat.EndpointIndependent || r.TCP.Mapping != nat.EndpointIndependent:
			return fmt.Sprintf("udp %+v\ntcp %+v", r.UDP, r.TCP)
		case len(early) == 0 || early[0].Type != nat.Open:
			return fmt.Sprintf("first report: %+v", early)
		case r.Took > time.Second:
			return fmt.Sprintf("it took %v on loopback", r.Took)
		}
		return ""
	})
}

func TestRunNobody(t *testing.T) {
	t.Parallel()
	silent := listenSilently(t)
	machinetest.Calmly(t, func() string {
		start := time.Now()
		r, err := Run(t.Context(), Config{Servers: []string{silent}, TCPServers: []string{silent}})
		if !errors.Is(err, ErrNoServer) {
			t.Fatalf("error %v, want %v", err, ErrNoServer)
		}
		var nobody *NoServerError
		if !errors.As(err, &nobody) || nobody.Hint() == "" || len(nobody.Causes) != 2 || !strings.Contains(err.Error(), silent) {
			t.Errorf("error %v", err)
		}
		if r.Type != nat.Blocked || r.Local != netip.MustParseAddr("127.0.0.1") {
			t.Errorf("type %v, local %v", r.Type, r.Local)
		}
		if d := time.Since(start); d > longest+200*time.Millisecond {
			return fmt.Sprintf("it took %v", d)
		}
		return ""
	})
}

func TestRunEndsWithContext(t *testing.T) {
	silent := listenSilently(t)
	machinetest.Calmly(t, func() string {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		start := time.Now()
		_, err := Run(ctx, Config{Servers: []string{silent}, TCPServers: []string{}})
		if !errors.Is(err, ErrNoServer) {
			t.Errorf("error %v", err)
		}
		if d := time.Since(start); d > time.Second {
			return fmt.Sprintf("it took %v", d)
		}
		return ""
	})
}
