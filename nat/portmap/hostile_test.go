package portmap

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var loopback = netip.MustParseAddr("127.0.0.1")

// rogue answers UDP on loopback as it is told.
func rogue(t *testing.T, answer func(request []byte) []byte) uint16 {
	t.Helper()
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(loopback, 0)))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 2048)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			if reply := answer(b[:n]); reply != nil {
				_, _ = conn.WriteToUDPAddrPort(reply, from)
			}
		}
	}()
	t.Cleanup(func() { _ = conn.Close(); <-done })
	return conn.LocalAddr().(*net.UDPAddr).AddrPort().Port()
}

const (
	// soon is for a rogue that gives no answer that helps.
	soon = time.Second
	// patience is what a loaded machine is given; what waits that long waits for ever.
	patience = time.Minute
)

// open asks the rogue, and holds what Discover finds to what Open gets. Both give
// up after that time of discovery.
func open(t *testing.T, discovery time.Duration, mapping, search uint16, p ...Protocol) error {
	t.Helper()
	cfg := Config{Local: loopback, Gateway: loopback, Port: 4000, Protocols: p,
		mapping: mapping, search: search, anyGateway: true, discovery: discovery, request: discovery}
	var o Offer
	var failed error
	var both sync.WaitGroup
	begun := time.Now()
	both.Go(func() {
		o, failed = Discover(t.Context(), cfg)
		if took := time.Since(begun); took > patience {
			t.Errorf("Discover took %v", took)
		}
	})
	m, err := Open(t.Context(), cfg)
	if err == nil {
		_ = m.Close()
	}
	if took := time.Since(begun); took > patience {
		t.Errorf("Open took %v", took)
	}
	both.Wait()
	offered, useless := false, false
	for _, a := range o.Answers {
		offered, useless = offered || a.Err == nil, useless || errors.Is(a.Err, ErrUseless)
	}
	if failed != nil || len(o.Answers) != len(p) || err == nil && !offered ||
		errors.Is(err, ErrNone) && (offered || useless) || errors.Is(err, ErrUseless) != useless {
		t.Errorf("Open gives %v, Discover %+v, %v", err, o, failed)
	}
	return err
}

func TestRogueUDP(t *testing.T) {
	pmp := func(address [4]byte, life byte) func([]byte) []byte {
		return func(r []byte) []byte {
			if r[1] == pmpAddress {
				return append([]byte{0, 128, 0, 0, 0, 0, 0, 9}, address[:]...)
			}
			return []byte{0, 130, 0, 0, 0, 0, 0, 9, r[4], r[5], 0x30, 0x39, 0, 0, 0, life}
		}
	}
	for name, c := range map[string]struct {
		answer func([]byte) []byte
		want   error // nil: it is mapped
	}{
		"honest":       {pmp([4]byte{52, 1, 2, 3}, 200), nil},
		"no time":      {pmp([4]byte{52, 1, 2, 3}, 0), errAny},
		"second NAT":   {pmp([4]byte{192, 168, 9, 9}, 200), ErrUseless},
		"carrier":      {pmp([4]byte{100, 64, 9, 9}, 200), ErrUseless},
		"loopback":     {pmp([4]byte{127, 0, 0, 1}, 200), ErrUseless},
		"silence":      {func([]byte) []byte { return nil }, ErrNone},
		"garbage":      {func([]byte) []byte { return []byte(strings.Repeat("\xff", 1400)) }, ErrNone},
		"one byte":     {func([]byte) []byte { return []byte{0} }, ErrNone},
		"its own echo": {func(r []byte) []byte { return r }, ErrNone},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			discovery := 2 * patience // it answers, whenever that is
			if errors.Is(c.want, ErrNone) {
				discovery = soon
			}
			err := open(t, discovery, rogue(t, c.answer), 1, NATPMP, PCP)
			if c.want == errAny && err == nil || c.want != errAny && !errors.Is(err, c.want) {
				t.Errorf("Open gives %v, want %v", err, c.want)
			}
		})
	}
}

var errAny = errors.New("any")

// located answers every search with that description.
func located(at string) func([]byte) []byte {
	return func([]byte) []byte {
		return fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nST: upnp:rootdevice\r\nLOCATION: %s\r\n\r\n", at)
	}
}

// TestNoOtherHostIsAsked has the router send us elsewhere, in every way that it
// can: there, nobody may be contacted.
func TestNoOtherHostIsAsked(t *testing.T) {
	var visits atomic.Int32
	l, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Skip(err)
	}
	victim := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { visits.Add(1) }),
		ConnState: func(_ net.Conn, s http.ConnState) {
			if s == http.StateNew {
				visits.Add(1)
			}
		}}}
	victim.Start()
	defer victim.Close()
	describes := func(control string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, "<root><service><serviceType>%s</serviceType><controlURL>%s</controlURL></service></root>", connections[0], control)
		}
	}
	cases := map[string]func(*testing.T){}
	each := func(name string, f func(*testing.T)) { cases[name] = f }
	for name, h := range map[string]http.HandlerFunc{
		"control URL": describes(victim.URL + "/control"),
		"scheme":      describes("gopher://127.0.0.1/x"),
		"redirect":    func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, victim.URL, http.StatusFound) },
		"redirected call": func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				http.Redirect(w, r, victim.URL, http.StatusTemporaryRedirect)
				return
			}
			describes("/control")(w, r)
		},
		"endless": func(w http.ResponseWriter, _ *http.Request) {
			for {
				if _, err := w.Write([]byte(strings.Repeat("<a>", 10000))); err != nil {
					return
				}
			}
		},
		"hanging": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"garbage": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("\x00<<<&;")) },
	} {
		each(name, func(t *testing.T) {
			s := httptest.NewServer(h)
			defer s.Close()
			if err := open(t, soon, 1, rogue(t, located(s.URL+"/d.xml")), UPnP); !errors.Is(err, ErrNone) {
				t.Errorf("Open gives %v", err)
			}
		})
	}
	for _, at := range []string{victim.URL + "/d.xml", "http://localhost:80/", "http://user@127.0.0.1/", "file:///etc/passwd", "http://127.0.0.1.nip.io/"} {
		each(at, func(t *testing.T) {
			// The answer must have been read by then.
			if err := open(t, 3*soon, 1, rogue(t, located(at)), UPnP); !errors.Is(err, ErrNone) || !strings.Contains(err.Error(), "is not on the gateway") {
				t.Errorf("Open gives %v", err)
			}
		})
	}
	t.Run("all", func(t *testing.T) {
		for name, f := range cases {
			t.Run(name, func(t *testing.T) { t.Parallel(); f(t) })
		}
	})
	if n := visits.Load(); n != 0 {
		t.Errorf("the other host was contacted %d times", n)
	}
}

func TestPublicGatewayIsRefused(t *testing.T) {
	_, err := Open(t.Context(), Config{Local: loopback, Port: 1, Gateway: netip.MustParseAddr("8.8.8.8")})
	if err == nil || !strings.Contains(err.Error(), "not one of a private network") {
		t.Errorf("Open gives %v", err)
	}
}
