package probe

import (
	"slices"
	"testing"
	"time"
)

func TestPatience(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		asked int
		rtts  []time.Duration
		want  time.Duration
	}{
		{0, nil, 0},
		{6, nil, mostWait},
		{1, []time.Duration{80 * ms}, 0},
		{6, []time.Duration{80 * ms}, 750 * ms},
		{6, []time.Duration{80 * ms, 90 * ms}, 500 * ms},
		{6, []time.Duration{80 * ms, 90 * ms, 70 * ms}, 250 * ms},
		{6, []time.Duration{200 * ms, 210 * ms, 220 * ms, 230 * ms}, 460 * ms},
		{5, []time.Duration{50 * ms, 50 * ms, 50 * ms, 900 * ms}, 1500 * ms},
	} {
		if got := patience(c.asked, c.rtts); got != c.want {
			t.Errorf("%d asked, %v: %v, want %v", c.asked, c.rtts, got, c.want)
		}
	}
}

func TestDefaultServers(t *testing.T) {
	for range 100 {
		udp, tcp := DefaultServers(), DefaultTCPServers()
		changing := 0
		for _, s := range udp {
			if slices.Contains(defaultChanging, s) {
				changing++
			}
		}
		slices.Sort(udp)
		slices.Sort(tcp)
		if len(slices.Compact(udp)) != mostServers || changing < 2 || len(slices.Compact(tcp)) != mostTCPServers {
			t.Fatalf("%q, %q", udp, tcp)
		}
	}
	for _, s := range slices.Concat(defaultChanging, defaultSteady, defaultTCP) {
		if _, err := lookup(t.Context(), nowhere{}, "ip4", s); err == nil || err.Error() != "STUN server \""+s+"\": nowhere" {
			t.Errorf("%v", err)
		}
	}
}
