package portmap

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// speaker is a router on loopback that speaks all protocols, and notes what it
// is asked.
type speaker struct {
	mu    sync.Mutex
	asked map[string]int
}

func (s *speaker) note(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked == nil {
		s.asked = map[string]int{}
	}
	s.asked[what]++
}

// datagram answers NAT-PMP with that result and address, and PCP.
func (s *speaker) datagram(result byte, address netip.Addr) func([]byte) []byte {
	return func(r []byte) []byte {
		s.note(fmt.Sprintf("version %d opcode %d", r[0], r[1]))
		if r[0] == pcpVersion {
			return append([]byte{pcpVersion, r[1] | response, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9}, make([]byte, 12)...)
		}
		return append([]byte{0, r[1] | response, 0, result, 0, 0, 0, 9}, address.AsSlice()...)
	}
}

// gateway serves a description, and tells that address.
func (s *speaker) gateway(t *testing.T, address string) string {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.note(r.Method + " " + r.Header.Get("SOAPAction"))
		if r.Method == http.MethodGet {
			fmt.Fprintf(w, "<root><service><serviceType>%s</serviceType><controlURL>/c</controlURL></service></root>", connections[0])
			return
		}
		fmt.Fprintf(w, "<Envelope><Body><R><NewExternalIPAddress>%s</NewExternalIPAddress></R></Body></Envelope>", address)
	}))
	t.Cleanup(web.Close)
	return web.URL + "/d.xml"
}

func TestDiscover(t *testing.T) {
	public := netip.MustParseAddr("52.1.2.3")
	for _, c := range []struct {
		name  string
		pmp   byte // result of NAT-PMP
		addr  netip.Addr
		upnp  string
		want  [3]error  // of PCP, NAT-PMP and UPnP
		tells [2]string // by NAT-PMP and UPnP
	}{
		{"all", 0, public, "52.1.2.4", [3]error{}, [2]string{"52.1.2.3", "52.1.2.4"}},
		{"second NAT", 0, netip.MustParseAddr("100.64.9.9"), "10.0.0.7", [3]error{nil, ErrUseless, ErrUseless}, [2]string{"100.64.9.9", "10.0.0.7"}},
		{"refused", 2, public, "52.1.2.4", [3]error{nil, errAny, nil}, [2]string{"invalid IP", "52.1.2.4"}},
		{"offline", 0, netip.IPv4Unspecified(), "0.0.0.0", [3]error{nil, errNoAddress, errNoAddress}, [2]string{"invalid IP", "invalid IP"}},
		{"no address", 0, public, "", [3]error{nil, nil, errNoAddress}, [2]string{"52.1.2.3", "invalid IP"}},
		{"a zone with an escape", 0, public, "fe80::1%\u001b[31m", [3]error{nil, nil, errAny}, [2]string{"52.1.2.3", "invalid IP"}},
		{"another family", 0, public, "2a00::1%et\u009b", [3]error{nil, nil, errNoAddress}, [2]string{"52.1.2.3", "invalid IP"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var s speaker
			begun := time.Now()
			o, err := Discover(t.Context(), Config{Local: loopback, Gateway: loopback, anyGateway: true, discovery: time.Hour,
				mapping: rogue(t, s.datagram(c.pmp, c.addr)), search: rogue(t, located(s.gateway(t, c.upnp)))})
			if err != nil || o.Gateway != loopback || len(o.Answers) != 3 {
				t.Fatalf("%+v, %v", o, err)
			}
			if took := time.Since(begun); took > patience {
				t.Errorf("took %v although all had answered", took)
			}
			for i, a := range o.Answers {
				if a.Protocol != Protocols()[i] {
					t.Errorf("%v comes at place %d", a.Protocol, i)
				}
				if c.want[i] == errAny && a.Err == nil || c.want[i] != errAny && !errors.Is(a.Err, c.want[i]) {
					t.Errorf("%v gives %v, want %v", a.Protocol, a.Err, c.want[i])
				}
				if i > 0 && a.External.String() != c.tells[i-1] {
					t.Errorf("%v tells %v, want %v", a.Protocol, a.External, c.tells[i-1])
				}
			}
			// Whatever is asked more than this could change something. A question
			// may be under way for the second time.
			s.mu.Lock()
			defer s.mu.Unlock()
			for what := range s.asked {
				if !slices.Contains([]string{"version 0 opcode 0", "version 2 opcode 0", "GET ",
					`POST "` + connections[0] + `#GetExternalIPAddress"`}, what) {
					t.Errorf("the router was asked %q", what)
				}
			}
			if len(s.asked) != 4 {
				t.Errorf("it was asked %v", s.asked)
			}
		})
	}
}

func TestDiscoverEndsWithItsContext(t *testing.T) {
	silent := func([]byte) []byte { return nil }
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	begun := time.Now()
	_, err := Discover(ctx, Config{Local: loopback, Gateway: loopback, anyGateway: true, discovery: 2 * patience, mapping: rogue(t, silent), search: rogue(t, silent)})
	if took := time.Since(begun); !errors.Is(err, context.DeadlineExceeded) || took > patience {
		t.Errorf("%v after %v", err, took)
	}
}

func TestNobodyIsAskedBesidesARouter(t *testing.T) {
	for _, c := range []struct {
		cfg  Config
		want string
	}{
		{Config{}, "a local address is needed"},
		{Config{Local: loopback, Gateway: netip.MustParseAddr("8.8.8.8")}, "not one of a private network"},
		{Config{Local: netip.MustParseAddr("192.168.1.2"), Gateway: netip.MustParseAddr("fe80::1")}, "not one of a private network"},
		{Config{Local: netip.MustParseAddr("192.0.2.1")}, "looking for the gateway"},
	} {
		if o, err := Discover(t.Context(), c.cfg); err == nil || !strings.Contains(err.Error(), c.want) || len(o.Answers) > 0 {
			t.Errorf("%+v, %v", o, err)
		}
	}
}
