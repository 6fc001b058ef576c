package punch

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/nat"
)

var (
	open        = Side{NAT: nat.Open, Standing: true}
	cone        = Side{NAT: nat.FullCone, Delta: nat.Delta{Kind: nat.Equal}, Standing: true}
	restricted  = Side{NAT: nat.Restricted, Delta: nat.Delta{Kind: nat.Equal}, Standing: true}
	port        = Side{NAT: nat.PortRestricted, Delta: nat.Delta{Kind: nat.Equal}, Standing: true}
	plusOne     = Side{NAT: nat.Symmetric, Delta: nat.Delta{Kind: nat.Independent, Value: 1}}
	random      = Side{NAT: nat.Symmetric, Delta: nat.Delta{Kind: nat.Random}}
	blocked     = Side{NAT: nat.Blocked}
	unprobed    = Side{NAT: nat.PortRestricted}
	nothingKnow = Side{}
)

func clocked(s Side) Side { s.Clocked = true; return s }

func deep(s Side) Side { s.Depth = 1; return s }

func TestChoose(t *testing.T) {
	dial := Action{Dial: true}
	for _, c := range []struct {
		name           string
		caller, callee Side
		method         Method
		wantCaller     Action
		wantCallee     Action
	}{
		{"both stand", port, port, Timed, dial, dial},
		{"both stand, and an instant can be agreed on", clocked(deep(port)), clocked(port), Timed, dial, dial},
		{"both stand, caller knows its depth", clocked(deep(port)), port, Primed, Action{Dial: true, Prime: true}, dial},
		{"callee unprobed", port, unprobed, Timed, dial, Action{Dial: true, Probe: true}},
		{"nothing known", nothingKnow, nothingKnow, Timed, Action{Dial: true, Probe: true}, Action{Dial: true, Probe: true}},
		{"callee open", port, open, Inward, dial, Action{}},
		{"callee full cone", plusOne, cone, Inward, dial, Action{}},
		{"caller open", cone, port, Inward, Action{}, dial},
		{"caller predicted starts last", plusOne, port, Timed, Action{Dial: true, Probe: true, Last: true}, dial},
		{"callee predicted starts last", port, plusOne, Timed, dial, Action{Dial: true, Probe: true, Last: true}},
		{"caller predicted primes", deep(plusOne), port, Primed, Action{Dial: true, Probe: true, Prime: true}, dial},
		{"callee predicted primes", deep(port), deep(plusOne), Primed, dial, Action{Dial: true, Probe: true, Prime: true}},
		{"both predicted, callee primes", deep(plusOne), deep(plusOne), Primed, Action{Dial: true, Probe: true}, Action{Dial: true, Probe: true, Prime: true}},
		{"both predicted, callee last", plusOne, plusOne, Timed, Action{Dial: true, Probe: true}, Action{Dial: true, Probe: true, Last: true}},
		{"random to open", random, open, Inward, dial, Action{}},
		{"random to full cone", random, cone, Inward, dial, Action{}},
		{"random to port-restricted", random, port, ByBirthday, Action{Dial: true, Prime: true}, dial},
		{"port-restricted to random", port, random, ByBirthday, dial, Action{Dial: true, Prime: true}},
		{"random to restricted", random, restricted, Inward, Action{Dial: true, Last: true}, dial},
		{"restricted to random", deep(restricted), random, Inward, Action{Dial: true, Prime: true}, Action{Dial: true, Last: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := Choose(c.caller, c.callee)
			if err != nil {
				t.Fatal(err)
			}
			if m.Method != c.method || m.Caller != c.wantCaller || m.Callee != c.wantCallee {
				t.Errorf("got %v, caller %+v, callee %+v", m.Method, m.Caller, m.Callee)
			}
			if m.Why == "" {
				t.Error("no reason for people")
			}
		})
	}
}

func TestChooseNamesTheImpossible(t *testing.T) {
	for _, c := range []struct {
		name           string
		caller, callee Side
		want           string
	}{
		{"random both", random, random, "our NAT is symmetric (random), the peer's is symmetric (random)"},
		{"random to predictable", random, plusOne, "no port can be predicted"},
		{"predictable to random", plusOne, random, "no port can be predicted"},
		{"we are blocked", blocked, open, "our network"},
		{"the peer is blocked", open, blocked, "the peer's network"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Choose(c.caller, c.callee)
			var e *ImpossibleError
			if !errors.As(err, &e) || !strings.Contains(err.Error(), c.want) || e.Hint() == "" {
				t.Errorf("got %v", err)
			}
		})
	}
}

// Whatever is known of two ends, at most one of them primes and at most one
// starts last, and somebody dials.
func TestChooseIsSane(t *testing.T) {
	var all []Side
	for typ := nat.TypeUnknown; typ <= nat.Blocked; typ++ {
		for kind := nat.DeltaUnknown; kind <= nat.Random; kind++ {
			for _, standing := range []bool{false, true} {
				for depth := range 3 {
					all = append(all, Side{NAT: typ, Delta: nat.Delta{Kind: kind, Value: 1}, Standing: standing, Depth: depth})
				}
			}
		}
	}
	for _, a := range all {
		for _, b := range all {
			m, err := Choose(a, b)
			if err != nil {
				continue
			}
			if !m.Caller.Dial && !m.Callee.Dial || m.Caller.Prime && m.Callee.Prime || m.Caller.Last && m.Callee.Last {
				t.Fatalf("%+v and %+v: %+v", a, b, m)
			}
			if m.Method != ByBirthday && (m.Caller.Prime && a.Depth == 0 || m.Callee.Prime && b.Depth == 0) {
				t.Fatalf("%+v and %+v: an end primes without knowing its depth: %+v", a, b, m)
			}
			for _, sent := range []bool{false, true} {
				for _, act := range []Action{m.Caller, m.Callee} {
					if w := m.Wait(act, time.Second, sent); w < 0 || w > 3*time.Second {
						t.Fatalf("%+v waits %v", act, w)
					}
				}
			}
		}
	}
}

// With one message both SYNs leave one way after it was sent, and an end that
// must not start first leaves later than the other's SYN can arrive.
func TestWaits(t *testing.T) {
	const s = 50 * time.Millisecond
	m, err := Choose(port, port)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := m.Wait(m.Caller, s, true), m.Wait(m.Callee, s, false); a != s || b != 0 {
		t.Errorf("timed: caller waits %v after sending, callee %v after receiving", a, b)
	}
	if m, err = Choose(plusOne, port); err != nil {
		t.Fatal(err)
	}
	if a, b := m.Wait(m.Caller, s, true), s+m.Wait(m.Callee, s, false); a <= b+s/2 {
		t.Errorf("last: caller starts at %v, callee at %v", a, b)
	}
	if m, err = Choose(deep(port), port); err != nil {
		t.Fatal(err)
	}
	if a, b := m.Wait(m.Caller, s, true), m.Wait(m.Callee, s, false); a != 0 || b != 0 {
		t.Errorf("primed: caller waits %v, callee %v", a, b)
	}
	if m, err = Choose(deep(restricted), random); err != nil {
		t.Fatal(err)
	}
	if a, b := m.Wait(m.Caller, s, true), m.Wait(m.Callee, s, false); a != 0 || b != 0 {
		t.Errorf("inward: the opener waits %v, and who is told when it is done %v", a, b)
	}
	if b := m.Wait(m.Callee, s, true); b <= s || b > 2*s {
		t.Errorf("inward: who tells the opener waits %v", b)
	}
}
