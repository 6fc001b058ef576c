package node

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node/link"
	"github.com/sallyport-net/sallyport/node/session"
	"github.com/sallyport-net/sallyport/signaling"
)

func someKey(t testing.TB) address.PrivateKey {
	t.Helper()
	k, err := address.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestHasRoom(t *testing.T) {
	a, b := someKey(t).Public(), someKey(t).Public()
	here, there := netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("2001:db8::/64")
	times := func(n int, g guest) (list []guest) {
		for range n {
			list = append(list, g)
		}
		return list
	}
	other := func(n int) (list []guest) { // each of its own key and site
		for k := range n {
			list = append(list, guest{someKey(t).Public(), netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(k)}), 32), false})
		}
		return list
	}
	for name, tt := range map[string]struct {
		there []guest
		g     guest
		want  bool
	}{
		"empty":                  {nil, guest{a, here, false}, true},
		"a quarter of one peer":  {times(3, guest{a, here, false}), guest{a, there, false}, true},
		"more of one peer":       {times(4, guest{a, here, false}), guest{a, there, false}, false},
		"more of a named one":    {times(4, guest{a, here, true}), guest{a, there, true}, false},
		"a quarter of one site":  {times(3, guest{a, here, false}), guest{b, here, false}, true},
		"more of one site":       {times(4, guest{a, here, false}), guest{b, here, false}, false},
		"a named one there":      {times(4, guest{a, here, false}), guest{b, here, true}, true},
		"beside named ones":      {times(4, guest{a, here, true}), guest{b, here, false}, true},
		"three quarters":         {other(11), guest{a, here, false}, true},
		"more than that":         {other(12), guest{a, here, false}, false},
		"a named one beside it":  {other(12), guest{a, here, true}, true},
		"full for everybody":     {append(other(12), times(4, guest{b, here, true})...), guest{a, here, true}, false},
		"of sixteen, fifteen go": {append(other(11), times(4, guest{b, here, true})...), guest{a, here, false}, true},
	} {
		if got := hasRoom(tt.there, tt.g, 16); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
	if !hasRoom(nil, guest{a, here, false}, 1) {
		t.Error("a node of one session takes none")
	}
}

func TestSurplus(t *testing.T) {
	at := func(n int) netip.Prefix { return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(n)}), 32) }
	k := address.Key{}
	waiting := []guest{{k, at(1), false}, {k, at(2), false}, {k, at(2), false}, {k, at(2), false}, {k, at(3), true}, {k, at(3), true}, {k, at(3), true}, {k, at(3), true}}
	count := func(most int) (open, named int) {
		seen := map[int]bool{}
		for _, n := range surplus(waiting, most) {
			if seen[n] {
				t.Fatalf("%d twice", n)
			}
			seen[n] = true
			if waiting[n].named {
				named++
			} else {
				open++
			}
		}
		return open, named
	}
	for most, want := range map[int][2]int{9: {0, 0}, 8: {0, 0}, 7: {1, 0}, 4: {4, 0}, 3: {4, 1}, 0: {4, 4}} {
		if open, named := count(most); open != want[0] || named != want[1] {
			t.Errorf("of %d, %d are left: %d open and %d named ones go, want %v", len(waiting), most, open, named, want)
		}
	}
	for _, n := range surplus(waiting, 6) { // the first of the site that has more
		if waiting[n].site != at(2) {
			t.Errorf("one at %v goes", waiting[n].site)
		}
	}
}

// crowded is a node on loopback that accepts, and a way to begin sessions with it.
type crowded struct {
	*Node
	t     *testing.T
	ctx   context.Context
	taken *atomic.Int64 // connections by the application
}

func crowdedNode(t *testing.T, change func(*Config)) *crowded {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	cfg := Config{
		Brokers: []address.Broker{{URL: "tcp://127.0.0.1:9"}}, STUN: []string{}, STUNTCP: []string{},
		Interfaces: []string{"lo"}, NoLAN: true, NoWait: true,
	}
	change(&cfg)
	n, err := New(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	done, taken := make(chan struct{}), new(atomic.Int64)
	go func() {
		defer close(done)
		for {
			if _, err := n.Accept(); err != nil {
				return
			}
			taken.Add(1)
		}
	}()
	t.Cleanup(func() { _ = n.Close(); <-done })
	for !n.accepting.Load() {
		time.Sleep(time.Millisecond)
	}
	return &crowded{n, t, ctx, taken}
}

// begin begins a session with one stream, and gives the node's verdict on that.
func (c *crowded) begin(key address.PrivateKey) (*session.Stream, error) {
	c.t.Helper()
	conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(c.warm.port))))
	if err != nil {
		c.t.Fatal(err)
	}
	l, err := link.Client(c.ctx, conn, link.NewIdentity(key, nil), c.ID(), link.Token{})
	if err != nil {
		c.t.Fatal(err)
	}
	attempt := [16]byte(signaling.NewID())
	nominated, err := l.Nominate(attempt, link.Session)
	if err != nil {
		c.t.Fatal(err)
	}
	s, err := session.New(nominated, session.Config{Opener: true, Attempt: attempt})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = s.Close() })
	stream, err := s.Open(session.Application)
	if err != nil {
		return nil, err
	}
	return stream, stream.Verdict()
}

func (c *crowded) until(what string, ok func() bool) {
	c.t.Helper()
	for !ok() {
		if c.ctx.Err() != nil {
			c.t.Fatal("waited in vain: " + what)
		}
		time.Sleep(time.Millisecond)
	}
}

// Sessions cost memory and descriptors, and keys are free: strangers get no more
// than their share, and leave room for those who are named.
func TestSessionsAreBounded(t *testing.T) {
	friend := someKey(t)
	n := crowdedNode(t, func(c *Config) {
		everyone := signaling.Everyone(friend.Public())
		c.Admission, c.Sessions = &everyone, 8
	})
	first, err := n.begin(someKey(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.begin(someKey(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := n.begin(someKey(t)); !errors.Is(err, link.ErrBusy) {
		t.Errorf("a third of eight for strangers at one address: %v, want %v", err, link.ErrBusy)
	}
	if _, err := n.begin(friend); err != nil {
		t.Errorf("a friend: %v", err)
	}
	if _, err := n.begin(friend); err != nil {
		t.Errorf("a friend again: %v", err)
	}
	if _, err := n.begin(friend); !errors.Is(err, link.ErrBusy) {
		t.Errorf("a friend for the third time: %v, want %v", err, link.ErrBusy)
	}
	_ = first.Close()
	n.until("room after an end", func() bool {
		_, err := n.begin(someKey(t))
		return err == nil
	})
}

// Sessions that have lost their path keep what they carry: no more of them wait
// than docs/session.md says.
func TestWaitingSessionsAreBounded(t *testing.T) {
	const most, more = 3, 4
	given := make(chan struct{}, most+more)
	n := crowdedNode(t, func(c *Config) { c.waiting, c.Logger = most, slog.New(surplusLog{slog.DiscardHandler, given}) })
	key := someKey(t)
	var all []*session.Session
	for range most + more {
		stream, err := n.begin(key)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, stream.Session())
	}
	n.until("all are taken, else there is nothing to wait for", func() bool { return n.taken.Load() == most+more })
	for _, s := range all {
		_ = s.Close() // without a goodbye
	}
	for k := range more {
		select {
		case <-given:
		case <-n.ctx.Done():
			t.Fatalf("%d of %d were given up, where %d may wait", k, most+more, most)
		}
	}
	if len(given) > 0 {
		t.Errorf("%d more were given up", len(given))
	}
}

// surplusLog notes the sessions that are given up since too many wait.
type surplusLog struct {
	slog.Handler
	given chan struct{}
}

func (surplusLog) Enabled(context.Context, slog.Level) bool { return true }

func (l surplusLog) Handle(_ context.Context, r slog.Record) error {
	if strings.HasPrefix(r.Message, "a session does not wait any longer") {
		l.given <- struct{}{}
	}
	return nil
}

// Echoes are for whoever is admitted, and each may hold what the peer does not
// take back: they are bounded, too.
func TestEchoesAreBounded(t *testing.T) {
	n := crowdedNode(t, func(*Config) {})
	stream, err := n.begin(someKey(t))
	if err != nil {
		t.Fatal(err)
	}
	var held, refused int
	for range 2 * maxPlacesOf {
		e, err := stream.Session().Open(session.Echo)
		if err != nil {
			t.Fatal(err)
		}
		_ = e.SetDeadline(time.Now().Add(20 * time.Second))
		_, _ = e.Write([]byte("x"))
		switch _, err := e.Read(make([]byte, 1)); {
		case err == nil:
			held++
		case errors.Is(err, session.ErrReset):
			refused++
		default:
			t.Fatal(err)
		}
	}
	if held != maxPlacesOf || refused != maxPlacesOf {
		t.Errorf("%d are echoed and %d refused, want %d each", held, refused, maxPlacesOf)
	}
}
