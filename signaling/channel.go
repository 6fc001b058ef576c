package signaling

import (
	"context"
	"time"

	"github.com/sallyport-net/sallyport/address"
)

// Topic is the MQTT topic on which the owner of key listens.
func Topic(key address.Key) string { return "sallyport/1/" + key.String() }

// Delivery is one payload as it came from a broker: nothing in it has been
// checked.
type Delivery struct {
	Broker  address.Broker
	Payload []byte
	At      time.Time // when it was read from the connection
}

// Channel carries sealed payloads between topics. It promises nothing about
// delivery, order or number of copies; Exchange makes up for that.
type Channel interface {
	// Publish hands payload to the topic of key to, on every one of brokers
	// to which a connection is open, at once. It opens no connection. The
	// error is not nil only where no broker took the payload.
	Publish(ctx context.Context, to address.Key, brokers []address.Broker, payload []byte) error
	// Deliveries gives what arrives on our own topic. When nobody reads, the
	// oldest are dropped. It is closed by Close.
	Deliveries() <-chan Delivery
	// Join connects to brokers (those of somebody whom we call) and keeps
	// them until leave is called. It returns when the first one is open, or
	// with an error that names what each met.
	Join(ctx context.Context, brokers []address.Broker) (leave func(), err error)
	// Open lists the brokers to which a connection is open now, own ones first.
	Open() []address.Broker
	// RTT is the last known round trip to a broker, 0 if unknown.
	RTT(b address.Broker) time.Duration
	// Close ends every connection and waits for its goroutines. It may be
	// called more than once.
	Close() error
}
