package lan

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/signaling/seal"
)

var home = netip.MustParseAddrPort("127.0.0.1:4321")

// Of several nodes on one machine the one that is looked for answers.
func TestFind(t *testing.T) {
	port := anyPort(t)
	other, _ := serve(t, port)
	s, owner := serve(t, port)
	begun := time.Now()
	places := found(t, Seeker{Key: newKey(t), Links: loopback(t), port: port}, owner.Public())
	if len(places) != 1 || places[0] != home {
		t.Fatalf("found %v", places)
	}
	t.Logf("found after %v", time.Since(begun))
	until(t, "both have looked", func() bool { return s.Counts().Answered > 0 && other.Counts().Foreign > 0 })
	if other.Counts().Answered != 0 {
		t.Error("another node answered")
	}
}

// Nobody there, nobody admitted, clocks too far apart: the caller hears nothing,
// for no longer than Patience, and the owner knows why.
func TestSilence(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*Config)
		count  func(Counts) uint64
	}{
		"stranger": {func(c *Config) { c.Admit = func(address.Key) bool { return false } }, func(c Counts) uint64 { return c.Stranger }},
		"clock": {func(c *Config) { c.Now = func() time.Time { return time.Now().Add(clockError + time.Minute) } },
			func(c Counts) uint64 { return c.Stale }},
		"late clock": {func(c *Config) { c.Now = func() time.Time { return time.Now().Add(-clockError - time.Minute) } },
			func(c Counts) uint64 { return c.Stale }},
		"another key": {func(c *Config) {}, func(c Counts) uint64 { return c.Foreign }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			port := anyPort(t)
			s, owner := serve(t, port, tt.change)
			peer := owner.Public()
			if name == "another key" {
				peer = newKey(t).Public()
			}
			begun := time.Now()
			places, err := find(t, Seeker{Key: newKey(t), Links: loopback(t), port: port}, peer)
			if !errors.Is(err, ErrSilent) || len(places) > 0 {
				t.Errorf("found %v, %v", places, err)
			}
			if took := time.Since(begun); took < Patience || took > 20*Patience {
				t.Errorf("it took %v", took)
			}
			until(t, "all queries have come", func() bool { return tt.count(s.Counts()) >= uint64(len(waits)) })
			if got := tt.count(s.Counts()); got != uint64(len(waits)) || s.Counts().Answered > 0 {
				t.Errorf("counted %+v", s.Counts())
			}
		})
	}
}

func TestFindEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	s := Seeker{Key: newKey(t), Links: loopback(t), port: anyPort(t)}
	if err := s.Find(ctx, newKey(t).Public(), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	s.Links = nil
	if err := s.Find(context.Background(), newKey(t).Public(), nil); !errors.Is(err, ErrNoLink) {
		t.Errorf("got %v without links", err)
	}
	s.Links = []Link{link("nowhere0", 9999, "192.0.2.77/24")}
	if err := s.Find(context.Background(), newKey(t).Public(), nil); !errors.Is(err, ErrNoLink) {
		t.Errorf("got %v on a link that is not there", err)
	}
}

// A link that comes later is answered on.
func TestLook(t *testing.T) {
	port := anyPort(t)
	links := make(chan []Link, 2)
	links <- nil
	links <- loopback(t)
	s, owner := serve(t, port, func(c *Config) { c.Links = func() []Link { return <-links } })
	s.Look()
	until(t, "the link is used", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.links) == 1
	})
	close(links)
	found(t, Seeker{Key: newKey(t), Links: loopback(t), port: port}, owner.Public())
}

// sender sends what it likes to the group.
type sender struct {
	t    *testing.T
	conn *conn
	to   netip.AddrPort
}

func newSender(t *testing.T, from string, port uint16) *sender {
	t.Helper()
	c, err := open(netip.MustParseAddr(from), loopback(t)[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &sender{t, c, netip.AddrPortFrom(group4, port)}
}

func (s *sender) send(b []byte) {
	s.t.Helper()
	if _, err := s.conn.WriteToUDPAddrPort(b, s.to); err != nil {
		s.t.Fatal(err)
	}
}

// query makes a query of this sender, changed.
func (s *sender) query(caller address.PrivateKey, peer address.Key, change ...func(*query)) []byte {
	s.t.Helper()
	q := query{from: s.conn.local(), sent: time.Now()}
	for _, f := range change {
		f(&q)
	}
	b, err := seal.Seal(caller, peer, q.append(nil))
	if err != nil {
		s.t.Fatal(err)
	}
	return b
}

// What is repeated, sent in another's name, from afar or in a wrong shape gets
// no answer; what follows it does.
func TestHostileQueries(t *testing.T) {
	port := anyPort(t)
	s, owner := serve(t, port)
	caller := newKey(t)
	honest, thief := newSender(t, "127.0.0.1", port), newSender(t, "127.0.0.2", port)
	taken := func(c Counts) uint64 { return c.Refused + c.Foreign + c.Limited + c.Stale + c.Stranger + c.Answered }
	sent := uint64(0)
	expect := func(name string, send func(), count func(Counts) uint64) {
		t.Helper()
		before := s.Counts()
		send()
		sent++
		until(t, name+" has come", func() bool { return taken(s.Counts()) == sent })
		if count(s.Counts()) != count(before)+1 {
			t.Errorf("%s: %+v", name, s.Counts())
		}
	}
	refused := func(c Counts) uint64 { return c.Refused }
	foreign := func(c Counts) uint64 { return c.Foreign }
	answered := func(c Counts) uint64 { return c.Answered }

	first := honest.query(caller, owner.Public())
	expect("a query", func() { honest.send(first) }, answered)
	expect("its replay", func() { honest.send(first) }, refused)
	second := honest.query(caller, owner.Public())
	expect("a query that another has caught", func() { thief.send(second) }, foreign)
	expect("the query itself, after that", func() { honest.send(second) }, answered)
	expect("a query in another's name", func() {
		thief.send(thief.query(newKey(t), owner.Public(), func(q *query) { q.from = honest.conn.local() }))
	}, foreign)
	expect("an answer as a query", func() {
		b, _ := seal.Seal(caller, owner.Public(), someAnswer.append(nil))
		thief.send(b)
	}, foreign)
	expect("nothing", func() { thief.send(nil) }, refused)
	expect("too little", func() { thief.send(second[:size-1]) }, refused)
	expect("too much", func() { thief.send(append(second, 0)) }, refused)
	expect("noise", func() { thief.send(make([]byte, size)) }, refused)
	expect("noise that looks sealed", func() {
		b := make([]byte, size)
		b[0], b[1] = seal.Version, 2
		thief.send(b)
	}, foreign)
	expect("a query that a router passed on", func() {
		_ = honest.conn.v4.SetMulticastTTL(hops - 1)
		honest.send(honest.query(caller, owner.Public()))
		_ = honest.conn.v4.SetMulticastTTL(hops)
	}, refused)
	expect("a query to the host alone", func() {
		_, _ = honest.conn.WriteToUDPAddrPort(honest.query(caller, owner.Public()), netip.AddrPortFrom(home.Addr(), port))
	}, refused)
	expect("a query", func() { honest.send(honest.query(caller, owner.Public())) }, answered)
}

// A flood costs what the limits say, and nobody else is shut out by it.
func TestFlood(t *testing.T) {
	port := anyPort(t)
	s, owner := serve(t, port)
	flooder := newSender(t, "127.0.0.2", port)
	begun := time.Now()
	noise := make([]byte, size)
	noise[0], noise[1] = seal.Version, 2
	const flood = 2000
	for n := range flood {
		noise[40], noise[41] = byte(n), byte(n>>8)
		flooder.send(noise)
		if n%50 == 0 { // or the kernel loses some
			until(t, "the flood has come", func() bool { c := s.Counts(); return c.Foreign+c.Limited == uint64(n+1) })
		}
	}
	until(t, "the flood has come", func() bool { c := s.Counts(); return c.Foreign+c.Limited == flood })
	most := sourceBurst + sourceRate*(time.Since(begun).Seconds()+1)
	if c := s.Counts(); float64(c.Foreign) > most {
		t.Errorf("%d of %d were decrypted in %v", c.Foreign, flood, time.Since(begun))
	}
	found(t, Seeker{Key: newKey(t), Links: loopback(t), port: port}, owner.Public()) // by another caller
}

// A third party that hears the query can't make up the answer.
func TestForgedAnswers(t *testing.T) {
	owner, caller, third := newKey(t), newKey(t), newKey(t)
	s := Seeker{Key: caller}
	fresh := nonce{1}
	at := arrival{from: netip.MustParseAddrPort("127.0.0.1:5000"), told: true, hops: hops}
	seals := func(from address.PrivateKey, to address.Key, a answer) []byte {
		b, err := seal.Seal(from, to, a.append(nil))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	elsewhere := netip.MustParseAddrPort("127.0.0.9:4321")
	for name, tt := range map[string]struct {
		b    []byte
		want error
	}{
		"the right one":           {seals(owner, caller.Public(), answer{fresh, home}), nil},
		"by another key":          {seals(third, caller.Public(), answer{fresh, home}), errOther},
		"to an earlier query":     {seals(owner, caller.Public(), answer{nonce{2}, home}), errReplay},
		"to another caller":       {seals(owner, third.Public(), answer{fresh, home}), seal.ErrUnsealed},
		"that leads elsewhere":    {seals(owner, caller.Public(), answer{fresh, elsewhere}), errAstray},
		"that is no answer":       {func() []byte { b, _ := seal.Seal(owner, caller.Public(), someQuery.append(nil)); return b }(), errFormat},
		"that is the query again": {func() []byte { b, _ := seal.Seal(caller, owner.Public(), someQuery.append(nil)); return b }(), seal.ErrUnsealed},
	} {
		got, err := s.read(at, tt.b, fresh, owner.Public())
		if !errors.Is(err, tt.want) || err == nil && got != home {
			t.Errorf("an answer %s gave %v, %v", name, got, err)
		}
	}
}

// Forged answers, many and ahead of the right one, don't keep it from being found.
func TestFindAmongForgers(t *testing.T) {
	port := anyPort(t)
	_, owner := serve(t, port)
	caller, third := newKey(t), newKey(t)
	ear, err := listen(netip.AddrPortFrom(group4, port))
	if err != nil {
		t.Fatal(err)
	}
	if err := ear.join(loopback(t)[0]); err != nil {
		t.Fatal(err)
	}
	mouth := newSender(t, "127.0.0.2", port)
	replay, _ := seal.Seal(owner, caller.Public(), answer{nonce{9}, home}.append(nil))
	forged, _ := seal.Seal(third, caller.Public(), answer{nonce{9}, netip.MustParseAddrPort("127.0.0.2:22")}.append(nil))
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 2*size)
		for {
			_, a, err := ear.read(b)
			if err != nil {
				return
			}
			for range 20 {
				_, _ = mouth.conn.WriteToUDPAddrPort(forged, a.from)
				_, _ = mouth.conn.WriteToUDPAddrPort(replay, a.from)
				_, _ = mouth.conn.WriteTo([]byte("noise"), net.UDPAddrFromAddrPort(a.from))
			}
		}
	}()
	defer func() { ear.Close(); <-done }()
	for range 5 {
		places := found(t, Seeker{Key: caller, Links: loopback(t), port: port}, owner.Public())
		if len(places) != 1 || places[0] != home {
			t.Errorf("found %v", places)
		}
	}
}

func TestCloseTwice(t *testing.T) {
	s, _ := serve(t, anyPort(t))
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Error(err)
	}
}
