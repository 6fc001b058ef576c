package code

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/signaling"
	"github.com/sallyport-net/sallyport/signaling/mqtt"
)

const (
	offerBrokers = 2
	takeBrokers  = 4
	// askAgain is how often the taker repeats what has no answer yet.
	askAgain = 500 * time.Millisecond
	// proofTime is how long a taker may take to prove that it knows the words.
	proofTime = 10 * time.Second
)

// Config says who we are and where to meet. Self is needed.
type Config struct {
	// Self is the address that the other side gets.
	Self address.Address
	// Brokers replace the public ones that follow from the code's number. Both
	// sides must have one in common.
	Brokers []address.Broker
	// Dial opens the connections. Default: a net.Dialer.
	Dial   func(ctx context.Context, network, addr string) (net.Conn, error)
	Logger *slog.Logger // default silent
	// Opened is called once, when the first broker is reached: before that the
	// other side can't be met, whatever it does. It must not block. Default: nobody
	// is told.
	Opened func()

	proof time.Duration // default proofTime
}

func (c Config) tellOpened() {
	if c.Opened != nil {
		c.Opened()
	}
}

func (c Config) open(number, brokers int) (*mqtt.Channel, []address.Broker, string, error) {
	self, err := c.Self.MarshalText()
	if err != nil {
		return nil, nil, "", err
	}
	if c.Self.Key.IsZero() || len(self) > maxAddress {
		return nil, nil, "", fmt.Errorf("a code wants the address of a key, of at most %d bytes", maxAddress)
	}
	at := c.Brokers
	if len(at) == 0 {
		at = signaling.HomeOf("sallyport code home 1\x00"+strconv.Itoa(number), brokers)
	}
	channel, err := mqtt.New(mqtt.Config{
		Topic: "sallyport/1/code-" + strconv.Itoa(number), Brokers: at, Endpoints: signaling.Endpoints,
		Dial: c.Dial, Logger: c.Logger, MaxPayload: maxMessage,
	})
	return channel, at, string(self), err
}

// Offering is a code that waits to be taken.
type Offering struct {
	code    Code
	channel *mqtt.Channel
	brokers []address.Broker
	opened  func()
	side    *offerer
	proof   time.Duration

	cancel  context.CancelFunc
	all     sync.WaitGroup
	settled chan struct{} // closed when peer or err is known
	peer    Peer
	err     error
}

// Offer draws a code and waits at its place until the offering is closed. The
// code is known at once, before any broker is reached.
func Offer(config Config) (*Offering, error) { return offer(config, New()) }

func offer(config Config, c Code) (*Offering, error) {
	channel, at, self, err := config.open(c.number, offerBrokers)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	if config.proof <= 0 {
		config.proof = proofTime
	}
	o := &Offering{
		proof: config.proof,
		code:  c, channel: channel, brokers: at, opened: sync.OnceFunc(config.tellOpened), side: &offerer{code: c, self: self},
		cancel: cancel, settled: make(chan struct{}),
	}
	o.all.Go(func() { o.serve(ctx) })
	return o, nil
}

// Code is what the other side types.
func (o *Offering) Code() Code { return o.code }

// Accept waits for the other side. It fails with ErrWrongCode or ErrAbandoned
// when the code is used up, with a *mqtt.BrokersError when no broker can be
// reached, or with the context's error.
func (o *Offering) Accept(ctx context.Context) (Peer, error) {
	leave, err := o.channel.Join(ctx, o.brokers)
	if err != nil {
		return Peer{}, err
	}
	defer leave()
	o.opened()
	select {
	case <-o.settled:
	case <-ctx.Done():
		return Peer{}, ctx.Err()
	}
	return o.peer, o.err
}

// serve answers, the last message too, for as long as the offering lives: the
// taker may not have heard it.
func (o *Offering) serve(ctx context.Context) {
	var late <-chan time.Time
	settle := func(peer Peer, err error) {
		o.peer, o.err = peer, err
		o.side.over = true
		late = nil
		close(o.settled)
	}
	for {
		select {
		case d, ok := <-o.channel.Deliveries():
			if !ok {
				return
			}
			m, err := decode(d.Payload)
			if err != nil {
				continue
			}
			first := o.side.session == nil
			reply, peer, done, err := o.side.receive(m)
			if first && o.side.session != nil {
				late = time.After(o.proof)
			}
			if reply != nil {
				_ = o.channel.Post(ctx, o.channel.Open(), reply, false)
			}
			if done {
				settle(peer, err)
			}
		case <-late:
			settle(Peer{}, ErrAbandoned)
		case <-ctx.Done():
			return
		}
	}
}

// Close takes the code back, and waits until nothing of it runs. It may be
// called more than once.
func (o *Offering) Close() error {
	o.cancel()
	err := o.channel.Close()
	o.all.Wait()
	return err
}

// Take meets the side that offers c, for as long as ctx lasts. It fails with
// ErrWrongCode where the words are not the same, with a *mqtt.BrokersError when
// no broker can be reached, or with the context's error when nobody is there.
func Take(ctx context.Context, config Config, c Code) (Peer, error) {
	if c.number == 0 {
		return Peer{}, errors.New("an empty code")
	}
	channel, at, self, err := config.open(c.number, takeBrokers)
	if err != nil {
		return Peer{}, err
	}
	defer channel.Close()
	leave, err := channel.Join(ctx, at)
	if err != nil {
		return Peer{}, err
	}
	defer leave()
	config.tellOpened()
	side := newTaker(c, self)
	again := time.NewTicker(askAgain)
	defer again.Stop()
	send := func(b []byte) {
		for _, at := range channel.Open() { // each has it before we go on, perhaps to close
			_ = channel.Post(ctx, []address.Broker{at}, b, false)
		}
	}
	send(side.current)
	for {
		select {
		case d, ok := <-channel.Deliveries():
			if !ok {
				return Peer{}, mqtt.ErrClosed
			}
			m, err := decode(d.Payload)
			if err != nil {
				continue
			}
			reply, peer, done, err := side.receive(m)
			if reply != nil {
				send(reply)
			}
			if done {
				return peer, err
			}
		case <-again.C:
			send(side.current)
		case <-ctx.Done():
			return Peer{}, ctx.Err()
		}
	}
}
