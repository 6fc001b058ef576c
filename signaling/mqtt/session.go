package mqtt

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"sync"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/sallyport-net/sallyport/signaling/proof"
)

const (
	// handOver is how long a publish may wait until paho takes it, which it
	// does as soon as it is not busy writing.
	handOver = 2 * time.Second
	// goodbye is how long a connection gets to send its DISCONNECT, letGo how
	// long paho gets to end its goroutines once the connection has ended.
	goodbye = 200 * time.Millisecond
	letGo   = time.Second
	// maxPublishing is how many publishes may be under way on one connection.
	maxPublishing = 64
)

// session is one connection to a broker, subscribed, from its opening to its
// end. It is not opened again.
type session struct {
	endpoint      endpoint
	wire          *wire
	stream        *stream
	client        paho.Client
	subscribed    time.Duration // from SUBSCRIBE to SUBACK
	opened        time.Time
	goodbye       time.Duration
	local, remote netip.AddrPort

	lost     chan struct{} // closed when the connection ended without our doing
	loseOnce sync.Once
	slots    chan struct{}
}

// stream is a connection as paho sees it: checked packets come in, and each
// write, which is a whole packet, goes out in one piece.
type stream struct {
	net.Conn
	wire *wire
	in   *inbound
	out  sync.Mutex
}

func (s *stream) Read(p []byte) (int, error) {
	n, err := s.in.Read(p)
	if s.in.greeted { // from now on it is the packets that are bounded
		s.wire.open.Store(true)
	}
	if err != nil {
		err = s.wire.explain(err)
		s.wire.abort(err)
	}
	return n, err
}

// Write is called by paho's writer, by its pinger, and by ours.
func (s *stream) Write(p []byte) (int, error) {
	s.out.Lock()
	defer s.out.Unlock()
	n, err := s.Conn.Write(p)
	if err != nil {
		err = s.wire.explain(err)
	}
	return n, err
}

// Close ends every layer in turn, or only the wire where it is too late for
// manners.
func (s *stream) Close() error {
	if s.wire.polite.Load() {
		_ = s.Conn.Close()
	}
	return s.wire.Close()
}

func (s *stream) SetDeadline(time.Time) error      { return nil }
func (s *stream) SetReadDeadline(time.Time) error  { return nil }
func (s *stream) SetWriteDeadline(time.Time) error { return nil }

// openSession connects to e and subscribes. When it returns an error, nothing
// of it is left.
func (c *Channel) openSession(ctx context.Context, e endpoint, deliver func(payload []byte)) (*session, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.config.ConnectTimeout,
		fmt.Errorf("no answer within %v", c.config.ConnectTimeout))
	defer cancel()
	conn, w, err := e.dial(ctx, &c.config)
	if err != nil {
		if w != nil {
			w.abort(err)
		}
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, err
	}
	s := &session{
		endpoint: e,
		wire:     w,
		local:    addrPort(w.LocalAddr()),
		remote:   addrPort(w.RemoteAddr()),
		goodbye:  c.config.goodbye,
		lost:     make(chan struct{}),
		slots:    make(chan struct{}, maxPublishing),
	}
	s.stream = &stream{
		Conn: conn,
		wire: w,
		in:   newInbound(conn, c.topic, c.config.MaxPayload, c.config.Retained, &c.skipped),
	}
	s.client = paho.NewClient(c.options(s, s.stream))
	// From here on, the end of ctx is the end of the connection, which all
	// that follows waits for.
	stop := context.AfterFunc(ctx, func() { w.abort(context.Cause(ctx)) })
	connected := s.client.Connect()
	<-connected.Done()
	if err := connected.Error(); err != nil {
		// Nothing of the client runs. Its Disconnect would wait for somebody
		// to take a DISCONNECT.
		stop()
		err = w.explain(err)
		w.abort(err)
		return nil, err
	}
	err = s.listen(&c.config, c.topic, s.stream.in.asked, deliver)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		err = w.explain(err)
		s.end(false)
		return nil, err
	}
	return s, nil
}

func (c *Channel) options(s *session, conn net.Conn) *paho.ClientOptions {
	o := paho.NewClientOptions()
	o.Servers = []*url.URL{s.endpoint.url}
	o.SetCustomOpenConnectionFn(func(*url.URL, paho.ClientOptions) (net.Conn, error) { return conn, nil })
	o.SetProtocolVersion(4)
	o.SetClientID(rand.Text()[:20]) // a public id would let anybody evict us; MQTT promises 23 characters
	o.SetCleanSession(true)
	o.SetOrderMatters(false)
	o.SetAutoReconnect(false)
	o.SetConnectRetry(false)
	o.SetKeepAlive(c.config.KeepAlive)
	// The wire notices silence first and says so. With the same patience, paho would
	// now and then end it a moment before, and the cause would be lost.
	o.SetPingTimeout(c.config.KeepAlive + c.config.PingTimeout)
	o.SetWriteTimeout(handOver)
	o.SetConnectionLostHandler(func(_ paho.Client, err error) {
		s.wire.abort(err)
		s.loseOnce.Do(func() { close(s.lost) })
	})
	return o
}

// listen subscribes, with a proof of the key where the broker asks for one. A
// challenge that was not there in time costs a round trip.
func (s *session) listen(c *Config, topic string, asked <-chan proof.Challenge, deliver func([]byte)) error {
	refused := errRefused
	if c.Topic != "" {
		asked = nil // it is nobody's topic
	}
	for {
		select {
		case challenge := <-asked:
			if c.Sign == nil {
				return errNoProof
			}
			if err := s.prove(proof.Make(challenge, c.Key, c.Sign, s.endpoint.host)); err != nil {
				return err
			}
			refused = fmt.Errorf("broker refused the proof of our key, and thus the subscription: is %q one of its names?", s.endpoint.host)
			asked = nil // once
		default:
		}
		switch err := s.subscribe(topic, c.Retained, deliver); {
		case err != errRefused:
			return err
		case len(asked) == 0:
			return refused
		}
	}
}

var (
	errRefused = errors.New("broker refused the subscription")
	errNoProof = errors.New("broker wants a proof of the key, which is not there to sign with")
)

// prove sends the answer to a challenge, and waits until it is written: paho
// would send a SUBSCRIBE ahead of it.
func (s *session) prove(answer []byte) error {
	token := s.client.Publish(proof.Topic, 0, false, answer)
	select {
	case <-token.Done():
		return token.Error()
	case <-s.lost:
		return errEnded
	}
}

// subscribe waits for the SUBACK, at the longest until the wire ends.
func (s *session) subscribe(topic string, retained bool, deliver func([]byte)) error {
	begin := time.Now()
	token := s.client.Subscribe(topic, 0, func(_ paho.Client, m paho.Message) {
		if retained || !m.Retained() {
			deliver(m.Payload())
		}
	}).(*paho.SubscribeToken)
	select {
	case <-token.Done():
	case <-s.lost:
		return errEnded
	}
	if err := token.Error(); err != nil {
		return err
	}
	s.opened = time.Now()
	s.subscribed = s.opened.Sub(begin)
	if code, ok := token.Result()[topic]; !ok || code > 2 {
		return errRefused
	}
	return nil
}

// open reports whether the connection stands. IsConnected would be true while
// a client is merely about to reconnect.
func (s *session) open() bool { return s.client.IsConnectionOpen() }

// publish hands a message to paho and waits until it is written, the
// connection is lost, or ctx is done. It ends within handOver of any of them.
func (s *session) publish(ctx context.Context, topic string, payload []byte, retain bool) error {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	default:
		return errBusy
	}
	if !s.open() {
		return ErrNotOpen
	}
	token := s.client.Publish(topic, 0, retain, payload)
	select {
	case <-token.Done():
		if err := token.Error(); err != nil {
			return s.wire.explain(err)
		}
		return nil
	case <-s.lost:
		return s.wire.explain(errEnded)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// end closes the connection, if polite with a DISCONNECT and a FIN, and waits
// until paho has let go of it.
func (s *session) end(polite bool) {
	if polite {
		s.wire.polite.Store(true)
		defer time.AfterFunc(s.goodbye, func() { s.wire.abort(errEnded) }).Stop()
	} else {
		s.wire.abort(errEnded)
	}
	s.client.Disconnect(uint((s.goodbye + letGo).Milliseconds())) // returns as soon as it is done
	_ = s.wire.Close()
	s.loseOnce.Do(func() { close(s.lost) })
}

// rtt is the round trip as well as it is known.
func (s *session) rtt() time.Duration {
	if d := kernelRTT(s.wire.Conn); d > 0 {
		return d
	}
	if _, ok := s.wire.Conn.(*net.TCPConn); ok {
		return s.wire.dialled
	}
	return s.subscribed
}
