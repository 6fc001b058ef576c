package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/netutil"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node"
)

const (
	maxClients   = 64       // connections of clients on TCP
	maxLocal     = 256      // the same on the Unix socket: commands keep two each
	maxHeader    = 16 << 10 // bytes
	maxJSON      = 16 << 10 // bytes of a body that is JSON
	maxData      = 1 << 20  // bytes of a send, a receive or a WebSocket message
	maxStreams   = 128      // event streams
	headerTime   = 5 * time.Second
	bodyTime     = 30 * time.Second
	answerTime   = 30 * time.Second // for a client to take what it asked for
	clientIdle   = 2 * time.Minute  // of a client's connection between requests
	longestWait  = 2 * time.Minute  // of an open or a receive
	defaultIdle  = 10 * time.Minute
	defaultConns = 64
)

// Config says what is served. Node must be set.
type Config struct {
	Node *node.Node
	// Resolve makes an address of whatever a client calls a peer by; warning is
	// for people. Nil takes addresses only.
	Resolve func(ctx context.Context, target string) (peer address.Address, warning string, err error)
	// Explain puts an error of Resolve or of a call into words. Nil means that
	// the errors' own words and hints are used.
	Explain func(error) Problem
	// Forward forwards to and from a peer until ctx ends, and tells of what
	// happens. It must be over when it returns; tell may be called after that.
	// Nil means that the node forwards nothing.
	Forward func(ctx context.Context, peer address.Address, want Forwarding, tell func(ForwardEvent)) error
	// Why calls a peer and says step by step how that went, and what would help.
	// Nil means that nobody may ask.
	Why func(ctx context.Context, peer address.Address) (Diagnosis, error)
	// Version is told to clients.
	Version Version
	// Token is what clients on TCP show. Without one only the page comes in.
	Token string
	// Shutdown is called when a client on the Unix socket wants the node to end.
	// It must not block. Nil means that none may.
	Shutdown func()
	// Idle is how long a connection to a peer is held that no client uses.
	// 0 means 10 min.
	Idle time.Duration
	// Connections is how many connections to peers are held at most. 0 means 64.
	Connections int
	// Logger gets events as data. Nil means silence.
	Logger *slog.Logger
}

// Server serves a node to clients, on as many listeners as are handed to it. It
// is safe for concurrent use.
type Server struct {
	cfg      Config
	since    time.Time
	log      *chronicle
	tickets  *tickets
	held     *connections
	forwards forwardings
	whys     chan struct{} // a place for each that is under way
	prober   prober
	streams  chan struct{} // a place for each event stream

	ctx    context.Context
	cancel context.CancelFunc
	all    sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	servers []*http.Server
	host    string // of the TCP listener
}

// New makes a server, which begins to remember what happens.
func New(cfg Config) (*Server, error) {
	if cfg.Node == nil {
		return nil, errors.New("there is no node to serve")
	}
	if cfg.Idle <= 0 {
		cfg.Idle = defaultIdle
	}
	if cfg.Connections <= 0 {
		cfg.Connections = defaultConns
	}
	if cfg.Explain == nil {
		cfg.Explain = plainProblem
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{cfg: cfg, since: time.Now(), log: newChronicle(), tickets: newTickets(time.Now), streams: make(chan struct{}, maxStreams)}
	s.whys = make(chan struct{}, maxWhys)
	s.prober.busy = make(chan struct{}, 1)
	s.held = newConnections(cfg.Connections, cfg.Idle, s.log)
	s.ctx, s.cancel = context.WithCancel(context.Background())
	notices := cfg.Node.Events(s.ctx)
	s.all.Go(func() { s.log.follow(notices) })
	return s, nil
}

// ServeUnix serves on a Unix socket, whose file's mode says who may, until Close.
func (s *Server) ServeUnix(l net.Listener) error {
	return s.serve(l, maxLocal, noPages(s.handler(true)))
}

// ServeTCP serves on 127.0.0.1 to those who show the token, until Close.
func (s *Server) ServeTCP(l net.Listener) error {
	addr, ok := l.Addr().(*net.TCPAddr)
	if !ok || !addr.IP.IsLoopback() {
		return fmt.Errorf("%v is not on this machine's loopback", l.Addr())
	}
	s.mu.Lock()
	s.host = addr.String()
	s.mu.Unlock()
	guarded := s.guard(s.handler(false), addr.String())
	public := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		guarded.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), publicly{}, isPublic(r))))
	})
	return s.serve(l, maxClients, public)
}

// serve runs until Close, and gives an error only where that is not why it ends.
func (s *Server) serve(l net.Listener, clients int, h http.Handler) error {
	server := &http.Server{
		Handler: secured(bounded(h, bodyTime)), ReadHeaderTimeout: headerTime, IdleTimeout: clientIdle, MaxHeaderBytes: maxHeader,
		BaseContext: func(net.Listener) context.Context { return s.ctx },
		ErrorLog:    slog.NewLogLogger(s.cfg.Logger.Handler(), slog.LevelDebug),
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		_ = l.Close()
		return nil
	}
	s.servers = append(s.servers, server)
	s.all.Add(1)
	s.mu.Unlock()
	defer s.all.Done()
	if err := server.Serve(netutil.LimitListener(l, clients)); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// noPages refuses what browsers send: they have no business on a Unix socket.
func noPages(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, sent := r.Header["Origin"]; sent {
			refuse(w, Forbidden, "pages are not served here", "")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Take holds a connection that a peer has made until a client uses it. Where
// there is no room for it, it is closed.
func (s *Server) Take(c *node.Conn) {
	h, err := s.held.reserve("")
	if err != nil {
		_ = c.Reset()
		return
	}
	s.held.fill(h, c, s.cfg.Node.SessionNumber(c), false)
}

// Link is where the page opens, once, within five minutes; "" where no TCP
// listener is served.
func (s *Server) Link() string {
	if at := s.at(); at != "" {
		return at + "#" + s.tickets.issue()
	}
	return ""
}

// at is the page's URL.
func (s *Server) at() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.host == "" {
		return ""
	}
	return "http://" + s.host + "/"
}

// Close ends all listeners, clients, and connections to peers, and waits for
// them. It leaves the node alone.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	servers := slices.Clone(s.servers)
	s.mu.Unlock()
	s.cancel()
	s.held.close()
	var errs []error
	for _, server := range servers {
		errs = append(errs, server.Close())
	}
	s.all.Wait()
	return errors.Join(errs...)
}
