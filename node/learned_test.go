package node_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/nat"
	"github.com/sallyport-net/sallyport/nat/natlab"
	"github.com/sallyport-net/sallyport/node"
)

// scholar is a caller that remembers: each of its lives is a process of its own.
type scholar struct {
	*world
	host  *natlab.Host
	state string
	key   string
}

func newScholar(w *world, in terrain) *scholar {
	secret, _ := newKey(w.t)
	return &scholar{w, w.behind("caller", in.nat), w.t.(*testing.T).TempDir(), secret}
}

// live starts the caller, connects once, and ends it, so that all is written.
func (s *scholar) live(target string, change ...func(*role)) reply {
	s.t.Helper()
	a := s.node(s.host, append(change, func(r *role) { r.State, r.Key = s.state, s.key })...)
	r := a.do(order{Connect: target})
	a.end()
	return r
}

// book is the file, as a reader from outside sees it.
type book struct {
	Version int `json:"version"`
	Pairs   []struct {
		Pair string `json:"pair"`
		Ways []page `json:"ways"`
	} `json:"pairs"`
}

type page struct {
	Strategy   string `json:"strategy"`
	Method     string `json:"method,omitempty"`
	Anew       bool   `json:"anew,omitempty"`
	Worked     int    `json:"worked"`
	Failed     int    `json:"failed"`
	LastWorked int64  `json:"last_worked"`
	LastFailed int64  `json:"last_failed"`
}

func (s *scholar) path() string { return filepath.Join(s.state, "networks.json") }

func (s *scholar) read() book {
	s.t.Helper()
	var b book
	text, err := os.ReadFile(s.path())
	if err != nil {
		s.t.Fatal(err)
	}
	if err := json.Unmarshal(text, &b); err != nil || len(b.Pairs) != 1 {
		s.t.Fatalf("%d pairs, %v: %s", len(b.Pairs), err, text)
	}
	return b
}

// believe makes the caller remember something else of the one pair it knows.
func (s *scholar) believe(ways ...page) {
	s.t.Helper()
	b := s.read()
	for k := range ways {
		if ways[k].Worked > 0 {
			ways[k].LastWorked = time.Now().Unix() - 60
		}
		if ways[k].Failed > 0 {
			ways[k].LastFailed = time.Now().Unix() - 60
		}
	}
	b.Pairs[0].Ways = ways
	text, err := json.Marshal(b)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(s.path(), text, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// way finds what is remembered of one.
func (s *scholar) way(strategy string, anew bool) page {
	s.t.Helper()
	for _, p := range s.read().Pairs[0].Ways {
		if p.Strategy == strategy && p.Anew == anew {
			return p
		}
	}
	return page{}
}

// taught gives a caller that has called so many times, each with the outcome that is
// the lesson. On a busy machine, where it may be another, others are taught after it.
func taught(w *world, in terrain, target string, times int, ok func(reply) bool) *scholar {
	w.t.Helper()
	for n := 0; ; n++ {
		s, r := newScholar(w, in), reply{}
		for range times {
			if r = s.live(target); !ok(r) {
				break
			}
		}
		if ok(r) {
			return s
		}
		why := busy()
		if why == "" || n == excused {
			w.t.Fatalf("via %q, error %q\n%s", r.Via, r.Error, strings.Join(r.Log, "\n"))
		}
		w.t.Logf("via %q, error %q: another caller is taught, since %s", r.Via, r.Error, why)
	}
}

func has(r reply, what string) bool { return strings.Contains(strings.Join(r.Log, "\n"), what) }

// disguised is an address that says port-restricted where anybody may dial in:
// a port is forwarded, and no probe can know.
func disguised(t testing.TB, text string) string {
	t.Helper()
	a, err := address.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	a.V4[0].NAT, a.V4[0].Delta = nat.PortRestricted, nat.Delta{Kind: nat.Equal}
	return a.String()
}

// tries is how often a call is repeated whose haste is in question: other work on
// the machine may slow any of them.
const tries = 12

// when gives when a call first noted something; false where it did not.
func when(r reply, what string) (at time.Duration, ok bool) {
	for _, line := range r.Log {
		if strings.Contains(line, what) {
			text, _, _ := strings.Cut(line, " ")
			at, err := time.ParseDuration(text)
			return at, err == nil
		}
	}
	return 0, false
}

// dialsFirst reports whether a call has dialled before its punch had a mapping.
func dialsFirst(r reply) bool {
	dial, dialled := when(r, "direct dialling")
	mapping, mapped := when(r, "seen as")
	return dialled && (!mapped || dial < mapping)
}

func TestLearned(t *testing.T) {
	t.Parallel()
	t.Run("a forwarded port is dialled at once", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		callee := w.node(w.host("callee", nil))
		target := disguised(t, callee.Address)
		caller := newScholar(w, plusOne) // which otherwise dials only after its punch has a mapping
		if naive := w.node(caller.host).mustConnect(target, 0); dialsFirst(naive) && has(naive, "seen as") {
			t.Errorf("dialled at once without a lesson:\n%s", strings.Join(naive.Log, "\n"))
		}
		if r := caller.live(target, func(r *role) { r.Only = []node.Strategy{node.Direct} }); r.Error != "" {
			t.Fatal(r.Error)
		}
		if p := caller.way("direct", false); p.Worked != 1 || p.Failed != 0 {
			t.Errorf("remembered: %+v", p)
		}
		r := caller.live(target)
		for n := 1; n < tries && r.Error == "" && !dialsFirst(r); n++ {
			r = caller.live(target)
		}
		if r.Error != "" || r.Via != node.Direct || !dialsFirst(r) {
			t.Errorf("via %q after %v, error %q\n%s", r.Via, r.Usable, r.Error, strings.Join(r.Log, "\n"))
		}
	})
	t.Run("a hopeless dial waits", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		callee := w.node(w.behind("callee", home.nat))
		caller := taught(w, home, callee.Address, 2, func(r reply) bool { return r.Via == node.Punch && has(r, "direct dialling") })
		r := caller.live(callee.Address)
		at, dialled := when(r, "direct dialling")
		if r.Via != node.Punch || dialled && at < time.Second { // the wait is a second, and a busy machine may be slower
			t.Errorf("via %q, error %q\n%s", r.Via, r.Error, strings.Join(r.Log, "\n"))
		}
		if p := caller.way("direct", false); p.Worked != 0 || p.Failed != 2 && !dialled {
			t.Errorf("direct: %+v", p)
		}
		if p := caller.way("punch", false); p.Worked != 3 || p.Failed != 0 || p.Method == "" {
			t.Errorf("punch: %+v", p)
		}
	})
	t.Run("fresh ports first, where only they worked", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		callee := w.node(w.behind("callee", home.nat))
		caller := taught(w, home, callee.Address, 1, func(r reply) bool { return r.Via == node.Punch && !has(r, "the peer is seen as") })
		method := caller.way("punch", false).Method
		var r reply
		for range tries { // on a busy machine they may fail
			caller.believe(page{Strategy: "punch", Method: method, Failed: 2}, page{Strategy: "punch", Method: method, Anew: true, Worked: 1})
			if r = caller.live(callee.Address); has(r, "the peer is seen as") {
				break
			}
		}
		if r.Via != node.Punch || !has(r, "the peer is seen as") {
			t.Errorf("via %q after %v, error %q\n%s", r.Via, r.Echo, r.Error, strings.Join(r.Log, "\n"))
		}
		if p := caller.way("punch", false); p.Worked != 0 || p.Failed != 2 {
			t.Errorf("others were tried first: %+v", p)
		}
		if p := caller.way("punch", true); p.Worked != 2 || p.Failed != 0 {
			t.Errorf("anew: %+v", p)
		}
	})
	t.Run("a wrong memory of a dial does no harm", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		callee := w.node(w.behind("callee", home.nat))
		var caller *scholar
		var naive, r reply
		for range tries {
			caller = newScholar(w, plusOne)
			if naive = caller.live(callee.Address); naive.Error != "" && busy() != "" {
				continue
			}
			caller.believe(page{Strategy: "direct", Worked: 9})
			r = caller.live(callee.Address)
			t.Logf("naive after %v, misled after %v", naive.Echo, r.Echo)
			if r.Via != node.Punch || r.Echo <= naive.Echo+100*time.Millisecond {
				break
			}
		}
		if r.Via != node.Punch || r.Echo > naive.Echo+100*time.Millisecond {
			t.Errorf("via %q after %v, error %q; without the memory after %v\n%s", r.Via, r.Echo, r.Error, naive.Echo, strings.Join(r.Log, "\n"))
		}
		if p := caller.way("direct", false); p.Failed != 1 {
			t.Errorf("not put right: %+v", p)
		}
	})
	t.Run("a wrong memory fails no later", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		callee := w.node(w.behind("callee", refusesCrossed.nat))
		var caller *scholar
		var naive, r reply
		for range tries {
			caller = newScholar(w, refusesCrossed)
			if naive = caller.live(callee.Address); naive.Error == "" {
				t.Fatalf("connected via %s", naive.Via)
			}
			method := caller.way("punch", false).Method
			caller.believe(page{Strategy: "direct", Failed: 9}, page{Strategy: "punch", Method: method, Failed: 2}, page{Strategy: "punch", Method: method, Anew: true, Worked: 9})
			r = caller.live(callee.Address)
			t.Logf("naive after %v, misled after %v", naive.Took, r.Took)
			if r.Error == "" || r.Took <= naive.Took+300*time.Millisecond {
				break
			}
		}
		if r.Error == "" || r.Took > naive.Took+300*time.Millisecond {
			t.Errorf("via %q after %v, error %q; without the memory after %v", r.Via, r.Took, r.Error, naive.Took)
		}
		if p := caller.way("direct", false); p.Failed != 10 {
			t.Errorf("a hopeless dial was not tried when all else failed: %+v", p)
		}
	})
	t.Run("a damaged file is no obstacle", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		callee := w.node(w.host("callee", nil))
		caller := newScholar(w, home)
		if err := os.WriteFile(caller.path(), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		if r := caller.live(callee.Address); r.Error != "" {
			t.Error(r.Error)
		}
		if _, err := os.Stat(caller.path() + ".damaged"); err != nil {
			t.Error(err)
		}
		if p := caller.way("direct", false); p.Worked != 1 {
			t.Errorf("not learned again: %+v", p)
		}
	})
}
