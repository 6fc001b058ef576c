package signaling_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/signaling"
	"github.com/sallyport-net/sallyport/signaling/seal"
	"github.com/sallyport-net/sallyport/signaling/signalingtest"
)

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
