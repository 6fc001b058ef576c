package signaling_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/signaling"
	"github.com/sallyport-net/sallyport/signaling/signalingtest"
)

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
