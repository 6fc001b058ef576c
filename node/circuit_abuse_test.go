package node_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"runtime"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/node/circuit"
	"github.com/sallyport-net/sallyport/node/session"
	"github.com/sallyport-net/sallyport/signaling"
)

// within waits until what a node relays is as wanted.
func within(t testing.TB, n *node.Node, what string, ok func(node.RelayingState) bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(n.Relaying()); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not %s: %+v", what, n.Relaying())
		}
	}
}

func carriesNone(s node.RelayingState) bool { return len(s.Circuits) == 0 }

// ask puts a request on a new stream, and gives the answer.
func ask(t testing.TB, x *session.Session, r circuit.Request) (*session.Stream, circuit.Status) {
	t.Helper()
	s, err := x.Open(session.Circuit)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var no *circuit.Error
	switch err := circuit.Ask(ctx, s, r); {
	case err == nil:
		return s, circuit.Joined
	case errors.As(err, &no):
		return s, no.Status
	default:
		t.Fatal(err)
		return nil, 0
	}
}

// twoSpies are two peers made of parts, each with a session with a node that
// relays for both.
func twoSpies(t *testing.T, cfg node.Config, limits circuit.Limits) (r *node.Node, a, b *spy, xa *session.Session) {
	t.Helper()
	a, b = startSpy(t, cfg), startSpy(t, cfg)
	both := signaling.Only(a.self.Key, b.self.Key)
	rc := cfg
	rc.Admission, rc.Relaying = &both, node.Relaying{For: both, Limits: limits}
	r = start(t, rc)
	accepting(t, r)
	stay := func(s *spy) *session.Session {
		x, keep := s.session(r.Addr().String(), session.Echo) // without a stream it would end
		if err := keep.Verdict(); err != nil {
			t.Fatal(err)
		}
		return x
	}
	xa = stay(a)
	stay(b)
	for end := time.Now().Add(20 * time.Second); len(r.Sessions()) < 2; time.Sleep(time.Millisecond) {
		if time.Now().After(end) { // a stream may be taken before its session is listed
			t.Fatal("the node does not know of the sessions")
		}
	}
	return r, a, b, xa
}

// takes has the callee take what is brought, and gives its ends.
func (s *spy) takes(t *testing.T) <-chan *session.Stream {
	taken := make(chan *session.Stream, 64)
	done := make(chan struct{})
	stop := make(chan struct{})
	t.Cleanup(func() { close(stop); <-done })
	go func() {
		defer close(done)
		for {
			select {
			case far := <-s.streams:
				if _, err := circuit.Next(far); err != nil || circuit.Answer(far, circuit.Joined) != nil {
					_ = far.Reset()
					continue
				}
				taken <- far
			case <-stop:
				return
			}
		}
	}()
	return taken
}

// Through a circuit in which one end writes and the other never reads, no more
// passes than what the windows hold; and it ends, as does one in which nobody says
// anything, and one whose callee never ends its half.
func TestCircuitsThatStandStill(t *testing.T) {
	const still = 500 * time.Millisecond
	r, _, b, xa := twoSpies(t, local(t), circuit.Limits{Idle: still, Rate: 64 << 20})
	taken := b.takes(t)
	to := circuit.Request{Op: circuit.To, Node: b.self.Key}
	for name, act := range map[string]func(near, far *session.Stream){
		"silent": func(near, far *session.Stream) {},
		"never read": func(near, far *session.Stream) {
			data := make([]byte, 64<<10)
			for sent := 0; ; sent += len(data) {
				if _, err := near.Write(data); err != nil {
					// What the callee holds, what waits between, and what the node does.
					if most := 8<<20 + 1<<20; sent > most {
						t.Errorf("%d bytes were taken", sent)
					}
					return
				}
			}
		},
		"half ended": func(near, far *session.Stream) { _ = near.CloseWrite() },
		"left":       func(near, far *session.Stream) { _ = near.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			near, status := ask(t, xa, to)
			if status != circuit.Joined {
				t.Fatalf("answered %d", status)
			}
			far := <-taken
			act(near, far)
			_ = far.SetReadDeadline(time.Now().Add(time.Minute))
			if _, err := io.Copy(io.Discard, far); err != nil && !errors.Is(err, session.ErrReset) {
				t.Errorf("the callee read %v", err)
			}
			within(t, r, "over", carriesNone)
			_ = near.Reset()
			_ = far.Reset()
		})
	}
}

// A callee that is there and never answers costs its caller a moment, and nobody
// else anything.
func TestCircuitCalleeNeverAnswers(t *testing.T) {
	r, _, b, xa := twoSpies(t, local(t), circuit.Limits{PerPeer: 1})
	to := circuit.Request{Op: circuit.To, Node: b.self.Key}
	if _, status := ask(t, xa, to); status != circuit.Absent {
		t.Fatalf("answered %d", status)
	}
	far := <-b.streams
	if _, err := circuit.Next(far); err != nil {
		t.Fatal(err)
	}
	_ = far.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := far.Read(make([]byte, 1)); !errors.Is(err, session.ErrReset) {
		t.Errorf("the callee read %v", err)
	}
	taken := b.takes(t)
	if _, status := ask(t, xa, to); status != circuit.Joined {
		t.Fatalf("the place is not given back: %d", status)
	}
	<-taken
	within(t, r, "counted", func(s node.RelayingState) bool { // which comes after the answer
		return s.Declined.Absent == 1 && s.Carried == 1 && len(s.Circuits) == 1 && s.Circuits[0].Callee == b.self.Key
	})
}

// A thousand requests that lead nowhere, or to circuits that are given up at once,
// leave nothing behind.
func TestCircuitAbuseLeavesNothing(t *testing.T) {
	r, a, b, xa := twoSpies(t, local(t), circuit.Limits{})
	taken := b.takes(t)
	stranger := newNodeKey(t).Public()
	to := func(k address.Key) circuit.Request { return circuit.Request{Op: circuit.To, Node: k} }
	once := func(n int) {
		switch n % 8 {
		case 0:
			s, status := ask(t, xa, to(b.self.Key))
			if status != circuit.Joined {
				t.Fatalf("round %d: answered %d", n, status)
			}
			far := <-taken
			_, _ = s.Write(make([]byte, 10<<10))
			_ = s.Reset()
			_, _ = io.Copy(io.Discard, far)
			_ = far.Reset()
			within(t, r, "over", carriesNone)
		case 1, 2, 3: // itself, the node, one that is nowhere
			s, status := ask(t, xa, to([]address.Key{a.self.Key, r.ID(), stranger}[n%8-1]))
			if status != circuit.Absent {
				t.Fatalf("round %d: answered %d", n, status)
			}
			_ = s.Reset()
		case 4: // half a request
			s, err := xa.Open(session.Circuit)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = s.Write(to(b.self.Key).Append(nil)[:20])
			if err := s.Verdict(); err != nil {
				t.Fatalf("round %d: %v", n, err)
			}
			_ = s.Reset()
		case 5: // something else
			s, err := xa.Open(session.Circuit)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = s.Write(bytes.Repeat([]byte("x"), 4096))
			_, _ = io.Copy(io.Discard, s)
			_ = s.Reset()
		case 6: // an announcement of one who does not come
			s, status := ask(t, xa, circuit.Request{Op: circuit.Await, Node: stranger})
			if status != circuit.Joined {
				t.Fatalf("round %d: answered %d", n, status)
			}
			_ = s.Close()
		case 7: // somebody whom nobody expects
			if s, status := ask(t, xa, circuit.Request{Op: circuit.From, Node: stranger}); status != circuit.Refused {
				t.Fatalf("round %d: answered %d", n, status)
			} else {
				_ = s.Reset()
			}
		}
	}
	for n := range 8 { // what is made once
		once(n)
	}
	before := runtime.NumGoroutine()
	for n := range 1000 {
		once(n)
	}
	if after := routines(before); after > before+8 {
		t.Errorf("%d goroutines, of %d before", after, before)
	}
	within(t, r, "all given back", func(node.RelayingState) bool { return r.CircuitPlaces() == 0 })
	if st := xa.Stats(); !st.Alive || st.Duds != 0 {
		t.Errorf("the session is %+v", st)
	}
	within(t, r, "all counted", func(s node.RelayingState) bool { return s.Carried == 126 && s.Declined.Absent == 378 })
}

// routines waits until there are so many goroutines, or long enough, and gives how
// many there are.
func routines(want int) int {
	for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > want && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	return runtime.NumGoroutine()
}

// A circuit that takes all that it gets leaves the others their share: what a
// second one carries arrives while the first is at it, over the same session.
func TestCircuitsShareFairly(t *testing.T) {
	r, _, b, xa := twoSpies(t, local(t), circuit.Limits{Rate: 1 << 20})
	taken := b.takes(t)
	to := circuit.Request{Op: circuit.To, Node: b.self.Key}
	greedy, _ := ask(t, xa, to)
	sink := <-taken
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, _ = io.Copy(greedy, zeros{})
	}()
	swallowed := make(chan struct{})
	go func() {
		defer close(swallowed)
		_, _ = io.Copy(io.Discard, sink)
	}()
	within(t, r, "busy", func(s node.RelayingState) bool { return len(s.Circuits) == 1 && s.There > 1<<20 })
	modest, status := ask(t, xa, to)
	if status != circuit.Joined {
		t.Fatalf("answered %d", status)
	}
	far := <-taken
	go func() { _, _ = io.Copy(far, far); _ = far.CloseWrite() }()
	before := r.Relaying().There
	data := randomBytes(256 << 10)
	go func() { _, _ = modest.Write(data); _ = modest.CloseWrite() }()
	_ = modest.SetReadDeadline(time.Now().Add(time.Minute))
	if got, err := io.ReadAll(modest); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes came back, %v", len(got), err)
	}
	// By their rates, the first carries as much as the second there and back, half a
	// MiB; were it served first, there would be no end.
	if passed := r.Relaying().There - before - uint64(len(data)); passed > 16<<20 {
		t.Errorf("the first one has carried %d bytes meanwhile", passed)
	}
	_ = greedy.Reset()
	_ = sink.Reset()
	<-sent
	<-swallowed
	within(t, r, "over", carriesNone)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
