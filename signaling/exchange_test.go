package signaling_test

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/signaling"
	"github.com/sallyport-net/sallyport/signaling/seal"
	"github.com/sallyport-net/sallyport/signaling/signalingtest"
)

var (
	red, green, blue = address.Broker{Index: 0}, address.Broker{Index: 1}, address.Broker{Index: 2}
	both             = []address.Broker{red, green}
)

func key(t testing.TB, n byte) address.PrivateKey {
	t.Helper()
	k, err := address.PrivateKeyFromBytes(append(bytes.Repeat([]byte{0x33}, 31), n))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// node is an exchange with its channel.
type node struct {
	*signaling.Exchange
	key     address.Key
	channel *signalingtest.Channel
}

// start makes a node that is closed at the end of the test.
func start(t testing.TB, n *signalingtest.Network, k byte, config signaling.Config, own ...address.Broker) *node {
	t.Helper()
	config.Key = key(t, k)
	channel := n.Channel(config.Key.Public(), own...)
	config.Channel = channel
	x, err := signaling.NewExchange(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := x.Close(); err != nil {
			t.Error(err)
		}
		if err := channel.Close(); err != nil {
			t.Error(err)
		}
	})
	return &node{x, config.Key.Public(), channel}
}

// inBubble runs a test on fake time. What start made is closed within.
func inBubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, test)
}

func punch(fire int64) signaling.Message {
	return signaling.Message{Kind: signaling.KindPunch, Attempt: signaling.NewID(), Punch: &signaling.Punch{
		Secret: signaling.NewID(), Role: signaling.RoleDialer, Fire: fire,
		From: []netip.AddrPort{netip.MustParseAddrPort("198.51.100.7:4001")},
	}}
}

var getAddress = signaling.Message{Kind: signaling.KindGetAddress}

func TestAskForAddress(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		n := signalingtest.New(signalingtest.Config{Latency: 40 * time.Millisecond})
		const ahead = 7 * time.Minute
		home := address.Address{Brokers: both, MachineID: "m"}
		callee := start(t, n, 2, signaling.Config{
			Admission: signaling.Everyone(),
			Now:       func() time.Time { return time.Now().Add(ahead) },
			Self:      func() address.Address { return home },
		}, both...)
		caller := start(t, n, 1, signaling.Config{})

		begin := time.Now()
		answer, err := caller.Ask(t.Context(), callee.key, both, getAddress)
		if err != nil {
			t.Fatal(err)
		}
		m := answer.Message
		if m.Kind != signaling.KindReturnAddress || m.From.Key != callee.key || m.From.MachineID != "m" || !slices.Equal(m.From.Brokers, both) {
			t.Errorf("answer %+v", m)
		}
		if answer.RTT != 80*time.Millisecond || answer.Offset != ahead {
			t.Errorf("round trip %v, clock ahead by %v; want 80ms and %v", answer.RTT, answer.Offset, ahead)
		}
		if took := time.Since(begin); took != 160*time.Millisecond { // 80 of them to join
			t.Errorf("took %v", took)
		}
	})
}

// TestOffsetOfLateCopy loses the first copies: the clocks are compared rightly
// all the same.
func TestOffsetOfLateCopy(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		n := signalingtest.New(signalingtest.Config{Latency: 30 * time.Millisecond})
		callee := start(t, n, 2, signaling.Config{
			Admission: signaling.Everyone(),
			Now:       func() time.Time { return time.Now().Add(-3 * time.Minute) },
		}, red)
		caller := start(t, n, 1, signaling.Config{}, red)
		n.Down(red, true)
		time.AfterFunc(2*time.Second, func() { n.Down(red, false) })
		leave, err := caller.channel.Join(t.Context(), both) // green is up, but leads nowhere
		if err != nil {
			t.Fatal(err)
		}
		defer leave()
		answer, err := caller.Ask(t.Context(), callee.key, both, getAddress)
		if err != nil {
			t.Fatal(err)
		}
		if answer.RTT != 60*time.Millisecond || answer.Offset != -3*time.Minute {
			t.Errorf("round trip %v, offset %v", answer.RTT, answer.Offset)
		}
	})
}

// TestBadBrokers asks many times over brokers that lose, repeat and reorder:
// every question is answered rightly, and handled exactly once.
func TestBadBrokers(t *testing.T) {
	for seed := range uint64(5) {
		inBubble(t, func(t *testing.T) {
			n := signalingtest.New(signalingtest.Config{
				Seed: seed, Latency: 50 * time.Millisecond, Jitter: 400 * time.Millisecond, Loss: 0.4, Duplicate: 0.3,
			})
			var handled atomic.Int64
			var callee *node
			callee = start(t, n, 2, signaling.Config{
				Admission: signaling.Everyone(key(t, 1).Public()),
				Handler: signaling.HandlerFunc(func(ctx context.Context, in signaling.In) {
					handled.Add(1)
					m := punch(in.Message.Punch.Fire + 1)
					m.ID = in.Message.ID // is not kept: an answer is no copy of the question
					if err := callee.Reply(ctx, in, m); err != nil {
						t.Error(err)
					}
				}),
			}, both...)
			caller := start(t, n, 1, signaling.Config{}, red)
			const questions = 12
			for q := range int64(questions) {
				question := punch(9000)
				question.TTL = signaling.MaxTTL
				question.Punch.Round = int(q)
				answer, err := caller.Ask(t.Context(), callee.key, both, question)
				if err != nil {
					t.Fatalf("seed %d, question %d: %v; callee %+v", seed, q, err, callee.Stats())
				}
				if m := answer.Message; m.Attempt != question.Attempt || m.Punch == nil || m.ID == m.Answers {
					t.Errorf("seed %d: answer %+v", seed, answer.Message)
				}
			}
			if got := handled.Load(); got != questions {
				t.Errorf("seed %d: %d questions were handled %d times", seed, questions, got)
			}
		})
	}
}

// TestRetransmission looks at the copies of a message that nobody answers.
func TestRetransmission(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		n := signalingtest.New(signalingtest.Config{Latency: 100 * time.Millisecond})
		absent := key(t, 2)
		caller := start(t, n, 1, signaling.Config{}, red)
		begin := time.Now()
		type copied struct {
			m     signaling.Message
			after time.Duration
		}
		var copies []copied
		n.Tap(func(p signalingtest.Payload) {
			_, body, err := seal.Open(absent, p.Bytes)
			if err != nil {
				t.Error(err)
				return
			}
			m, err := signaling.Decode(body)
			if err != nil {
				t.Error(err)
			}
			copies = append(copies, copied{m, p.At.Sub(begin)})
		})
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		_, err := caller.Ask(ctx, absent.Public(), []address.Broker{red}, punch(5000))
		var none *signaling.NoAnswerError
		if !errors.As(err, &none) || !errors.Is(err, signaling.ErrNoAnswer) {
			t.Fatalf("error %v", err)
		}
		if none.Acked || none.Copies != len(copies) || none.Waited != 20*time.Second || none.Hint() == "" {
			t.Errorf("%+v, hint %q", none, none.Hint())
		}
		if len(copies) < 5 || len(copies) > 8 {
			t.Fatalf("%d copies in 20 s", len(copies))
		}
		var last time.Duration
		for i, c := range copies {
			first := copies[0].m
			if c.m.ID != first.ID || c.m.Sent != first.Sent || c.m.TTL != 20_000 {
				t.Errorf("copy %d is %+v", i, c.m)
			}
			ms := c.after.Milliseconds()
			if c.m.Delay != ms || c.m.Punch.Fire != max(0, 5000-ms) {
				t.Errorf("copy %d left after %d ms, says %d and fires in %d", i, ms, c.m.Delay, c.m.Punch.Fire)
			}
			gap := c.after - last
			low := min(700*time.Millisecond<<max(0, i-1), 8*time.Second) // 3 × 200 + 100
			if i > 0 && (gap < low || gap > low*5/4+time.Millisecond) {
				t.Errorf("copy %d came %v after the one before, want %v to %v", i, gap, low, low*5/4)
			}
			last = c.after
		}
	})
}

func TestSend(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		n := signalingtest.New(signalingtest.Config{Latency: 20 * time.Millisecond})
		var got atomic.Pointer[signaling.In]
		callee := start(t, n, 2, signaling.Config{
			Admission: signaling.Only(key(t, 1).Public()),
			Handler:   signaling.HandlerFunc(func(_ context.Context, in signaling.In) { got.Store(&in) }),
		}, red)
		caller := start(t, n, 1, signaling.Config{}, red)
		m := punch(300)
		if err := caller.Send(t.Context(), callee.key, []address.Broker{red}, m); err != nil {
			t.Fatal(err)
		}
		in := got.Load()
		if in == nil {
			t.Fatal("acknowledged, but not delivered")
		}
		if in.From != caller.key || in.Level != signaling.Listed || in.Broker != red || in.Message.Attempt != m.Attempt || in.Message.Punch.Fire != 300 {
			t.Errorf("delivered %+v", in)
		}
	})
}

func TestRefusals(t *testing.T) {
	handler := func(callee **node) signaling.Handler {
		return signaling.HandlerFunc(func(ctx context.Context, in signaling.In) {
			_ = (*callee).Refuse(ctx, in, signaling.RefusedImpossible, "random ports on both sides")
		})
	}
	late := func() time.Time { return time.Now().Add(-11 * time.Minute) }
	cases := []struct {
		name    string
		handled bool
		now     func() time.Time // the caller's clock
		m       signaling.Message
		want    signaling.Reason
		detail  string
		offset  time.Duration
	}{
		{"by the handler", true, nil, punch(0), signaling.RefusedImpossible, "random ports on both sides", 0},
		{"no handler", false, nil, punch(0), signaling.RefusedUnsupported, "", 0},
		{"unknown kind", true, nil, signaling.Message{Kind: "P2P_LATER"}, signaling.RefusedUnsupported, "", 0},
		{"a clock 11 min behind", true, late, getAddress, signaling.RefusedClock, "", 11 * time.Minute},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				n := signalingtest.New(signalingtest.Config{Latency: 20 * time.Millisecond})
				var callee *node
				config := signaling.Config{Admission: signaling.Everyone()}
				if c.handled {
					config.Handler = handler(&callee)
				}
				callee = start(t, n, 2, config, red)
				caller := start(t, n, 1, signaling.Config{Now: c.now}, red)
				_, err := caller.Ask(t.Context(), callee.key, []address.Broker{red}, c.m)
				var refused *signaling.RefusedError
				if !errors.As(err, &refused) || !errors.Is(err, signaling.ErrRefused) {
					t.Fatalf("error %v", err)
				}
				if refused.Reason != c.want || refused.Detail != c.detail || refused.By != callee.key || refused.Offset != c.offset || refused.Hint() == "" {
					t.Errorf("%+v, hint %q", refused, refused.Hint())
				}
			})
		})
	}
}

// TestSilence shows that a stranger learns nothing: not one payload is
// published in return, whatever it asks.
func TestSilence(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		n := signalingtest.New(signalingtest.Config{Latency: 10 * time.Millisecond})
		callee := start(t, n, 2, signaling.Config{
			Admission: signaling.Only(key(t, 9).Public()),
			Handler:   signaling.HandlerFunc(func(context.Context, signaling.In) { t.Error("delivered") }),
		}, red)
		late := func() time.Time { return time.Now().Add(time.Hour) }
		stranger := start(t, n, 1, signaling.Config{}, red)
		wrong := start(t, n, 3, signaling.Config{Now: late}, red)
		n.Tap(func(p signalingtest.Payload) {
			if p.To != callee.key {
				t.Errorf("a payload was published to %v", p.To)
			}
		})
		for _, who := range []*node{stranger, wrong} {
			for _, m := range []signaling.Message{getAddress, punch(0), {Kind: "P2P_LATER"}} {
				m.TTL = 3000
				if _, err := who.Ask(t.Context(), callee.key, []address.Broker{red}, m); !errors.Is(err, signaling.ErrNoAnswer) {
					t.Errorf("%s: error %v", m.Kind, err)
				}
			}
		}
		if s := callee.Stats(); s.Stranger < 6 || s.Delivered != 0 || s.Late != 0 {
			t.Errorf("%+v", s)
		}
		callee.Admit(signaling.Everyone())
		n.Tap(nil)
		if _, err := stranger.Ask(t.Context(), callee.key, []address.Broker{red}, getAddress); err != nil {
			t.Errorf("after it was admitted: %v", err)
		}
	})
}

// TestForeignAnswer shows that only the key that was asked can answer.
func TestForeignAnswer(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		n := signalingtest.New(signalingtest.Config{Latency: 10 * time.Millisecond})
		asked, mallory := key(t, 2), key(t, 3)
		caller := start(t, n, 1, signaling.Config{Admission: signaling.Everyone()}, red)
		n.Tap(func(p signalingtest.Payload) {
			_, body, err := seal.Open(asked, p.Bytes)
			if err != nil {
				return
			}
			m, err := signaling.Decode(body)
			if err != nil {
				t.Error(err)
				return
			}
			reply := signaling.Message{
				Kind: signaling.KindReturnAddress, ID: signaling.NewID(), Answers: m.ID, Heard: m.Sent,
				Sent: m.Sent, TTL: 1000, From: address.Address{Key: mallory.Public()},
			}
			forged := sealed(t, mallory, caller.key, reply)
			reply.From.Key = asked.Public()
			misnamed := sealed(t, mallory, caller.key, reply)
			go func() { // the tap must not use the network
				n.Inject(red, caller.key, forged)
				n.Inject(red, caller.key, misnamed)
			}()
		})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if answer, err := caller.Ask(ctx, asked.Public(), []address.Broker{red}, getAddress); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("answer %+v, error %v", answer, err)
		}
		if s := caller.Stats(); s.Unasked == 0 || s.Misnamed == 0 || s.Answers != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func sealed(t testing.TB, from address.PrivateKey, to address.Key, m signaling.Message) []byte {
	t.Helper()
	body, err := signaling.Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := seal.Seal(from, to, body)
	if err != nil {
		t.Fatal(err)
	}
	return payload
}

// TestReplay has a broker that holds back copies of messages, which are sealed
// anew each, and lets them out over an hour: none is handled again.
func TestReplay(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		n := signalingtest.New(signalingtest.Config{Queue: 1000})
		var handled atomic.Int64
		callee := start(t, n, 2, signaling.Config{
			Admission: signaling.Everyone(),
			Handlers:  4 * 10,
			Handler:   signaling.HandlerFunc(func(context.Context, signaling.In) { handled.Add(1) }),
		}, red)
		sender := key(t, 1)
		const messages, rounds = 10, 20
		var held [][]byte
		for i := range messages {
			m := punch(0)
			skew := time.Duration(i*2-10) * time.Minute // clocks up to ten minutes wrong
			m.ID, m.Sent, m.TTL = signaling.NewID(), time.Now().Add(skew).UnixMilli(), 60_000
			m.From = address.Address{Key: sender.Public()}
			for range rounds {
				held = append(held, sealed(t, sender, callee.key, m))
			}
		}
		for round := range rounds {
			for i := range messages {
				n.Inject(red, callee.key, held[i*rounds+round])
			}
			time.Sleep(3 * time.Minute)
		}
		if got := handled.Load(); got != messages {
			t.Errorf("%d messages were handled %d times", messages, got)
		}
		if s := callee.Stats(); s.Duplicate+s.Late != (rounds-1)*messages || s.Duplicate == 0 || s.Late == 0 {
			t.Errorf("%+v", s)
		}
	})
}

// TestAnswerIsRepeated asks the same thing again and again, as after lost
// answers: the answer is the same, the handler is called once, and there is an
// end to it.
func TestAnswerIsRepeated(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		n := signalingtest.New(signalingtest.Config{Latency: 10 * time.Millisecond})
		var handled atomic.Int64
		var callee *node
		callee = start(t, n, 2, signaling.Config{
			Admission: signaling.Everyone(),
			Handler: signaling.HandlerFunc(func(ctx context.Context, in signaling.In) {
				handled.Add(1)
				if err := callee.Reply(ctx, in, punch(8000)); err != nil {
					t.Error(err)
				}
			}),
		}, red)
		sender := key(t, 1)
		asker := n.Channel(sender.Public(), red)
		defer asker.Close()
		m := punch(0)
		m.ID, m.Sent, m.TTL = signaling.NewID(), time.Now().UnixMilli(), 60_000
		m.From = address.Address{Key: sender.Public()}
		var answers []signaling.Message
		const copies = 40
		for range copies {
			n.Inject(red, callee.key, sealed(t, sender, callee.key, m))
			time.Sleep(time.Second)
			for len(asker.Deliveries()) > 0 {
				_, body, err := seal.Open(sender, (<-asker.Deliveries()).Payload)
				if err != nil {
					t.Fatal(err)
				}
				a, err := signaling.Decode(body)
				if err != nil {
					t.Fatal(err)
				}
				if a.Kind != signaling.KindAck {
					answers = append(answers, a)
				}
			}
		}
		if handled.Load() != 1 || len(answers) < 10 || len(answers) > 20 {
			t.Fatalf("handled %d times, answered %d times", handled.Load(), len(answers))
		}
		for i, a := range answers {
			first := answers[0]
			if a.ID != first.ID || a.Sent != first.Sent || a.Heard != first.Heard || a.Answers != m.ID {
				t.Errorf("answer %d is %+v", i, a)
			}
			if want := max(0, 8000-a.Delay); a.Punch.Fire != want || a.Delay != int64(i)*1000 {
				t.Errorf("answer %d is %d ms late and fires in %d", i, a.Delay, a.Punch.Fire)
			}
		}
	})
}

// TestWayBack has a caller name brokers on which the callee is not: answers go
// to those that both have open, and no connection is opened.
func TestWayBack(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		n := signalingtest.New(signalingtest.Config{Latency: 10 * time.Millisecond})
		trap := address.Broker{URL: "mqtt://203.0.113.66:1883"}
		ours := []address.Broker{red, {Index: 7}, green}
		callee := start(t, n, 2, signaling.Config{Admission: signaling.Everyone()}, ours...)
		caller := start(t, n, 1, signaling.Config{
			Self: func() address.Address { return address.Address{Brokers: []address.Broker{trap, green, blue}} },
		}, green, blue)
		var back []address.Broker
		n.Tap(func(p signalingtest.Payload) {
			if p.To == caller.key {
				back = append(back, p.Broker)
			}
		})
		if _, err := caller.Ask(t.Context(), callee.key, []address.Broker{red}, getAddress); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(back, []address.Broker{red, green}) {
			t.Errorf("answers went to %v, want %v", back, []address.Broker{red, green})
		}
		if open := callee.channel.Open(); !slices.Equal(open, ours) {
			t.Errorf("the callee is on %v now", open)
		}
	})
}

// stuck is a channel whose brokers take payloads and never let go.
type stuck struct {
	signaling.Channel
	inside atomic.Int64
}

func (s *stuck) Publish(ctx context.Context, _ address.Key, _ []address.Broker, _ []byte) error {
	s.inside.Add(1)
	defer s.inside.Add(-1)
	<-ctx.Done()
	time.Sleep(time.Second) // in the bubble: it takes a while to notice
	return ctx.Err()
}

// TestStuckBroker shows that Ask ends in time, and leaves nobody behind.
func TestStuckBroker(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		n := signalingtest.New(signalingtest.Config{})
		channel := &stuck{Channel: n.Channel(key(t, 1).Public(), red)}
		defer channel.Close()
		x, err := signaling.NewExchange(signaling.Config{Key: key(t, 1), Channel: channel})
		if err != nil {
			t.Fatal(err)
		}
		defer x.Close()
		m := getAddress
		m.TTL = 5000
		_, err = x.Ask(t.Context(), key(t, 2).Public(), both, m)
		var none *signaling.NoAnswerError
		if !errors.As(err, &none) || none.Copies != 0 || none.Waited != 5*time.Second {
			t.Errorf("error %v, %+v", err, none)
		}
		if left := channel.inside.Load(); left != 0 {
			t.Errorf("%d goroutines are still publishing", left)
		}
	})
}

// TestCourtesy replays many old messages at once: the refusals that they
// draw are few.
func TestCourtesy(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		n := signalingtest.New(signalingtest.Config{})
		sender := key(t, 1)
		callee := start(t, n, 2, signaling.Config{Admission: signaling.Everyone()}, red)
		refusals := 0
		n.Tap(func(p signalingtest.Payload) {
			if p.To == sender.Public() {
				refusals++
			}
		})
		for range 45 {
			m := getAddress
			m.ID, m.Sent, m.TTL = signaling.NewID(), time.Now().Add(-time.Hour).UnixMilli(), 1000
			m.From = address.Address{Key: sender.Public()}
			n.Inject(red, callee.key, sealed(t, sender, callee.key, m))
		}
		synctest.Wait()
		if s := callee.Stats(); refusals != 20 || s.Late != 45 {
			t.Errorf("%d refusals; %+v", refusals, s)
		}
	})
}

func TestNoBroker(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		n := signalingtest.New(signalingtest.Config{})
		caller := start(t, n, 1, signaling.Config{})
		n.Down(red, true)
		for _, brokers := range [][]address.Broker{nil, {red}} {
			_, err := caller.Ask(t.Context(), key(t, 2).Public(), brokers, getAddress)
			var none *signaling.NoBrokerError
			if !errors.As(err, &none) || !errors.Is(err, signaling.ErrNoBroker) || none.Hint() == "" {
				t.Errorf("brokers %v: error %v", brokers, err)
			}
		}
		if err := caller.Send(t.Context(), caller.key, both, getAddress); err == nil || !strings.Contains(err.Error(), "ourselves") {
			t.Errorf("to itself: %v", err)
		}
		if err := caller.Send(t.Context(), address.Key{}, both, getAddress); err == nil {
			t.Error("sent to nobody")
		}
		if err := caller.Send(t.Context(), key(t, 2).Public(), both, signaling.Message{Kind: signaling.KindDirect}); err == nil {
			t.Error("sent a message without its section")
		}
	})
}

func TestBusy(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		n := signalingtest.New(signalingtest.Config{Latency: 10 * time.Millisecond})
		release := make(chan struct{})
		callee := start(t, n, 2, signaling.Config{
			Admission: signaling.Everyone(key(t, 9).Public()),
			Handlers:  8,
			Handler:   signaling.HandlerFunc(func(context.Context, signaling.In) { <-release }),
		}, red)
		defer close(release)
		send := func(who *node) error {
			return who.Send(t.Context(), callee.key, []address.Broker{red}, punch(0))
		}
		var refused *signaling.RefusedError
		for k := range byte(3) { // two each, six in all
			who := start(t, n, 10+k, signaling.Config{}, red)
			for i := range 3 {
				err := send(who)
				if i < 2 && err != nil {
					t.Errorf("sender %d, message %d: %v", k, i, err)
				}
				if i == 2 && (!errors.As(err, &refused) || refused.Reason != signaling.RefusedBusy) {
					t.Errorf("sender %d, message %d: %v, want busy", k, i, err)
				}
			}
		}
		if err := send(start(t, n, 20, signaling.Config{}, red)); !errors.As(err, &refused) || refused.Reason != signaling.RefusedBusy {
			t.Errorf("a fourth open sender: %v, want busy", err)
		}
		if err := send(start(t, n, 9, signaling.Config{}, red)); err != nil {
			t.Errorf("a listed sender: %v", err)
		}
	})
}

// TestFlood has somebody publish 10 000 junk payloads a second to a node's
// topic on one broker. Questions by the other one are answered as ever.
func TestFlood(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		n := signalingtest.New(signalingtest.Config{Latency: 20 * time.Millisecond})
		callee := start(t, n, 2, signaling.Config{Admission: signaling.Everyone(key(t, 1).Public())}, red, green)
		caller := start(t, n, 1, signaling.Config{}, green)
		ctx, stop := context.WithCancel(t.Context())
		flooded := make(chan int)
		go func() {
			sent := 0
			defer func() { flooded <- sent }()
			for ctx.Err() == nil {
				time.Sleep(time.Millisecond)
				for range 10 {
					n.Inject(red, callee.key, junk(sent))
					sent++
				}
			}
		}()
		for range 13 {
			begin := time.Now()
			if _, err := caller.Ask(t.Context(), callee.key, []address.Broker{green}, getAddress); err != nil {
				t.Fatalf("%v; %+v", err, callee.Stats())
			}
			if took := time.Since(begin); took != 40*time.Millisecond {
				t.Errorf("an answer took %v, though nothing was lost", took)
			}
		}
		stop()
		sent := <-flooded
		s := callee.Stats()
		if sent < 5000 || s.OverBudget < uint64(sent)/2 || s.Congested != 0 {
			t.Errorf("%d junk payloads: %+v", sent, s)
		}
	})
}

// junk is a payload that only its opening shows to be none.
func junk(n int) []byte {
	b := bytes.Repeat([]byte{byte(n), byte(n >> 8), byte(n >> 16), 7}, seal.Buckets[0]/4)
	b[0], b[1] = seal.Version, 2
	return b
}

func TestClose(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		n := signalingtest.New(signalingtest.Config{Latency: 10 * time.Millisecond})
		cancelled := make(chan error, 1)
		callee := start(t, n, 2, signaling.Config{
			Admission: signaling.Everyone(),
			Handler: signaling.HandlerFunc(func(ctx context.Context, _ signaling.In) {
				<-ctx.Done()
				cancelled <- ctx.Err()
			}),
		}, red)
		caller := start(t, n, 1, signaling.Config{}, red)
		if err := caller.Send(t.Context(), callee.key, []address.Broker{red}, punch(0)); err != nil {
			t.Fatal(err)
		}
		asked := make(chan error, 1)
		go func() {
			_, err := caller.Ask(t.Context(), callee.key, []address.Broker{red}, punch(0))
			asked <- err
		}()
		synctest.Wait()
		for range 2 {
			if err := errors.Join(caller.Close(), callee.Close()); err != nil {
				t.Error(err)
			}
		}
		if err := <-asked; !errors.Is(err, signaling.ErrClosed) {
			t.Errorf("Ask gave %v", err)
		}
		select {
		case err := <-cancelled:
			if err == nil {
				t.Error("the handler was let go without a cause")
			}
		default:
			t.Error("Close did not wait for the handler")
		}
		if err := caller.Send(t.Context(), callee.key, []address.Broker{red}, punch(0)); !errors.Is(err, signaling.ErrClosed) {
			t.Errorf("Send after Close gave %v", err)
		}
		if err := callee.Reply(t.Context(), signaling.In{}, punch(0)); !errors.Is(err, signaling.ErrClosed) {
			t.Errorf("Reply after Close gave %v", err)
		}
	})
}

// TestChannelCloses takes the channel away under an exchange.
func TestChannelCloses(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		n := signalingtest.New(signalingtest.Config{Latency: 10 * time.Millisecond})
		caller := start(t, n, 1, signaling.Config{}, red)
		asked := make(chan error, 1)
		go func() {
			_, err := caller.Ask(t.Context(), key(t, 2).Public(), []address.Broker{red}, getAddress)
			asked <- err
		}()
		synctest.Wait()
		if err := caller.channel.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-asked; !errors.Is(err, signaling.ErrClosed) {
			t.Errorf("Ask gave %v", err)
		}
	})
}

// TestManyAtOnce runs on real time, for the race detector.
func TestManyAtOnce(t *testing.T) {
	n := signalingtest.New(signalingtest.Config{Latency: time.Millisecond, Jitter: time.Millisecond, Queue: 4096})
	var callee *node
	callers := make([]*node, 8)
	var admitted []address.Key
	for k := range callers {
		callers[k] = start(t, n, 10+byte(k), signaling.Config{}, red)
		admitted = append(admitted, callers[k].key)
	}
	ready := make(chan struct{})
	callee = start(t, n, 2, signaling.Config{
		Admission: signaling.Only(admitted...),
		Handlers:  64,
		Handler: signaling.HandlerFunc(func(ctx context.Context, in signaling.In) {
			<-ready
			_ = callee.Reply(ctx, in, punch(0))
		}),
	}, both...)
	close(ready)
	const each = 5
	errs := make(chan error)
	for _, caller := range callers {
		for range each {
			go func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				_, err := caller.Ask(ctx, callee.key, both, punch(0))
				errs <- err
			}()
		}
	}
	for range len(callers) * each {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if s := callee.Stats(); s.Delivered != uint64(len(callers)*each) {
		t.Errorf("%+v", s)
	}
}
