package probe

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/nat"
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
	var early []nat.Report
	r, err := Run(t.Context(), Config{
		Servers: []string{s.Addr().String()}, TCPServers: []string{s.Addr().String()},
		Progress: func(r nat.Report) { early = append(early, r) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if r.Type != nat.Open || !r.Sure() || r.NATed() {
		t.Errorf("type %v, confidence %v, external %v: want open internet, sure", r.Type, r.Confidence, r.External)
	}
	if r.UDP.Filtering != nat.EndpointIndependent || r.TCP.Mapping != nat.EndpointIndependent {
		t.Errorf("udp %+v\ntcp %+v", r.UDP, r.TCP)
	}
	if len(early) == 0 || early[0].Type != nat.Open {
		t.Errorf("first report: %+v", early)
	}
	if r.Took > time.Second {
		t.Errorf("took %v on loopback", r.Took)
	}
}

func TestRunNobody(t *testing.T) {
	t.Parallel()
	start := time.Now()
	silent := listenSilently(t)
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
		t.Errorf("took %v", d)
	}
}

func TestRunEndsWithContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := Run(ctx, Config{Servers: []string{listenSilently(t)}, TCPServers: []string{}})
	if !errors.Is(err, ErrNoServer) || time.Since(start) > time.Second {
		t.Errorf("%v after %v", err, time.Since(start))
	}
}
