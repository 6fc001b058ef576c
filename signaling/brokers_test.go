package signaling_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/signaling"
	"github.com/sallyport-net/sallyport/signaling/seal"
	"github.com/sallyport-net/sallyport/signaling/signalingtest"
)

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
