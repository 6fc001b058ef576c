package probe

import (
	"errors"
	"net"
	"testing"

	"github.com/libp2p/go-reuseport"

	"github.com/sallyport-net/sallyport/nat/machinetest"
)

func TestMapHoldsAMapping(t *testing.T) {
	a := startServer(t, ServerConfig{OnePort: true})
	b := startServer(t, ServerConfig{OnePort: true})
	dead := listenSilently(t)
	h, err := Map(t.Context(), MapConfig{Servers: []string{dead, a.Addr().String(), b.Addr().String()}})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	m := h.Mapping()
	if m.External != m.Local || m.RTT <= 0 || m.Server != a.Addr() && m.Server != b.Addr() {
		t.Errorf("%+v", m)
	}
	again, err := h.Refresh(t.Context())
	if err != nil || again.External != m.External || !again.At.After(m.At) || !again.Sent.Equal(m.Sent) {
		t.Errorf("%v, %+v after %+v", err, again, m)
	}
	// The port can be shared meanwhile, and is free of TIME_WAIT afterwards.
	l, err := reuseport.Listen("tcp", m.Local.String())
	if err != nil {
		t.Error(err)
	} else {
		_ = l.Close()
	}
	for range 2 {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	}
	if l, err = net.Listen("tcp", m.Local.String()); err != nil {
		t.Error(err)
	} else {
		_ = l.Close()
	}
	if _, err := h.Refresh(t.Context()); err == nil {
		t.Error("a closed mapping is refreshed")
	}
}

func TestMapFromAGivenPortAgainAndAgain(t *testing.T) {
	s := startServer(t, ServerConfig{OnePort: true})
	local := machinetest.ClosedPort(t, "127.0.0.1")
	for range 5 { // the same four-tuple each time: a TIME_WAIT would refuse it
		h, err := Map(t.Context(), MapConfig{Local: local, Servers: []string{s.Addr().String()}})
		if err != nil {
			t.Fatal(err)
		}
		if h.Mapping().Local != local {
			t.Errorf("local %v, want %v", h.Mapping().Local, local)
		}
		_ = h.Close()
	}
	held, err := Map(t.Context(), MapConfig{Local: local, Servers: []string{s.Addr().String()}})
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if _, err := Map(t.Context(), MapConfig{Local: local, Servers: []string{s.Addr().String()}}); !errors.Is(err, ErrNoServer) {
		t.Errorf("the same four-tuple twice: %v", err)
	}
}

func TestMapRow(t *testing.T) {
	s := startServer(t, ServerConfig{OnePort: true})
	row, err := MapRow(t.Context(), MapConfig{Servers: []string{s.Addr().String()}}, 4)
	if err != nil {
		t.Fatal(err)
	}
	for i, h := range row {
		defer h.Close()
		if h.Mapping().Local.Port() != row[0].Mapping().Local.Port()+uint16(i) {
			t.Errorf("port %d is %v", i, h.Mapping().Local)
		}
	}
	if _, err := MapRow(t.Context(), MapConfig{}, 17); err == nil {
		t.Error("17 ports are mapped")
	}
}

func TestMapNobody(t *testing.T) {
	_, err := Map(t.Context(), MapConfig{Servers: []string{"127.0.0.1:1", "nonsense"}})
	var nobody *NoServerError
	if !errors.As(err, &nobody) || len(nobody.Causes) != 2 {
		t.Errorf("%v", err)
	}
}
