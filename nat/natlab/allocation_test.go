package natlab

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/nat"
)

func anyPort(uint16) bool { return true }

// allocated gives the ports that local ports get one after another.
func allocated(t *testing.T, cfg NAT, locals []uint16) []int {
	t.Helper()
	cfg, err := cfg.filled()
	if err != nil {
		t.Fatal(err)
	}
	a := newAllocator(cfg, rand.New(rand.NewPCG(3, 4)))
	var ports []int
	for _, local := range locals {
		port, ok := a.next(0, netip.AddrPortFrom(inside1.Addr(), local), anyPort)
		if !ok {
			t.Fatal("no port")
		}
		if port < cfg.Range[0] || port > cfg.Range[1] {
			t.Errorf("port %d outside %v", port, cfg.Range)
		}
		ports = append(ports, int(port))
	}
	return ports
}

// distances gives the steps from each port to the next, modulo n.
func distances(ports []int, n int) []int {
	var d []int
	for i := 1; i < len(ports); i++ {
		d = append(d, ((ports[i]-ports[i-1])%n+n)%n)
	}
	return d
}

func TestAllocation(t *testing.T) {
	const size = 1000
	span := [2]uint16{40000, 40000 + size - 1}
	scattered := []uint16{40100, 40007, 40950, 40500, 40501}
	inRow := []uint16{40100, 40101, 40102, 40103, 40104}
	tests := []struct {
		name   string
		ports  nat.Delta
		locals []uint16
		steps  []int // nil: no two alike
	}{
		{"equal", nat.Delta{Kind: nat.Equal}, scattered, distances([]int{40100, 40007, 40950, 40500, 40501}, size)},
		{"preserving", nat.Delta{Kind: nat.Preserving}, scattered, distances([]int{40100, 40007, 40950, 40500, 40501}, size)},
		{"independent +1", nat.Delta{Kind: nat.Independent, Value: 1}, scattered, []int{1, 1, 1, 1}},
		{"independent +7", nat.Delta{Kind: nat.Independent, Value: 7}, inRow, []int{7, 7, 7, 7}},
		{"independent -2", nat.Delta{Kind: nat.Independent, Value: -2}, scattered, []int{size - 2, size - 2, size - 2, size - 2}},
		{"independent wraps", nat.Delta{Kind: nat.Independent, Value: 400}, scattered, []int{400, 400, 400, 400}},
		{"dependent in a row", nat.Delta{Kind: nat.Dependent, Value: 3}, inRow, []int{3, 3, 3, 3}},
		{"dependent scattered", nat.Delta{Kind: nat.Dependent, Value: 3}, scattered[:4], nil},
		{"random", nat.Delta{Kind: nat.Random}, inRow, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := distances(allocated(t, NAT{Ports: tt.ports, Range: span}, tt.locals), size)
			if tt.steps != nil {
				if !slices.Equal(got, tt.steps) {
					t.Errorf("steps %v, want %v", got, tt.steps)
				}
				return
			}
			slices.Sort(got)
			if len(slices.Compact(got)) != len(tt.locals)-1 {
				t.Errorf("steps %v repeat", got)
			}
		})
	}
	if got := allocated(t, NAT{Ports: nat.Delta{Kind: nat.Equal}}, scattered); got[0] != 40100 {
		t.Errorf("equal gave %d for 40100", got[0])
	}
	if got := allocated(t, NAT{Ports: nat.Delta{Kind: nat.Preserving}}, scattered); got[0] == 40100 {
		t.Error("preserving is the same as equal")
	}
}

func TestAllocationTaken(t *testing.T) {
	taken := map[uint16]bool{}
	free := func(p uint16) bool { return !taken[p] }
	for _, kind := range []nat.Delta{{Kind: nat.Equal}, {Kind: nat.Preserving}, {Kind: nat.Independent, Value: 2}, {Kind: nat.Dependent, Value: 1}, {Kind: nat.Random}} {
		clear(taken)
		cfg, err := NAT{Ports: kind, Range: [2]uint16{5000, 5049}}.filled()
		if err != nil {
			t.Fatal(err)
		}
		a := newAllocator(cfg, rand.New(rand.NewPCG(3, 4)))
		for i := range 50 { // the same local port again and again, until the range is full
			port, ok := a.next(0, inside1, free)
			if !ok || taken[port] || port < 5000 || port > 5049 {
				t.Fatalf("%v: allocation %d gave %d, %v", kind, i, port, ok)
			}
			taken[port] = true
		}
		if port, ok := a.next(0, inside1, free); ok {
			t.Errorf("%v: %d from a full range", kind, port)
		}
	}
}

func TestForeign(t *testing.T) {
	cfg, err := NAT{Ports: nat.Delta{Kind: nat.Independent, Value: 1}, Foreign: 20}.filled()
	if err != nil {
		t.Fatal(err)
	}
	a := newAllocator(cfg, rand.New(rand.NewPCG(3, 4)))
	first, _ := a.next(0, inside1, anyPort)
	second, _ := a.next(100*time.Second, inside1, anyPort)
	// Poisson with mean 2000 has a deviation of 45.
	if d := distances([]int{int(first), int(second)}, a.n)[0]; d < 1700 || d > 2300 {
		t.Errorf("%d ports went to others in 100 s at 20 a second", d-1)
	}
	if _, ok := a.next(1e6*time.Second, inside1, anyPort); !ok || a.arrival < 1e6*time.Second {
		t.Error("a long time was not bounded")
	}
}
