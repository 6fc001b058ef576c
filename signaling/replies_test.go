package signaling_test

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/signaling"
	"github.com/sallyport-net/sallyport/signaling/seal"
	"github.com/sallyport-net/sallyport/signaling/signalingtest"
)

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
