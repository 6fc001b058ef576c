package node_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/node/circuit"
	"github.com/sallyport-net/sallyport/node/link"
	"github.com/sallyport-net/sallyport/node/session"
	"github.com/sallyport-net/sallyport/signaling"
	"github.com/sallyport-net/sallyport/signaling/mqtt"
)

// relayCfg is of a node that may use relays only.
func relayCfg(cfg node.Config, k address.PrivateKey, by ...*node.Node) node.Config {
	cfg.Key, cfg.Strategies, cfg.HoldOn = k, []node.Strategy{node.Relay}, 10*time.Second
	for _, r := range by {
		cfg.RelayNodes = append(cfg.RelayNodes, r.Address())
	}
	return cfg
}

func newNodeKey(t testing.TB) address.PrivateKey {
	t.Helper()
	k, err := address.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// relaying starts a node that relays, and admits nobody for anything else.
func relaying(t testing.TB, cfg node.Config, limits circuit.Limits, keys ...address.PrivateKey) *node.Node {
	t.Helper()
	nobody := signaling.Nobody()
	var all []address.Key
	for _, k := range keys {
		all = append(all, k.Public())
	}
	cfg.Admission, cfg.Relaying = &nobody, node.Relaying{For: signaling.Only(all...), Limits: limits}
	r := start(t, cfg)
	accepting(t, r)
	return r
}

// reached connects a with b.
func reached(t testing.TB, a, b *node.Node, accepted <-chan net.Conn) (near, far *node.Conn) {
	t.Helper()
	c, err := a.Connect(shortly(t), b.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	select {
	case conn := <-accepted:
		t.Cleanup(func() { conn.Close() })
		return c, conn.(*node.Conn)
	case <-time.After(time.Minute):
		t.Fatal("nothing is accepted")
	}
	return nil, nil
}

// carries shows that data come as they were sent, in one direction, whatever
// happens to the path meanwhile.
func carries(t testing.TB, from, to *node.Conn, data []byte) {
	t.Helper()
	wrote := make(chan error, 1)
	go func() { _, err := from.Write(data); wrote <- err }()
	got := make([]byte, len(data))
	_ = to.SetReadDeadline(time.Now().Add(time.Minute))
	if n, err := io.ReadFull(to, got); err != nil || !bytes.Equal(got, data) {
		t.Fatalf("%d bytes of %d came, or others: %v", n, len(data), err)
	}
	if err := <-wrote; err != nil {
		t.Fatal(err)
	}
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}

// One of the two names a node that relays for it; neither has any other way.
func TestCircuit(t *testing.T) {
	for _, callersOwn := range []bool{true, false} {
		name := map[bool]string{true: "the caller's", false: "the callee's"}[callersOwn]
		t.Run(name, func(t *testing.T) {
			cfg, ka, kb := local(t), newNodeKey(t), newNodeKey(t)
			owner := map[bool]address.PrivateKey{true: ka, false: kb}[callersOwn]
			r := relaying(t, cfg, circuit.Limits{Rate: 1 << 30}, owner)
			ca, cb := relayCfg(cfg, ka), relayCfg(cfg, kb)
			if callersOwn {
				ca = relayCfg(cfg, ka, r)
			} else {
				cb = relayCfg(cfg, kb, r)
			}
			a, b := start(t, ca), start(t, cb)
			accepted := accepting(t, b)
			near, far := reached(t, a, b, accepted)
			if near.Via() != node.Relay || near.By() != r.ID() || far.Via() != node.Relay || far.By() != r.ID() {
				t.Errorf("via %s by %s, and via %s by %s", near.Via(), near.By().Short(), far.Via(), far.By().Short())
			}
			carries(t, near, far, randomBytes(1<<20))
			carries(t, far, near, randomBytes(1<<20))
			// Another stream is one of the same session.
			again, far2 := reached(t, a, b, accepted)
			carries(t, again, far2, randomBytes(1<<10))
			if again.Session() != near.Session() {
				t.Error("a second circuit was made")
			}
			// The ends of both are told.
			if err := near.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if _, err := far.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("read gave %v", err)
			}
		})
	}
}

// Whoever relays sees TLS, and no word of what the application says.
func TestCircuitShowsCiphertextOnly(t *testing.T) {
	cfg := local(t)
	s := startSpy(t, cfg)
	ca := relayCfg(cfg, newNodeKey(t))
	ca.RelayNodes = []address.Address{s.self}
	a, b := start(t, ca), start(t, relayCfg(cfg, newNodeKey(t)))
	accepted := accepting(t, b)
	spied := make(chan error, 1)
	go func() {
		near := <-s.streams
		r, err := circuit.Next(near)
		if err != nil || r.Op != circuit.To || r.Node != b.ID() {
			spied <- errors.New("another request came")
			return
		}
		_, far := s.session(r.Address.String(), session.Circuit)
		err = circuit.Ask(context.Background(), far, circuit.Request{Op: circuit.From, Node: near.Peer()})
		if err = errors.Join(err, circuit.Answer(near, circuit.Joined)); err == nil {
			var back bytes.Buffer
			_ = circuit.Splice(context.Background(), overheard{near, &s.seen}, overheard{far, &back}, circuit.Limits{}.WithDefaults(), new(circuit.Meter))
		}
		spied <- err
	}()
	near, far := reached(t, a, b, accepted)
	words := strings.Repeat("the words of the application ", 4000)
	carries(t, near, far, []byte(words))
	near.Close()
	far.Close()
	if err := <-spied; err != nil {
		t.Fatal(err)
	}
	if seen := s.seen.Bytes(); len(seen) < len(words) || !bytes.Contains(seen, []byte{0x17, 3, 3}) || bytes.Contains(seen, []byte("words")) {
		t.Errorf("%d bytes were seen, which are not TLS or are the application's", len(seen))
	}
}

// A callee takes no circuit that nobody announced, neither from a stranger nor
// from somebody whom it admits, and no caller but the one that was.
func TestCircuitUnannounced(t *testing.T) {
	cfg := local(t)
	for name, admission := range map[string]signaling.Admission{"by a stranger": signaling.Only(newNodeKey(t).Public()), "by somebody admitted": signaling.Everyone()} {
		t.Run(name, func(t *testing.T) {
			s := startSpy(t, cfg)
			mine := cfg
			mine.Admission = &admission
			b := start(t, mine)
			accepted := accepting(t, b)
			_, far := s.session(b.Addr().String(), session.Circuit)
			var no *circuit.Error
			err := circuit.Ask(shortly(t), far, circuit.Request{Op: circuit.From, Node: newNodeKey(t).Public()})
			if !errors.As(err, &no) || no.Status != circuit.Refused {
				t.Errorf("it is answered %v", err)
			}
			if len(accepted) > 0 {
				t.Error("a connection came of it")
			}
		})
	}
	t.Run("by the right node, of another", func(t *testing.T) {
		s := startSpy(t, cfg)
		ca := relayCfg(cfg, newNodeKey(t))
		ca.RelayNodes = []address.Address{s.self}
		friends := signaling.Only(ca.Key.Public()) // nobody else
		cb := relayCfg(cfg, newNodeKey(t))
		cb.Admission = &friends
		a, b := start(t, ca), start(t, cb)
		accepting(t, b)
		asked := make(chan error, 1)
		go func() {
			near := <-s.streams
			r, err := circuit.Next(near)
			if err != nil {
				asked <- err
				return
			}
			// The announcement lets the node in, for circuits and nothing else.
			x, keep := s.session(r.Address.String(), session.Circuit)
			plain, err := x.Open(session.Application)
			if err == nil {
				if err = plain.Verdict(); errors.Is(err, link.ErrRefused) {
					err = circuit.Ask(context.Background(), keep, circuit.Request{Op: circuit.From, Node: newNodeKey(t).Public()})
				} else {
					err = errors.New("an application stream is taken")
				}
			}
			asked <- err
			_ = circuit.Answer(near, circuit.Absent)
		}()
		_, err := a.Connect(shortly(t), b.Addr().String())
		if err == nil {
			t.Error("connected")
		}
		var no *circuit.Error
		if err := <-asked; !errors.As(err, &no) || no.Status != circuit.Refused {
			t.Errorf("another caller is answered %v", err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if slices.Contains(s.dialled, b.ID()) {
			t.Error("the callee has called whom the caller named")
		}
	})
}

// To whom a node does not relay it says so at once; who may only relay gets
// nothing else.
func TestCircuitOnly(t *testing.T) {
	cfg, ka := local(t), newNodeKey(t)
	r := relaying(t, cfg, circuit.Limits{}, ka)
	b := start(t, relayCfg(cfg, newNodeKey(t)))
	accepting(t, b)
	stranger := start(t, relayCfg(cfg, newNodeKey(t), r))
	begun := time.Now()
	_, err := stranger.Connect(shortly(t), b.Addr().String())
	var failed *node.ConnectError
	if !errors.As(err, &failed) || !strings.Contains(err.Error(), "does not relay for this node") || !strings.Contains(failed.Hint(), "--relay-for") {
		t.Errorf("error %v", err)
	}
	if errors.Is(err, link.ErrRefused) {
		t.Error("that is no word of the peer's")
	}
	if took := time.Since(begun); took > 20*time.Second { // Connect has 30 s
		t.Errorf("it took %v", took)
	}
	cfg.Key = ka
	a := start(t, cfg)
	for what, connect := range map[string]func(context.Context, address.Address) (*node.Conn, error){"stream": a.ConnectAddress, "echo": a.Ping} {
		c, err := connect(shortly(t), r.Address())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.Verdict(); !errors.Is(err, link.ErrRefused) {
			t.Errorf("the %s is answered %v", what, err)
		}
	}
}

// What a peer may have is counted, and told where it is used up; what has ended
// is not counted.
func TestCircuitQuota(t *testing.T) {
	cfg, ka := local(t), newNodeKey(t)
	r := relaying(t, cfg, circuit.Limits{PerPeer: 1}, ka)
	a := start(t, relayCfg(cfg, ka, r))
	var callees []*node.Node
	var accepted []<-chan net.Conn
	for range 2 {
		b := start(t, relayCfg(cfg, newNodeKey(t)))
		callees, accepted = append(callees, b), append(accepted, accepting(t, b))
	}
	first, _ := reached(t, a, callees[0], accepted[0])
	if _, err := a.Connect(shortly(t), callees[1].Addr().String()); err == nil || !strings.Contains(err.Error(), "circuits are used up") {
		t.Errorf("the second one gave %v", err)
	}
	first.Close()
	for deadline := time.Now().Add(time.Minute); ; {
		c, err := a.Connect(shortly(t), callees[1].Addr().String())
		if err == nil {
			c.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the place is not given back: %v", err)
		}
	}
}

// A circuit that has carried its share is cut. The session goes on over another
// one, without a byte lost.
func TestCircuitShare(t *testing.T) {
	cfg, ka := local(t), newNodeKey(t)
	r := relaying(t, cfg, circuit.Limits{Bytes: 600 << 10, Rate: 1 << 30}, ka)
	a, b := start(t, relayCfg(cfg, ka, r)), start(t, relayCfg(cfg, newNodeKey(t)))
	near, far := reached(t, a, b, accepting(t, b))
	carries(t, near, far, randomBytes(1<<20))
	if near.Moves() == 0 {
		t.Error("a MiB went through a circuit of 600 KiB")
	}
}

// When the node that relays is gone, and no other is there, the connection ends
// with an error, after HoldOn at the latest.
func TestCircuitLost(t *testing.T) {
	cfg, ka := local(t), newNodeKey(t)
	r := relaying(t, cfg, circuit.Limits{}, ka)
	ca, cb := relayCfg(cfg, ka, r), relayCfg(cfg, newNodeKey(t))
	ca.HoldOn, cb.HoldOn = time.Second, time.Second
	a, b := start(t, ca), start(t, cb)
	near, far := reached(t, a, b, accepting(t, b))
	carries(t, near, far, []byte("before"))
	carries(t, far, near, []byte("back")) // so the caller knows that it was admitted
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	for _, end := range []*node.Conn{near, far} {
		_ = end.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := end.Read(make([]byte, 1)); !errors.Is(err, session.ErrGone) {
			t.Errorf("read gave %v", err)
		}
	}
}

// Garbage on a stream for a circuit ends that stream, and harms no other.
func TestCircuitGarbage(t *testing.T) {
	cfg, ka, kb := local(t), newNodeKey(t), newNodeKey(t)
	s := startSpy(t, cfg)
	nobody := signaling.Nobody()
	rc := cfg
	rc.Admission, rc.Relaying = &nobody, node.Relaying{For: signaling.Everyone(ka.Public())}
	r := start(t, rc)
	a, b := start(t, relayCfg(cfg, ka, r)), start(t, relayCfg(cfg, kb))
	near, far := reached(t, a, b, accepting(t, b))
	x, keep := s.session(r.Addr().String(), session.Circuit) // a request never comes whole on this stream
	_, _ = keep.Write([]byte{1})
	request := circuit.Request{Op: circuit.To, Node: b.ID()}.Append(nil)
	for name, junk := range map[string][]byte{
		"HTTP":          []byte("GET / HTTP/1.1\r\n\r\n"),
		"a wrong op":    append([]byte{1, 9}, request[2:]...),
		"a wrong key":   append([]byte{1, 1}, bytes.Repeat([]byte{0xff}, 100)...),
		"too long":      append(bytes.Clone(request[:len(request)-2]), 0xff, 0xff),
		"zeros":         make([]byte, 4096),
		"TLS, directly": {0x16, 3, 1, 0, 200},
	} {
		stream, err := x.Open(session.Circuit)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = stream.Write(junk)
		_ = stream.SetReadDeadline(time.Now().Add(time.Minute))
		answer, err := io.ReadAll(stream)
		if len(answer) != 2 || circuit.Status(answer[1]) != circuit.Unsupported {
			t.Errorf("%s is answered %v, %v", name, answer, err)
		}
		_ = stream.Close()
	}
	// Whoever is admitted as everyone is reaches nobody whom the node would have
	// to call, and so many requests at once and no more are looked at.
	var streams []*session.Stream
	for range 40 { // all of them before the first has had its time
		stream, err := x.Open(session.Circuit)
		if err != nil {
			t.Fatal(err)
		}
		defer stream.Close()
		if _, err := stream.Write([]byte{1}); err != nil && !errors.Is(err, link.ErrBusy) {
			t.Fatal(err)
		}
		streams = append(streams, stream)
	}
	turnedAway := 0
	for _, stream := range streams {
		if stream.Verdict() != nil {
			turnedAway++
		}
	}
	if turnedAway < 40-16 {
		t.Errorf("of 40 requests that never come, %d were turned away", turnedAway)
	}
	carries(t, near, far, randomBytes(100<<10))
}

// Guests that ask for ever more places at which they then do not come take
// nothing from somebody who is named.
func TestCircuitFlood(t *testing.T) {
	cfg, ka, kb := local(t), newNodeKey(t), newNodeKey(t)
	r := relaying(t, cfg, circuit.Limits{}, kb)
	admission := signaling.Everyone(ka.Public())
	cb := relayCfg(cfg, kb, r)
	cb.Admission = &admission
	a, b := start(t, relayCfg(cfg, ka)), start(t, cb)
	accepted := accepting(t, b)
	ctx, cancel := context.WithCancel(context.Background())
	var guests sync.WaitGroup
	defer guests.Wait()
	defer cancel()
	answered := make(chan error)
	const senders = 8
	each := 20
	if underRace { // which makes a message cost many times as much
		each = 3
	}
	for range senders {
		k := newNodeKey(t)
		channel, err := mqtt.New(mqtt.Config{Key: k.Public(), Sign: k.Sign, Brokers: cfg.Brokers})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = channel.Close() })
		x, err := signaling.NewExchange(signaling.Config{Key: k, Channel: channel})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = x.Close() })
		for range each {
			guests.Go(func() {
				for ctx.Err() == nil {
					_, err := x.Ask(ctx, b.ID(), cfg.Brokers, signaling.Message{
						Kind: signaling.KindRelay, Attempt: signaling.NewID(),
						Relay: &signaling.Relay{Secret: signaling.NewID(), By: []address.Address{}},
					})
					select {
					case answered <- err:
					case <-ctx.Done():
					}
					var silent *signaling.NoAnswerError
					if !errors.As(err, &silent) { // else the machine is too slow for an answer
						return
					}
				}
			})
		}
	}
	busy := 0
	for n := 0; n < senders*each*5/8 || busy == 0; n++ { // the others hold what there is for guests, or wait
		select {
		case err := <-answered:
			var no *signaling.RefusedError
			if errors.As(err, &no) && no.Reason == signaling.RefusedBusy {
				busy++
			}
		case <-time.After(time.Minute):
			t.Fatal("the guests get no answers")
		}
	}
	// The flood takes the machine, too, so that there may be no answer in time. That
	// is another thing than to be turned away, unless by what such a call has left.
	var near *node.Conn
	late := false
	for end := time.Now().Add(2 * time.Minute); near == nil; {
		c, err := a.Connect(shortly(t), b.Addr().String())
		var silent *signaling.NoAnswerError
		switch late = late || errors.As(err, &silent); {
		case err == nil:
			near = c
			defer c.Close()
		case !late || time.Now().After(end):
			t.Fatal(err)
		}
	}
	far := (<-accepted).(*node.Conn)
	defer far.Close()
	told := func(e node.Event) bool { return strings.Contains(e.What, "busy") }
	if near.By() != r.ID() || !late && slices.ContainsFunc(near.Timeline(), told) {
		t.Errorf("by %s: %v", near.By().Short(), near.Timeline())
	}
	carries(t, near, far, randomBytes(10<<10))
}
