package code

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/signaling/broker"
	"github.com/sallyport-net/sallyport/signaling/broker/brokertest"
	"github.com/sallyport-net/sallyport/signaling/mqtt"
)

const patience = time.Minute

// meet gives a broker and the configurations of two sides.
func meet(t *testing.T) (here, there Config) {
	t.Helper()
	b := brokertest.Start(t, broker.Config{})
	at, err := address.ParseBroker(b.URL())
	if err != nil {
		t.Fatal(err)
	}
	config := func(n byte) Config {
		self, err := address.Parse(addressOf(n))
		if err != nil {
			t.Fatal(err)
		}
		return Config{Self: self, Brokers: []address.Broker{at}}
	}
	return config(1), config(2)
}

func TestOfferAndTake(t *testing.T) {
	here, there := meet(t)
	offering, taking := 0, 0 // how often each was told of a broker
	here.Opened = func() { offering++ }
	there.Opened = func() { taking++ }
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	begun := time.Now()
	o, err := Offer(here)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	if took := time.Since(begun); took > 50*time.Millisecond {
		t.Logf("the code took %v", took)
	}
	c, err := Parse(o.Code().String())
	if err != nil {
		t.Fatal(err)
	}
	var taken Peer
	var failed error
	var wait sync.WaitGroup
	wait.Go(func() { taken, failed = Take(ctx, there, c) })
	offered, err := o.Accept(ctx)
	wait.Wait()
	if err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	if taken.Address.String() != addressOf(1) || offered.Address.String() != addressOf(2) || taken.Secret != offered.Secret {
		t.Errorf("%+v, %+v", taken, offered)
	}
	if offering != 1 || taking != 1 {
		t.Errorf("told of a broker %d and %d times", offering, taking)
	}
	// It is used up.
	for within := 2 * askAgain; ; within *= 2 {
		short, cancel := context.WithTimeout(ctx, within)
		peer, err := Take(short, there, c)
		cancel()
		var nobody *mqtt.BrokersError
		if errors.As(err, &nobody) && ctx.Err() == nil { // the broker was not reached so soon
			continue
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a second time: %v, %v", peer, err)
		}
		break
	}
}

// Both sides know within a second that the words were wrong.
func TestWrongWords(t *testing.T) {
	here, there := meet(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	o, err := offer(here, Code{7, [2]string{"zebra", "acrobat"}})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	var failed error
	var wait sync.WaitGroup
	wait.Go(func() { _, failed = Take(ctx, there, Code{7, [2]string{"zebra", "acid"}}) })
	_, err = o.Accept(ctx)
	wait.Wait()
	if !errors.Is(err, ErrWrongCode) || !errors.Is(failed, ErrWrongCode) {
		t.Errorf("%v, %v", err, failed)
	}
	if _, err := o.Accept(ctx); !errors.Is(err, ErrWrongCode) {
		t.Errorf("again: %v", err)
	}
}

// Whoever begins and does not prove anything has had the one guess.
func TestAbandoned(t *testing.T) {
	here, there := meet(t)
	here.proof = 50 * time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	o, err := Offer(here)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	channel, at, self, err := there.open(o.code.number, takeBrokers)
	if err != nil {
		t.Fatal(err)
	}
	defer channel.Close()
	leave, err := channel.Join(ctx, at)
	if err != nil {
		t.Fatal(err)
	}
	defer leave()
	if _, err := o.channel.Join(ctx, at); err != nil {
		t.Fatal(err)
	}
	if err := channel.Post(ctx, at, newTaker(New(), self).current, false); err != nil {
		t.Fatal(err)
	}
	if _, err := o.Accept(ctx); !errors.Is(err, ErrAbandoned) {
		t.Errorf("%v", err)
	}
	// The right words come too late.
	short, cancel := context.WithTimeout(ctx, 2*askAgain)
	defer cancel()
	if peer, err := Take(short, there, o.Code()); err == nil {
		t.Errorf("taken by %v", peer)
	}
}

// tooLate reports whether a wait has ended with its time: before the peer came, or
// before the broker was reached.
func tooLate(err error) bool {
	var nobody *mqtt.BrokersError
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &nobody)
}

func TestNobodyThere(t *testing.T) {
	here, there := meet(t)
	o, err := Offer(here)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := o.Accept(ctx); !tooLate(err) {
		t.Errorf("%v", err)
	}
	other := Code{o.code.number%maxNumber + 1, o.code.words}
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Take(ctx, there, other); !tooLate(err) {
		t.Errorf("%v", err)
	}
	if _, err := Take(t.Context(), there, Code{}); err == nil {
		t.Error("an empty code was taken")
	}
	if _, err := Offer(Config{}); err == nil {
		t.Error("nobody's address was offered")
	}
}

// Where no broker is reached, nobody is told that one is.
func TestNoNetwork(t *testing.T) {
	here, there := meet(t)
	here.Opened = func() { t.Error("a broker was reached that is not there") }
	there.Opened = here.Opened
	here.Brokers = []address.Broker{{URL: "tcp://127.0.0.1:1"}}
	there.Brokers = here.Brokers
	o, err := Offer(here)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	var nobody *mqtt.BrokersError
	if _, err := o.Accept(t.Context()); !errors.As(err, &nobody) {
		t.Errorf("%v", err)
	}
	if _, err := Take(t.Context(), there, o.Code()); !errors.As(err, &nobody) {
		t.Errorf("%v", err)
	}
}
