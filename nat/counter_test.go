package nat

import (
	"net/netip"
	"testing"
	"time"
)

// sample is what a server saw at so many seconds.
func sampleAt(seconds float64, port uint16) Mapping {
	return Mapping{
		Local:    netip.MustParseAddrPort("192.168.1.2:40000"),
		External: netip.AddrPortFrom(netip.MustParseAddr("52.1.1.1"), port),
		Server:   netip.MustParseAddrPort("51.1.1.1:3478"),
		At:       time.Unix(1000, 0).Add(time.Duration(seconds * float64(time.Second))),
	}
}

func TestCounterDrift(t *testing.T) {
	type seen struct {
		at   float64
		port uint16
	}
	for _, c := range []struct {
		name     string
		step     int
		samples  []seen
		now      float64
		min, max float64
		ok       bool
	}{
		{"nothing", 1, nil, 0, 0, 0, false},
		{"one sample", 1, []seen{{0, 5000}}, 1, 0, 0, false},
		{"silence of 20 s", 1, []seen{{0, 5000}, {20, 5001}}, 30, 0.2, 0.3, true},
		{"a short silence proves little", 1, []seen{{0, 5000}, {0.1, 5001}}, 10.1, 49, 51, true},
		{"twenty a second", 1, []seen{{0, 5000}, {1, 5021}}, 2, 20, 21, true},
		{"step of two", 2, []seen{{0, 5000}, {10, 5002}}, 20, 0.4, 0.6, true},
		{"downwards", -1, []seen{{0, 5000}, {10, 4996}}, 20, 3.4, 3.6, true},
		{"wraps", 1, []seen{{0, 65535}, {10, 1024}}, 20, 0.4, 0.6, true},
		{"not a multiple of the step", 2, []seen{{0, 5000}, {10, 5003}}, 20, 0, 0, false},
		{"the same port again", 1, []seen{{0, 5000}, {10, 5000}}, 20, 0, 0, false},
		{"the clock went back", 1, []seen{{10, 5000}, {5, 5001}}, 20, 0, 0, false},
		{"a neighbour has started", 1, []seen{{0, 5000}, {20, 5001}, {40, 5002}, {41, 5042}}, 42, 0.9, 1.1, true},
		{"and old silence is forgotten", 1, []seen{{0, 5000}, {600, 5001}, {601, 5011}, {602, 5021}, {603, 5031}, {604, 5041}}, 605, 8, 10, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			counter := Counter{Step: c.step}
			for _, s := range c.samples {
				counter = counter.Add(sampleAt(s.at, s.port))
			}
			got, ok := counter.Drift(sampleAt(c.now, 1).At)
			if ok != c.ok || got < c.min || got > c.max {
				t.Errorf("drift %v, %v; want %v to %v, %v", got, ok, c.min, c.max, c.ok)
			}
		})
	}
}

func TestCounterBeginsAnewElsewhere(t *testing.T) {
	m := sampleAt(20, 5001)
	m.External = netip.AddrPortFrom(netip.MustParseAddr("52.9.9.9"), 5001)
	c := Counter{Step: 1}.Add(sampleAt(0, 5000)).Add(m)
	if _, ok := c.Drift(m.At); ok {
		t.Error("two external addresses are taken for one counter")
	}
}

func TestCounterSkipsOurOwnPorts(t *testing.T) {
	c := Counter{Step: 1}.Add(sampleAt(0, 5000)).Add(sampleAt(20, 5001)).Skip()
	if _, ok := c.Drift(sampleAt(21, 1).At); ok {
		t.Error("the next port is known although our own have moved the counter")
	}
	c = c.Add(sampleAt(22, 5010)) // eight of them were ours
	if got, ok := c.Drift(sampleAt(32, 1).At); !ok || got > 0.5 {
		t.Errorf("drift %v, %v: our own ports count as those of others", got, ok)
	}
}
