package nickname

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/signaling"
	"github.com/sallyport-net/sallyport/signaling/mqtt"
)

const (
	// storeBrokers and fetchBrokers are how many brokers of each generation a
	// name is kept on, and looked for on. A caller looks on one more, for an
	// owner that could not reach the first ones.
	storeBrokers = 3
	fetchBrokers = 4
	boardTimeout = 8 * time.Second
	// seenPerBroker is how many messages of one broker are looked at: each may
	// cost a slow hash.
	seenPerBroker = 4
)

// Board keeps self-certifying names as retained messages on brokers. Anybody
// may overwrite such a message on a public broker, with garbage only: what is
// not signed by the key of the name does not count. While that lasts, the name
// is not found there; its owner's next refresh puts it back.
type Board struct {
	// Brokers replace the public ones that follow from each name.
	Brokers []address.Broker
	// Dial opens the connections. Default: a net.Dialer.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Settle is how long a broker may take for what it retains, from the
	// subscription on, and for the echo of what is stored. MQTT does not say
	// when there is nothing. Default 1 s.
	Settle time.Duration
	Logger *slog.Logger // default silent
}

func (b Board) brokers(name Name, n int) []address.Broker {
	if len(b.Brokers) > 0 {
		return b.Brokers
	}
	return signaling.HomeOf("sallyport name home 1\x00"+name.String(), n)
}

func (b Board) settle() time.Duration {
	if b.Settle > 0 {
		return b.Settle
	}
	return time.Second
}

// Fetch looks for a name on all of its brokers, for 8 s at most. Once one has
// given a good record, the others get the time of Settle.
func (b Board) Fetch(ctx context.Context, name Name) []Answer {
	return b.visit(ctx, name, fetchBrokers, nil)
}

// Store puts a record on its brokers, and answers for each whether it took it.
func (b Board) Store(ctx context.Context, record Record) []Answer {
	return b.visit(ctx, record.Name, storeBrokers, record.Bytes())
}

// stand is what is known of one broker during a visit.
type stand struct {
	answer  Answer
	open    bool
	done    bool
	since   time.Time // opened
	looked  int
	pending bool // the record was posted, and its echo has not come
}

// visit subscribes to the name's topic on its brokers, posts the record if
// there is one, and collects what comes.
func (b Board) visit(ctx context.Context, name Name, n int, post []byte) []Answer {
	ctx, cancel := context.WithTimeout(ctx, boardTimeout)
	defer cancel()
	brokers := b.brokers(name, n)
	if !name.SelfCertifying() || len(brokers) == 0 {
		return nil
	}
	stands := make(map[address.Broker]*stand, len(brokers))
	for _, at := range brokers {
		stands[at] = &stand{answer: Answer{Place: placeName(at)}}
	}
	type news struct {
		broker address.Broker
		state  mqtt.State
	}
	states := make(chan news, 64)
	channel, err := mqtt.New(mqtt.Config{
		Topic: name.Topic(), Retained: true, Brokers: brokers, Endpoints: signaling.Endpoints,
		Dial: b.Dial, Logger: b.Logger, ConnectTimeout: boardTimeout, MaxPayload: MaxRecord,
		MinBackoff: boardTimeout, // one try for each
		OnState: func(at address.Broker, s mqtt.State) {
			select {
			case states <- news{at, s}:
			default:
			}
		},
	})
	if err != nil {
		return []Answer{{Place: "the brokers", Err: err}}
	}
	defer channel.Close()
	tick := time.NewTicker(b.settle() / 20)
	defer tick.Stop()
	var good time.Time // when the first good record came
	for {
		select {
		case s := <-states:
			at := stands[s.broker]
			if at == nil {
				continue
			}
			switch {
			case !s.state.Open && !at.done:
				at.done, at.answer.Err = true, fmt.Errorf("%w: %w", ErrNoAnswer, s.state.Err)
			case s.state.Open && !at.open:
				at.open, at.since = true, time.Now()
				if post != nil {
					at.pending = true
					if err := channel.Post(ctx, []address.Broker{s.broker}, post, true); err != nil {
						at.done, at.answer.Err = true, err
					}
				}
			}
		case d, ok := <-channel.Deliveries():
			if !ok {
				return collect(brokers, stands)
			}
			at := stands[d.Broker]
			if at == nil || at.done {
				continue
			}
			if post != nil {
				if bytes.Equal(d.Payload, post) && at.pending {
					at.done = true
					at.answer.Record, at.answer.Err = DecodeRecord(post)
				}
				continue
			}
			if at.looked++; at.looked > seenPerBroker {
				continue
			}
			if r, err := DecodeRecord(d.Payload); err != nil {
				if !at.answer.found() {
					at.answer.Err = err
				}
			} else if r.Name == name && (!at.answer.found() || r.Newer(at.answer.Record)) {
				at.answer.Record, at.answer.Err = r, nil
				if good.IsZero() {
					good = time.Now()
				}
			}
		case <-tick.C:
		case <-ctx.Done():
			return collect(brokers, stands)
		}
		waiting := false
		for _, at := range stands {
			patience := b.settle()
			if post != nil {
				patience *= 3
			}
			if at.open && !at.done && (post == nil && !at.answer.Record.Key.IsZero() || time.Since(at.since) > patience) {
				at.done = true
				if at.pending {
					at.answer.Err = errors.New("it did not take the record")
				}
			}
			waiting = waiting || !at.done
		}
		if !waiting || !good.IsZero() && time.Since(good) > b.settle() {
			return collect(brokers, stands)
		}
	}
}

// collect gives the answers in the brokers' order.
func collect(brokers []address.Broker, stands map[address.Broker]*stand) []Answer {
	var answers []Answer
	for _, at := range brokers {
		s := stands[at]
		if !s.open && s.answer.Err == nil {
			s.answer.Err = fmt.Errorf("%w in time", ErrNoAnswer)
		}
		answers = append(answers, s.answer)
	}
	return answers
}

func placeName(b address.Broker) string {
	if known := signaling.WellKnown(); b.URL == "" && b.Index < len(known) {
		return known[b.Index].Name
	}
	return b.String()
}
