package memory

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var (
	noon   = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	here   = Pair{1}
	direct = Way{Strategy: "direct"}
	timed  = Way{Strategy: "punch", Method: "timed"}
	anew   = Way{Strategy: "punch", Method: "timed", Anew: true}
)

// lesson is what one call met.
type lesson struct {
	after  time.Duration // since the last one
	worked *Way
	failed []Way
}

func TestAdvice(t *testing.T) {
	won := func(w Way, failed ...Way) lesson { return lesson{worked: &w, failed: failed} }
	lost := func(failed ...Way) lesson { return lesson{failed: failed} }
	after := func(d time.Duration, l lesson) lesson { l.after = d; return l }
	for _, c := range []struct {
		name                    string
		met                     []lesson
		directWorks, hopeless   bool
		punchWorks, anewInstead bool
	}{
		{name: "nothing"},
		{name: "direct once", met: []lesson{won(direct)}, directWorks: true},
		{name: "direct, then not", met: []lesson{won(direct), won(timed, direct)}, punchWorks: true},
		{name: "direct again after that", met: []lesson{won(direct), won(timed, direct), won(direct)}, directWorks: true, punchWorks: true},
		{name: "punch beside direct, once", met: []lesson{won(timed, direct)}, punchWorks: true},
		{name: "punch beside direct, twice", met: []lesson{won(timed, direct), won(timed, direct)}, punchWorks: true, hopeless: true},
		{name: "nothing worked", met: []lesson{lost(direct, timed), lost(direct, timed), lost(direct, timed)}},
		{name: "punch worked once and not any more", met: []lesson{won(timed, direct), lost(direct, timed), lost(direct, timed)}},
		{name: "anew after the first round", met: []lesson{won(anew, timed), won(anew, timed)}, anewInstead: true},
		{name: "anew once", met: []lesson{won(anew, timed)}},
		{name: "anew, failed since", met: []lesson{won(anew, timed), won(anew, timed), lost(anew, timed)}},
		{name: "anew, though the first round worked long ago", met: []lesson{won(timed), won(anew, timed), won(anew, timed)}},
		{name: "expired", met: []lesson{won(direct), after(Lasts+time.Second, won(timed))}, punchWorks: true},
		{name: "not quite expired", met: []lesson{won(direct), after(Lasts-time.Second, won(timed))}, directWorks: true, punchWorks: true},
		{
			// What is hopeless is not tried, so that it gets its chance when it expires.
			name: "hopeless expires", met: []lesson{won(timed, direct), won(timed, direct), after(Lasts/2, won(timed)), after(Lasts/2+time.Minute, won(timed))},
			punchWorks: true,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			var m Memory
			now := noon
			for _, l := range c.met {
				now = now.Add(l.after)
				m.Learn(now, here, l.worked, l.failed...)
			}
			a := m.Advise(now, here)
			if a.Empty() != (len(c.met) == 0) {
				t.Errorf("empty %v", a.Empty())
			}
			for _, q := range []struct {
				what      string
				got, want bool
			}{
				{"direct works", a.Works(direct), c.directWorks},
				{"direct is hopeless", a.Hopeless(direct), c.hopeless},
				{"punch works", a.Works(timed), c.punchWorks},
				{"rather anew", a.Rather(timed, anew), c.anewInstead},
			} {
				if q.got != q.want {
					t.Errorf("%s: %v, want %v", q.what, q.got, q.want)
				}
			}
			if other := m.Advise(now, Pair{2}); !other.Empty() {
				t.Error("another pair learned from it")
			}
		})
	}
}

func TestTheOldestPairGoesFirst(t *testing.T) {
	var m Memory
	name := func(n int) Pair { return Pair{byte(n), byte(n >> 8)} }
	for n := range MaxPairs + 10 {
		m.Learn(noon.Add(time.Duration(n)*time.Second), name(n), &direct)
		if n == MaxPairs-1 { // the first is used again
			m.Learn(noon.Add(time.Duration(n)*time.Second), name(0), &direct)
		}
	}
	if m.Len() != MaxPairs {
		t.Errorf("%d pairs", m.Len())
	}
	for n, want := range map[int]bool{0: true, 1: false, 10: false, 11: true, MaxPairs + 9: true} {
		if got := !m.Advise(noon, name(n)).Empty(); got != want {
			t.Errorf("pair %d is remembered: %v, want %v", n, got, want)
		}
	}
}

func TestWordsOnly(t *testing.T) {
	var m Memory
	for _, w := range []Way{{}, {Strategy: "Direct"}, {Strategy: "1.2.3.4"}, {Strategy: "abcdefghijklmnopq"}, {Strategy: "punch", Method: "a b"}} {
		m.Learn(noon, here, &w, w)
	}
	if m.Len() != 0 {
		t.Error("what is no way was remembered")
	}
}

// Whatever is learned in whatever order, a memory stays small, forgets in time,
// and comes back from its file as it was.
func TestBoundedWhateverHappens(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		var m Memory
		now := noon
		way := rapid.Custom(func(t *rapid.T) Way {
			return Way{
				Strategy: rapid.StringMatching(`[a-d]`).Draw(t, "strategy"), Method: rapid.StringMatching(`[a-d]?`).Draw(t, "method"),
				Anew: rapid.Bool().Draw(t, "anew"),
			}
		})
		spread := rapid.SampledFrom([]int{1, 600, 1 << 16}).Draw(t, "networks")
		for range rapid.IntRange(0, 1500).Draw(t, "calls") {
			now = now.Add(time.Duration(rapid.Int64Range(-int64(time.Hour), int64(12*time.Hour)).Draw(t, "pause")))
			n := rapid.IntRange(0, spread).Draw(t, "network")
			var worked *Way
			if rapid.Bool().Draw(t, "won") {
				w := way.Draw(t, "worked")
				worked = &w
			}
			m.Learn(now, Pair{byte(n), byte(n >> 8)}, worked, rapid.SliceOfN(way, 0, 3).Draw(t, "failed")...)
		}
		if m.Len() > MaxPairs {
			t.Fatalf("%d pairs", m.Len())
		}
		for p, ways := range m.pairs {
			if len(ways) == 0 || len(ways) > MaxWays {
				t.Fatalf("%d ways of %x", len(ways), p)
			}
		}
		path := dir + "/" + fmt.Sprint(time.Now().UnixNano())
		if err := m.Save(now, path); err != nil {
			t.Fatal(err)
		}
		back, err := Load(now, path)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := fmt.Sprint(back.file()), fmt.Sprint(m.file()); got != want {
			t.Fatalf("read back:\n%s\nwritten:\n%s", got, want)
		}
		if m.Learn(now.Add(2*Lasts), here, nil); m.Len() != 0 {
			t.Fatalf("%d pairs are left after a long time", m.Len())
		}
	})
}

func TestName(t *testing.T) {
	ip := netip.MustParseAddr
	us := Network{ip("198.51.100.7"), ip("192.168.1.5")}
	name := Name([]byte("secret"), us, []byte("peer"), ip("203.0.113.9"))
	for _, c := range []struct {
		what   string
		secret string
		here   Network
		peer   string
		there  string
		same   bool
	}{
		{"the same", "secret", us, "peer", "203.0.113.9", true},
		{"neighbouring addresses", "secret", Network{ip("198.51.100.8"), ip("192.168.1.77")}, "peer", "203.0.113.200", true},
		{"mapped into IPv6", "secret", Network{ip("::ffff:198.51.100.7"), ip("192.168.1.5")}, "peer", "203.0.113.9", true},
		{"another secret", "Secret", us, "peer", "203.0.113.9", false},
		{"another peer", "secret", us, "Peer", "203.0.113.9", false},
		{"the peer elsewhere", "secret", us, "peer", "203.0.114.9", false},
		{"the peer on IPv6", "secret", us, "peer", "2001:db8::1", false},
		{"we elsewhere", "secret", Network{ip("198.51.101.7"), ip("192.168.1.5")}, "peer", "203.0.113.9", false},
		{"another LAN of ours", "secret", Network{ip("198.51.100.7"), ip("10.0.0.5")}, "peer", "203.0.113.9", false},
		{"no LAN", "secret", Network{External: ip("198.51.100.7")}, "peer", "203.0.113.9", false},
	} {
		if got := Name([]byte(c.secret), c.here, []byte(c.peer), ip(c.there)); (got == name) != c.same {
			t.Errorf("%s: same %v, want %v", c.what, got == name, c.same)
		}
	}
	six := Name(nil, Network{External: ip("2001:db8:1:2::3")}, nil, ip("2001:db8:5::"))
	if six != Name(nil, Network{External: ip("2001:db8:1:ffff::1")}, nil, ip("2001:db8:5:1::2")) {
		t.Error("one /48 of IPv6 is two networks")
	}
}
