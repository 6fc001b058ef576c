// Package node joins the parts into a peer: it finds out what its networks do,
// listens for signals on its brokers, accepts connections, and calls others by
// every strategy at once.
//
//	n, err := node.New(ctx, node.Config{})
//	fmt.Println(n.Addr())                 // what others call
//	conn, err := n.Connect(ctx, target)   // an address or a node id
//	conn, err := n.Accept()               // Node is a net.Listener
//
// Every connection is TLS 1.3 between two proven keys, over a TCP connection
// that leads straight from one machine to the other, or through a relay where
// Config.Relays or Config.RelayNodes names one and nothing else works. It is a
// net.Conn, so that what was written for TCP works over it unchanged.
//
// # Servers and clients
//
// A server takes a Node for its listener: http.Serve(n, handler), and closing
// the listener, as http.Server.Shutdown does, closes the node. A client takes a
// Dialer: http.Transport{DialContext: d.DialContext}. The examples show both,
// and net/rpc; docs/examples/grpc shows gRPC. Neither side needs TLS of its own:
// Conn.Peer is the key of the other end, and who may connect at all is for
// Config.Admission to say.
//
// # Whom a node serves
//
// Nobody, before the first call of Accept; then whom Config.Admission admits,
// by default everyone who knows the address or id. Config.Key is who the node
// is: keep it (address.LoadOrCreateKey) to have the same id the next time.
//
// # What can go wrong
//
// A Connect that fails gives a *ConnectError with what each strategy met, and
// with one change that would help as its Hint. It is ErrAbsent where the peer
// never answered, and link.ErrRefused, on the first Read of a new connection,
// where the peer does not want it. A node that has no network starts all the
// same, and Node.Health says what it misses.
//
// # Lifetimes
//
// The context of a call bounds that call only. A connection outlives the path
// that carries it, and lasts until one end closes it, or no path is found for
// Config.HoldOn. Node.Close ends the node and what it tries; connections that
// were handed out stay as long as their path does.
//
// What of this may change between versions is in docs/stability.md.
package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node/link"
	"github.com/sallyport-net/sallyport/node/session"
	"github.com/sallyport-net/sallyport/signaling"
	"github.com/sallyport-net/sallyport/signaling/mqtt"
	"github.com/sallyport-net/sallyport/signaling/reflector"
)

const (
	// readyTimeout bounds how long New waits for the networks to answer.
	readyTimeout = 4 * time.Second
	// maxHandlers is how many signals are worked on at once. Each may keep a
	// punch open for some seconds.
	maxHandlers = 64
)

// Node is a peer on the network. It is safe for concurrent use.
type Node struct {
	cfg      Config
	log      *slog.Logger
	identity *link.Identity
	warm     *warmPort
	doors    doors
	around   *surroundings
	channel  *mqtt.Channel
	exchange *signaling.Exchange
	reflect  *reflector.Budget
	calls    *calls      // our own attempts, by token
	sessions *sessions   // of both directions
	circuits *circuits   // that we relay, take, or wait for
	answers  *answered   // nominations that we have taken, and dials that we owe
	tuples   *tuples     // four-tuples of the warm port that are in use
	counters *counters   // port counters of our NATs
	fresh    *freshPorts // local ports for punches and looks
	nearby   nearby      // who looks for us on our LANs
	learned  *learned    // from earlier calls; nil where nothing is remembered

	ownBrokers bool               // Config named some
	ready      chan struct{}      // closed when New has waited, or would have
	probing    sync.WaitGroup     // the probes of the start
	stale      chan struct{}      // has an element when the mapping may have moved
	changed    chan struct{}      // has one when the networks may be others
	surveys    chan *survey       // for watch: everything shall be asked anew
	asking     sync.Mutex         // guards question
	question   context.CancelFunc // ends what is being asked about them
	shaken     bell               // rings when a router may have forgotten us
	lost       atomic.Bool        // a broker's connection was, and none has opened since

	accepting atomic.Bool
	hall      *hall         // accepted connections of which nobody is admitted yet
	hosting   chan struct{} // a place for each caller who may come to a relay of ours
	health    *health
	events    *events
	since     time.Time
	backlog   chan *Conn

	mu     sync.Mutex // between the beginning of work and Close
	ctx    context.Context
	cancel context.CancelCauseFunc
	all    sync.WaitGroup
	once   sync.Once
	closed error
}

var _ net.Listener = (*Node)(nil)

// New starts a node and returns when it knows its networks and a broker is
// reached, or after four seconds at most, unless Config.NoWait says otherwise: a node without a network starts all
// the same, is usable on its LAN, and says in Health what is missing. ctx
// bounds the start only; Close ends the node.
func New(ctx context.Context, cfg Config) (*Node, error) {
	ownBrokers := len(cfg.Brokers) > 0
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	list, err := places(cfg.Interfaces)
	if err != nil {
		return nil, err
	}
	warm, err := openWarm(ctx, cfg.Port)
	if err != nil {
		return nil, err
	}
	n := &Node{
		ownBrokers: ownBrokers,
		cfg:        cfg, log: cfg.Logger, warm: warm, around: newSurroundings(list),
		identity: link.NewIdentity(cfg.Key, cfg.Now),
		calls:    newCalls(), sessions: newSessions(), circuits: newCircuits(), answers: newAnswered(), tuples: newTuples(warm.port), counters: newCounters(), fresh: newFreshPorts(),
		backlog: make(chan *Conn, cfg.Backlog), hall: newHall(), hosting: make(chan struct{}, maxHosted), health: newHealth(), events: newEvents(), since: time.Now(),
		stale: make(chan struct{}, 1), changed: make(chan struct{}, 1), surveys: make(chan *survey), ready: make(chan struct{}),
	}
	n.learned = recall(cfg)
	n.ctx, n.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	if err := n.startSignaling(); err != nil {
		n.cancel(err)
		_ = warm.close()
		return nil, err
	}
	if n.noSTUN() {
		n.around.asked(list...)
	}
	n.all.Go(func() { n.serve(warm.listener) })
	n.openDoors()
	n.all.Go(n.watchNetworks)
	n.all.Go(n.tellAddress)
	if cfg.PortMap {
		n.all.Go(n.mapPorts)
	}
	if n.learned != nil {
		n.all.Go(func() { n.learned.keep(n.ctx) })
	}
	if cfg.NoWait {
		n.all.Go(func() {
			if n.waitReady(n.ctx) == nil {
				n.sampleCounters()
			}
		})
		return n, nil
	}
	if err := n.waitReady(ctx); err != nil {
		_ = n.Close()
		return nil, err
	}
	n.all.Go(n.sampleCounters)
	return n, nil
}

func (n *Node) startSignaling() error {
	channel, err := mqtt.New(mqtt.Config{
		Key: n.cfg.Key.Public(), Sign: n.cfg.Key.Sign, Brokers: n.cfg.Brokers, Endpoints: signaling.Endpoints,
		Dial: n.warm.DialContext, Logger: n.log, OnState: n.brokerState,
		KeepAlive: n.cfg.KeepAlive, PingTimeout: n.cfg.KeepAlive / 3,
	})
	if err != nil {
		return fmt.Errorf("signalling: %w", err)
	}
	n.channel = channel
	n.reflect = reflector.New(reflector.Config{Birthday: n.cfg.Birthday})
	n.exchange, err = signaling.NewExchange(signaling.Config{
		Key: n.cfg.Key, Channel: channel, Self: n.Address, Handlers: maxHandlers,
		Handler: signaling.HandlerFunc(n.handle), Also: n.beside, Now: n.cfg.Now, Logger: n.log,
	})
	if err != nil {
		return errors.Join(err, channel.Close())
	}
	return nil
}

// waitReady waits for the first reports and the first broker.
func (n *Node) waitReady(ctx context.Context) error {
	defer close(n.ready)
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	ready := make(chan struct{}, 2)
	n.all.Go(func() {
		n.health.note(&n.health.broker, n.reachBroker(ctx))
		ready <- struct{}{}
	})
	n.all.Go(func() {
		ctx, end := n.untilChanged()
		defer end()
		n.health.note(&n.health.stun, n.probeAll(ctx))
		ready <- struct{}{}
		n.probing.Wait() // one question at a time leaves the warm port for a server
		n.watch()
	})
	for range 2 {
		select {
		case <-ready:
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return ctx.Err()
			}
		}
	}
	return nil
}

// reachBroker waits until a broker of our own is open, or each has failed once:
// where there is no network, that is soon known.
func (n *Node) reachBroker(ctx context.Context) error {
	leave, err := n.channel.Join(ctx, n.cfg.Brokers)
	if err == nil {
		leave() // they are our own, and stay
	}
	return err
}

// admission is the configured one, once somebody accepts.
func (n *Node) admission() signaling.Admission {
	if !n.accepting.Load() {
		return signaling.Nobody()
	}
	return *n.cfg.Admission
}

// gate says how far somebody may come in: who is a stranger to admission may
// still open circuits.
func (n *Node) gate(k address.Key) signaling.Level {
	return max(n.admission().Level(k), n.beside(k))
}

// ID is the node's key.
func (n *Node) ID() address.Key { return n.cfg.Key.Public() }

// Addr gives the node's address as a net.Addr: its String is what peers take.
func (n *Node) Addr() net.Addr { return Addr{n.Address()} }

// Addr is a node's address where a net.Addr is asked for.
type Addr struct{ address.Address }

// Network is "sallyport".
func (Addr) Network() string { return "sallyport" }

// Accept waits for the next connection from a peer that the policy admits. It
// is a *Conn. The first call opens the node to others. After Close it gives
// net.ErrClosed.
func (n *Node) Accept() (net.Conn, error) {
	if !n.accepting.Swap(true) {
		n.exchange.Admit(*n.cfg.Admission)
		n.serveLAN()
	}
	select {
	case c := <-n.backlog:
		return c, nil
	case <-n.ctx.Done():
		return nil, fmt.Errorf("accept: %w", net.ErrClosed)
	}
}

// Close ends the node and every attempt under way, and waits for its
// goroutines. Connections that were handed out live on, as long as their path
// does. It may be called more than once.
func (n *Node) Close() error {
	n.once.Do(func() {
		n.mu.Lock()
		n.cancel(net.ErrClosed)
		n.mu.Unlock()
		n.doors.close()
		for _, s := range n.sessions.all(func(*session.Session) bool { return true }) {
			s.Abandon()
		}
		errs := []error{n.warm.listener.Close(), n.exchange.Close(), n.channel.Close()}
		n.nearby.stop()
		n.all.Wait()
		n.probing.Wait()
		errs = append(errs, n.warm.lock.Close())
		for {
			select {
			case c := <-n.backlog:
				_ = c.Close()
				continue
			default:
			}
			break
		}
		n.events.close()
		n.closed = errors.Join(errs...)
	})
	return n.closed
}
