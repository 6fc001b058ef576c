package signaling_test

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
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
