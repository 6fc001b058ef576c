package natlab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sallyport-net/sallyport/nat"
	"github.com/sallyport-net/sallyport/nat/machinetest"
)

// Two hosts, each behind a NAT with 20 ms to the internet: 40 ms apart.
const (
	access = 20 * time.Millisecond
	apart  = 2 * access

	// slack is what the machine may add. It is less than the second after
	// which a kernel repeats a SYN, so a lost one can't hide in it.
	slack = 600 * time.Millisecond
)

// pair is two peers about to meet.
type pair struct {
	lab  *Lab
	a, b *Host
	// drops has an entry for every packet that a box dropped.
	drops chan string
}

func newPair(t *testing.T, a, b NAT) *pair {
	t.Helper()
	p := &pair{drops: make(chan string, 1000)}
	p.lab = newLab(t, Config{Seed: 11, Logger: slog.New(dropHandler{p.drops})})
	host := func(cfg NAT) *Host {
		cfg.Delay = access
		return newHost(t, p.lab, HostConfig{Behind: newBox(t, p.lab, cfg)})
	}
	p.a, p.b = host(a), host(b)
	return p
}

// dropHandler is a slog.Handler that passes on why packets were dropped.
type dropHandler struct{ drops chan<- string }

func (dropHandler) Enabled(context.Context, slog.Level) bool { return true }
func (h dropHandler) WithAttrs([]slog.Attr) slog.Handler     { return h }
func (h dropHandler) WithGroup(string) slog.Handler          { return h }
func (h dropHandler) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "why" {
			select {
			case h.drops <- a.Value.String():
			default:
			}
		}
		return true
	})
	return nil
}

// await waits until a packet has been dropped for that reason.
func (p *pair) await(t *testing.T, why string) {
	t.Helper()
	limit := time.After(patience)
	for {
		select {
		case got := <-p.drops:
			if got == why {
				return
			}
		case <-limit:
			t.Fatalf("no packet was dropped for %q", why)
		}
	}
}

const punchPort = 40000

// result is what became of one side's connect.
type result struct {
	at  time.Time // a byte of the peer's had come, or the failure
	err error
}

// punch has h connect once from punchPort to the same port of peer, and trade
// a byte.
func punch(h, peer *Host, timeout time.Duration) <-chan result {
	done := make(chan result, 1)
	go func() {
		d := &net.Dialer{Timeout: timeout, Control: reuse, LocalAddr: &net.TCPAddr{IP: h.Addr().AsSlice(), Port: punchPort}}
		c, err := h.Dial(context.Background(), d, "tcp4", netip.AddrPortFrom(peer.External(), punchPort).String())
		if err == nil {
			c.SetDeadline(time.Now().Add(timeout))
			c.Write([]byte{1})
			_, err = io.ReadFull(c, make([]byte, 1))
			defer c.Close()
		}
		done <- result{time.Now(), err}
	}()
	return done
}

// together punches from both sides at once and gives the time until both have
// the other's byte.
func (p *pair) together(timeout time.Duration) (time.Duration, error) {
	start := time.Now()
	a, b := punch(p.a, p.b, timeout), punch(p.b, p.a, timeout)
	ra, rb := <-a, <-b
	end := ra.at
	if rb.at.After(end) {
		end = rb.at
	}
	return end.Sub(start), errors.Join(ra.err, rb.err)
}

var random = nat.Delta{Kind: nat.Random}

// Both connect at once: field notes, first column.
func TestPunchTogether(t *testing.T) {
	for _, tt := range []struct {
		name string
		nat  NAT
	}{
		{"drop", NAT{}}, {"rst", NAT{Refuse: RST, EndOnRST: true}},
		{"icmp port", NAT{Refuse: PortICMP}}, {"icmp prohibited", NAT{Refuse: ProhibitedICMP}},
		{"kernel drop", NAT{Kernel: true}}, {"kernel rst", NAT{Kernel: true, Refuse: RST}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			machinetest.Calmly(t, func() string {
				p := newPair(t, tt.nat, tt.nat)
				took, err := p.together(patience)
				if err != nil {
					return err.Error()
				}
				t.Log(took)
				if took < 3*apart {
					t.Errorf("took %v, less than 3 one-way delays", took)
				}
				if took > 3*apart+slack {
					return fmt.Sprintf("it took %v, want about %v", took, 3*apart)
				}
				return ""
			})
		})
	}
}

// One SYN has reached the other NAT before that one's own has left.
func TestPunchSkewed(t *testing.T) {
	for _, tt := range []struct {
		name string
		nat  NAT
		want error // of the side that starts first; nil: both connect
	}{
		{"drop", NAT{}, nil},
		{"kernel drop", NAT{Kernel: true}, nil},
		{"rst", NAT{Refuse: RST}, syscall.ECONNREFUSED},
		{"kernel rst", NAT{Kernel: true, Refuse: RST}, syscall.ECONNREFUSED},
		{"icmp port", NAT{Refuse: PortICMP}, syscall.ECONNREFUSED},
		{"kernel icmp port", NAT{Kernel: true, Refuse: PortICMP}, syscall.ECONNREFUSED},
		{"icmp prohibited", NAT{Refuse: ProhibitedICMP}, syscall.EHOSTUNREACH},
		{"icmp host", NAT{Refuse: HostICMP}, syscall.EHOSTUNREACH},
	} {
		t.Run(tt.name, func(t *testing.T) {
			machinetest.Calmly(t, func() string {
				p := newPair(t, tt.nat, tt.nat)
				out := make(chan struct{}, 100)
				p.lab.Watch(func(seen Packet) {
					if seen.SYN() {
						out <- struct{}{}
					}
				})
				first := punch(p.a, p.b, patience)
				if tt.want != nil {
					if r := <-first; !errors.Is(r.err, tt.want) {
						t.Errorf("got %v, want %v", r.err, tt.want)
					}
					return ""
				}
				if tt.nat.Kernel { // which doesn't tell; but a ping on the same link comes after the SYN
					<-out
					roundTrip(t, newHost(t, p.lab, HostConfig{}), p.b.External())
				} else {
					p.await(t, "unsolicited")
				}
				start := time.Now()
				second := <-punch(p.b, p.a, patience)
				if r := <-first; r.err != nil || second.err != nil {
					return fmt.Sprint(r.err, second.err)
				}
				took := second.at.Sub(start)
				t.Log(took)
				if took < 3*apart || took > 4*apart+slack {
					return fmt.Sprintf("it took %v, want %v to %v", took, 3*apart, 4*apart)
				}
				return ""
			})
		})
	}
}

func TestPunchImpossible(t *testing.T) {
	for _, tt := range []struct {
		name string
		nat  NAT
	}{
		{"no simultaneous open", NAT{NoSimultaneousOpen: true}},
		{"random", NAT{Mapping: nat.AddressAndPortDependent, Ports: random}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPair(t, tt.nat, tt.nat)
			if _, err := p.together(10 * apart); !errors.Is(err, context.DeadlineExceeded) && !isTimeout(err) {
				t.Errorf("got %v, want a timeout", err)
			}
		})
	}
}

func isTimeout(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}

// ttlSocket sets IP_TTL, and IP_MINTTL if not 0.
func ttlSocket(ttl, minTTL int) func(string, string, syscall.RawConn) error {
	return func(network, address string, c syscall.RawConn) error {
		if err := reuse(network, address, c); err != nil {
			return err
		}
		var err error
		c.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TTL, ttl)
			if minTTL != 0 {
				err = errors.Join(err, unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MINTTL, minTTL))
			}
		})
		return err
	}
}

// Where a SYN dies, by its TTL, and what its sender hears of it.
func TestTTL(t *testing.T) {
	for _, tt := range []struct {
		name    string
		carrier bool
		kernel  bool // the peer's NAT
		ttl     int
		at      string // the router that says so: own, carrier, core, peer
	}{
		{"own NAT", false, false, 1, "own"},
		{"core", false, false, 2, "core"},
		{"peer's NAT", false, false, 3, "peer"},
		{"past the peer's NAT", false, false, 4, ""},
		{"a kernel answers at 1", false, true, 3, "refused"},
		{"carrier", true, false, 2, "carrier"},
		{"core behind carrier", true, false, 3, "core"},
		{"peer's NAT behind carrier", true, false, 4, "peer"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t, Config{})
			var behind *Box
			if tt.carrier {
				behind = newBox(t, l, NAT{Name: "carrier"})
			}
			own := newBox(t, l, NAT{Behind: behind})
			peer := newBox(t, l, NAT{Refuse: RST, Kernel: tt.kernel})
			h := newHost(t, l, HostConfig{Behind: own})
			var from atomic.Pointer[netip.Addr]
			l.Watch(func(p Packet) {
				if p.Proto == protoICMP && p.Type == icmpTypes[timeExceeded] {
					a := p.Src.Addr()
					from.Store(&a)
				}
			})
			target := netip.AddrPortFrom(peer.Externals()[0], punchPort).String()
			d := &net.Dialer{Timeout: patience, Control: ttlSocket(tt.ttl, 0)}
			_, err := h.Dial(context.Background(), d, "tcp4", target)
			if tt.at == "" || tt.at == "refused" {
				if !errors.Is(err, syscall.ECONNREFUSED) {
					t.Fatalf("got %v, want the peer's RST", err)
				}
				return
			}
			if !errors.Is(err, syscall.EHOSTUNREACH) {
				t.Fatalf("got %v, want time exceeded", err)
			}
			var want netip.Addr
			switch tt.at {
			case "core":
				want = newSubnet(netip.PrefixFrom(h.External(), publicBits).Masked()).gateway()
			case "peer":
				want = peer.Externals()[0]
			}
			if got := from.Load(); (got == nil) != !want.IsValid() || got != nil && *got != want {
				t.Errorf("time exceeded from %v at the core, want %v", got, want)
			}
			// With IP_MINTTL above the error's TTL the socket hears nothing of it.
			d = &net.Dialer{Timeout: 300 * time.Millisecond, Control: ttlSocket(tt.ttl, 65)}
			if _, err := h.Dial(context.Background(), d, "tcp4", target); !isTimeout(err) {
				t.Errorf("with IP_MINTTL: got %v, want a timeout", err)
			}
		})
	}
}

// Priming, from the field notes: the primer's SYN dies between the NATs, and
// the other side's own, whenever it comes, is through in two one-way delays,
// on NATs that answer an early SYN as well.
func TestPriming(t *testing.T) {
	for _, cfg := range []NAT{{Refuse: RST, EndOnRST: true}, {Refuse: HostICMP}, {Refuse: RST, Kernel: true}} {
		t.Run(fmt.Sprintf("%v kernel %v", cfg.Refuse, cfg.Kernel), func(t *testing.T) {
			machinetest.Calmly(t, func() string {
				p := newPair(t, cfg, cfg)
				died := make(chan struct{}, 10)
				p.lab.Watch(func(seen Packet) {
					if seen.SYN() && seen.TTL <= 1 {
						died <- struct{}{}
					}
				})
				sockets := make(chan syscall.RawConn, 1)
				lowTTL := ttlSocket(2, 2)
				primer := &net.Dialer{
					Timeout: patience, LocalAddr: &net.TCPAddr{IP: p.a.Addr().AsSlice(), Port: punchPort},
					Control: func(network, address string, c syscall.RawConn) error {
						sockets <- c
						return lowTTL(network, address, c)
					},
				}
				primed := make(chan error, 1)
				go func() {
					c, err := p.a.Dial(context.Background(), primer, "tcp4", netip.AddrPortFrom(p.b.External(), punchPort).String())
					if err == nil {
						_, err = io.Copy(c, c)
						c.Close()
					}
					primed <- err
				}()
				select {
				case <-died:
				case err := <-primed:
					return fmt.Sprint(err)
				case <-time.After(patience):
					t.Fatal("no SYN died at the core")
				}
				(<-sockets).Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TTL, 64) })
				start := time.Now()
				c, err := dialFrom(p.b, netip.AddrPortFrom(p.b.Addr(), punchPort), netip.AddrPortFrom(p.a.External(), punchPort))
				took := time.Since(start)
				if err != nil {
					return err.Error()
				}
				c.Close()
				if err := <-primed; err != nil {
					return err.Error()
				}
				if took < 2*apart || took > 2*apart+slack {
					return fmt.Sprintf("it took %v, want about %v", took, 2*apart)
				}
				return ""
			})
		})
	}
}
