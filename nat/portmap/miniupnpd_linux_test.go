package portmap

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/nat/machinetest"
	"github.com/sallyport-net/sallyport/nat/natlab"
	"github.com/sallyport-net/sallyport/nat/natlab/natlabtest"
	"github.com/sallyport-net/sallyport/nat/portmap/miniupnpd"
)

// home is a host behind a kernel NAT with a real miniupnpd, and a stranger on
// the internet.
type home struct {
	t              *testing.T
	box            *natlab.Box
	host, stranger *natlab.Host
	router         *miniupnpd.Router
}

func newHome(t *testing.T, options ...string) *home {
	t.Helper()
	return newHomeBehind(t, nil, options...)
}

// newHomeBehind is newHome behind a carrier's NAT, where that is not nil.
func newHomeBehind(t *testing.T, carrier *natlab.NAT, options ...string) *home {
	t.Helper()
	h := newHouse(t, carrier)
	h.router = miniupnpd.Start(t, h.box, options...)
	return h
}

// newHouse is a home on whose router no daemon runs yet.
func newHouse(t *testing.T, carrier *natlab.NAT) *home {
	t.Helper()
	lab := natlabtest.New(t, natlab.Config{})
	own := natlab.NAT{Kernel: true}
	if carrier != nil {
		own.Behind = natlabtest.NAT(t, lab, *carrier)
	}
	h := &home{t: t, box: natlabtest.NAT(t, lab, own), stranger: natlabtest.Host(t, lab, natlab.HostConfig{})}
	h.host = natlabtest.Host(t, lab, natlab.HostConfig{Behind: h.box})
	return h
}

func (h *home) nft(input string, args ...string) string {
	h.t.Helper()
	c := h.box.Command(h.t.Context(), "nft", args...)
	c.Stdin = strings.NewReader(input)
	out, err := c.CombinedOutput()
	if err != nil {
		h.t.Fatalf("nft: %v: %s", err, out)
	}
	return string(out)
}

// program is this binary, playing a role on the host.
func (h *home) program(r role) *natlab.Cmd {
	h.t.Helper()
	if r.Port = 40123; !r.Local.IsValid() {
		r.Local = h.host.Addr()
	}
	r.Patience = 10 * time.Second // a loaded machine may need it
	text, err := json.Marshal(r)
	if err != nil {
		h.t.Fatal(err)
	}
	c := h.host.Command(context.Background(), os.Args[0])
	c.Env = append(os.Environ(), playMapping+"="+string(text), "GORACE=atexit_sleep_ms=0")
	c.Stderr = os.Stderr
	return c
}

// mapped is a program on the host that maps its port.
type mapped struct {
	*natlab.Cmd
	in    io.WriteCloser
	lines chan string
}

func (h *home) mapped(r role) (*mapped, string) {
	h.t.Helper()
	p := &mapped{Cmd: h.program(r), lines: make(chan string, 100)}
	var err error
	if p.in, err = p.StdinPipe(); err != nil {
		h.t.Fatal(err)
	}
	out, err := p.StdoutPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		h.t.Fatal(err)
	}
	go func() {
		defer close(p.lines)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			p.lines <- lines.Text()
		}
	}()
	select {
	case line := <-p.lines:
		return p, strings.TrimPrefix(line, "now ") // or what has failed
	case <-time.After(patience):
		h.t.Fatal("nothing was mapped")
	}
	return nil, ""
}

// welcomed reports whether a stranger reaches the host at that endpoint.
func (h *home) welcomed(at string, within time.Duration) bool {
	ctx, cancel := context.WithTimeout(h.t.Context(), within)
	defer cancel()
	c, err := h.stranger.Dial(ctx, nil, "tcp", at)
	if err != nil {
		return false
	}
	defer c.Close()
	_ = c.SetReadDeadline(time.Now().Add(patience))
	b, _ := io.ReadAll(c)
	return string(b) == "welcome"
}

func (h *home) until(what string, holds func() bool) {
	h.t.Helper()
	for end := time.Now().Add(patience); !holds(); {
		if time.Now().After(end) {
			h.t.Fatalf("not within %v: %s\n%s", patience, what, h.router.Rules())
		}
	}
}

// TestMiniupnpd maps a port on a real router by each protocol: a stranger gets
// in, and no more once the program has ended.
func TestMiniupnpd(t *testing.T) {
	for _, c := range []struct {
		name   string
		igd1   string
		speaks []Protocol
	}{
		{"pcp", "no", []Protocol{PCP}}, {"nat-pmp", "no", []Protocol{NATPMP}},
		{"igd2", "no", []Protocol{UPnP}}, {"igd1", "yes", []Protocol{UPnP}}, {"all", "no", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := newHome(t, "force_igd_desc_v1="+c.igd1)
			for _, end := range []string{"close", "SIGTERM"} {
				p, at := h.mapped(role{Protocols: c.speaks})
				if want := net.JoinHostPort(h.box.Externals()[0].String(), "40123"); at != want {
					t.Errorf("mapped at %s, want %s", at, want)
				}
				if !h.welcomed(at, patience) {
					t.Errorf("a stranger is not let in at %s:\n%s", at, h.router.Rules())
				}
				if end == "close" {
					_ = p.in.Close()
				} else {
					_ = p.Process.Signal(syscall.SIGTERM)
				}
				if err := p.Wait(); err != nil {
					t.Error(err)
				}
				if h.router.Forwards() || h.welcomed(at, 200*time.Millisecond) {
					t.Errorf("after %s the mapping is still there:\n%s", end, h.router.Rules())
				}
			}
		})
	}
}

// TestMiniupnpdTellsWhatItOffers asks a real router, which shall be none the
// wiser.
func TestMiniupnpdTellsWhatItOffers(t *testing.T) {
	h := newHome(t)
	before := h.nft("", "list", "ruleset")
	out, err := h.program(role{Ask: true}).Output()
	at := h.box.Externals()[0]
	want := fmt.Sprint(Offer{h.box.Gateway(), []Answer{{PCP, netip.Addr{}, nil}, {NATPMP, at, nil}, {UPnP, at, nil}}})
	if err != nil || string(out) != want {
		t.Errorf("it prints %q, %v, want %q", out, err, want)
	}
	if after := h.nft("", "list", "ruleset"); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

// TestMiniupnpdRenewsAndRestarts holds a mapping that the router would drop
// after three seconds, over a restart that forgets it.
//
// By PCP and NAT-PMP, miniupnpd 2.3.1 renews a mapping by deleting its rule and
// adding it, about a millisecond later, though nobody asked it to delete (seen
// with strace; by UPnP it only writes down the new time). A SYN in between is
// lost, and the kernel sends another after a second.
func TestMiniupnpdRenewsAndRestarts(t *testing.T) {
	for _, protocol := range Protocols() {
		t.Run(string(protocol), func(t *testing.T) {
			t.Parallel()
			h := newHome(t)
			const life = 3 * time.Second
			p, at := h.mapped(role{Protocols: []Protocol{protocol}, Lifetime: life, Check: 300 * time.Millisecond})
			machinetest.Calmly(t, func() string {
				longest := time.Duration(0)
				for begun := time.Now(); time.Since(begun) < life*3/2; {
					dialled := time.Now()
					if !h.welcomed(at, patience) {
						t.Fatalf("not let in after %v of dials", time.Since(begun))
					}
					longest = max(longest, time.Since(dialled))
				}
				if t.Logf("the longest dial took %v", longest); longest > 2900*time.Millisecond { // two SYNs lost: 3 s
					return fmt.Sprintf("it was away for longer than a SYN takes to be sent again: %v", longest)
				}
				return ""
			})
			h.router.Restart(func() {
				if h.router.Forwards() {
					t.Fatal("the restart forgot nothing")
				}
			})
			begun := time.Now()
			h.until("mapped again", h.router.Forwards)
			t.Logf("mapped again after %v", time.Since(begun).Round(time.Millisecond))
			if !h.welcomed(at, patience) {
				t.Errorf("a stranger is not let in at %s", at)
			}
			_ = p.in.Close()
			if err := p.Wait(); err != nil || h.router.Forwards() {
				t.Errorf("ended with %v, forwards: %v", err, h.router.Forwards())
			}
		})
	}
}

// TestRecheck has a router start anew, and then another one take its place:
// told to look, the mapping is made again without waiting for anything.
func TestRecheck(t *testing.T) {
	for _, protocol := range Protocols() {
		t.Run(string(protocol), func(t *testing.T) {
			t.Parallel()
			h := newHome(t)
			p, at := h.mapped(role{Protocols: []Protocol{protocol}, Check: time.Hour})
			other := h.box.Gateway().Next()
			for _, change := range []func(){
				func() {},
				func() {
					h.router.Run("ip", "addr", "flush", "dev", "lan")
					h.router.Run("ip", "addr", "add", other.String()+"/24", "dev", "lan")
					if out, err := h.host.Command(t.Context(), "ip", "route", "replace", "default", "via", other.String()).CombinedOutput(); err != nil {
						t.Fatalf("%v: %s", err, out)
					}
				},
			} {
				h.router.Restart(change)
				_, _ = io.WriteString(p.in, "\n")
				h.until("mapped again", h.router.Forwards)
				if !h.welcomed(at, patience) {
					t.Errorf("a stranger is not let in at %s", at)
				}
			}
			_ = p.in.Close()
			if err := p.Wait(); err != nil || h.router.Forwards() {
				t.Errorf("ended with %v, forwards: %v", err, h.router.Forwards())
			}
		})
	}
}

// TestSecondNAT asks a router whose own address is a carrier's: it refuses by
// each protocol, or names an address that is of no use, and nothing is left.
func TestSecondNAT(t *testing.T) {
	h := newHomeBehind(t, &natlab.NAT{})
	p, failed := h.mapped(role{})
	_ = p.in.Close()
	if err := p.Wait(); err == nil || !strings.HasPrefix(failed, "error: ") {
		t.Errorf("it says %q and ends with %v", failed, err)
	}
	if h.router.Forwards() {
		t.Errorf("the router still forwards the port:\n%s", h.router.Rules())
	}
}
