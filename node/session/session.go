// Package session carries streams between two nodes over one proven link at a
// time, and outlives the links: what was not acknowledged on one is sent again
// on the next. docs/session.md is the specification.
//
//	frame = type (1) ‖ code (1) ‖ length (2) ‖ stream (4) ‖ payload
//
// A session has two goroutines while it is idle: one reads its link, one
// writes.
package session

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"sync"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node/link"
)

var (
	// ErrGone: the session's link was lost, and no other came in time or the
	// peer knows nothing of the session any more. What has arrived is not all.
	ErrGone = fmt.Errorf("the session is gone: %w", link.ErrCut)
	// ErrReset: the peer gave the stream up before it had sent all.
	ErrReset = fmt.Errorf("the peer has reset the stream: %w", link.ErrCut)
	// ErrPeerClosed: the peer reads no more from the stream.
	ErrPeerClosed = errors.New("the peer has closed the stream")
	// ErrEnding: the session takes no new stream.
	ErrEnding = errors.New("the session is ending")
	// errProtocol: the peer broke a rule of the framing.
	errProtocol = errors.New("the peer broke the session's rules")
)

// Config says how a session behaves. Opener and Secret must be set.
type Config struct {
	// Opener is whether this end called: it alone calls again.
	Opener bool
	// Attempt is the attempt of the first link's nomination.
	Attempt [16]byte
	// Path describes the first link; Session.Path gives it back.
	Path any
	// Accept takes a stream that the peer opened, or says by which error not:
	// link.ErrBusy, link.ErrRefused or ErrNotServed. It must not block. Nil
	// refuses all.
	Accept func(*Stream) error
	// Need is called in a goroutine of its own, once for each time that the link
	// is suspect or lost and has streams worth saving. Resume is the answer to
	// it. Only an opener calls it. Nil means that nothing is done.
	Need func(*Session)
	// Lost is called when a link has ended or fallen silent. It must not block.
	Lost func(*Session)
	// Back is called when a link that had fallen silent is heard again. It must
	// not block.
	Back func(*Session)
	// Moved is called when a new link has taken over. It must not block.
	Moved func(*Session)
	// Ended is called once, when the session is over. It must not block.
	Ended func(*Session)
	// SilentLife and CutLife are how long the session waits for a new link
	// after the old one fell silent, and after it ended. 0 means 10 min and 15 s.
	SilentLife, CutLife time.Duration
	// Logger gets events as data. Nil means silence.
	Logger *slog.Logger
}

// ID names a session between its two ends.
type ID [16]byte

// Session is one end of a session. It is safe for concurrent use.
type Session struct {
	cfg  Config
	id   ID
	key  [sha256.Size]byte
	peer address.Key
	log  *slog.Logger

	established chan struct{} // closed when the first verdict is known
	over        chan struct{} // closed at the end

	mu       sync.Mutex
	wake     sync.Cond // for the writer
	room     sync.Cond // for streams that wait to queue
	ended    error     // why it is over
	out      outbox
	arrived  sync.Cond // for a new link that waits for what the old one brings
	carrier  *carrier  // nil while there is none
	next     *carrier  // to be the one in use when the writer gets to it
	past     *carrier  // the last one, while there is none
	carriers map[*carrier]bool
	epoch    uint64 // the last that was asked for, or answered
	inUse    uint64 // that of the last carrier
	received uint64 // numbered frames
	told     uint64 // of them, acknowledged
	untold   int    // bytes that are not
	ackNow   bool
	pong     [][8]byte // to be sent

	streams  map[uint32]*Stream
	nextID   uint32
	lastID   uint32 // highest of the peer's
	theirs   int    // streams that the peer opened
	kinds    kinds  // that the peer knows
	windows  int    // sum of the receive windows
	parting  uint64 // one above the last frame of streams that we closed first
	closing  bool   // CLOSING is sent
	finished bool   // CLOSING has come

	pulse  pulse
	timer  *time.Timer // of the pulse
	ackTo  *time.Timer // sends a late ACK
	life   *time.Timer // ends a session that is lost
	asked  bool        // Need is at work
	again  bool        // and another loss came meanwhile
	alone  bool        // no new link will come
	news   chan struct{}
	moves  int
	dud    int
	forged int
	sent   uint64 // bytes of streams
	came   uint64
}

// New begins a session on a link that was nominated for it. It takes the link
// over.
func New(l *link.Conn, cfg Config) (*Session, error) {
	s, c, err := prepare(l, cfg)
	if err != nil {
		return nil, err
	}
	s.run(c)
	return s, nil
}

// Begin is New at the end that has called, and Open: the stream is there before
// the peer's answer, which may be a no, and the end of the session. Then it gives
// that no, as any stream does that was opened in time.
func Begin(l *link.Conn, cfg Config, kind Kind) (*Session, *Stream, error) {
	s, c, err := prepare(l, cfg)
	if err != nil {
		return nil, nil, err
	}
	first, err := s.Open(kind)
	s.run(c)
	if err != nil {
		_ = s.Close()
		return nil, nil, err
	}
	return s, first, nil
}

// prepare makes a session that does not yet read from its link, nor write to it.
func prepare(l *link.Conn, cfg Config) (*Session, *carrier, error) {
	id, key, err := secrets(l, cfg.Attempt)
	if err != nil {
		_ = l.NetConn().Close()
		return nil, nil, fmt.Errorf("session: %w", err)
	}
	s := blank(cfg)
	s.id, s.key, s.peer = id, key, l.Peer()
	s.pulse.heard(time.Now())
	s.pulse.active(time.Now())
	c := &carrier{link: l, path: cfg.Path, started: true}
	c.touch()
	s.mu.Lock()
	s.carriers[c] = true
	s.carrier = c
	s.timer = time.AfterFunc(time.Hour, s.beat)
	s.ackTo = time.AfterFunc(time.Hour, s.ackLate)
	s.reschedule()
	s.mu.Unlock()
	return s, c, nil
}

// run writes to the link and reads from it, until both end with the session.
func (s *Session) run(c *carrier) {
	go s.write()
	go s.read(c)
}

// blank is a session that has no link and no goroutine yet.
func blank(cfg Config) *Session {
	if cfg.SilentLife <= 0 {
		cfg.SilentLife = 10 * time.Minute
	}
	if cfg.CutLife <= 0 {
		cfg.CutLife = 15 * time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Session{
		cfg: cfg, log: cfg.Logger,
		established: make(chan struct{}), over: make(chan struct{}), news: make(chan struct{}),
		streams: make(map[uint32]*Stream), carriers: make(map[*carrier]bool), nextID: 2,
	}
	if cfg.Opener {
		s.nextID = 1
	}
	s.wake.L, s.room.L, s.arrived.L = &s.mu, &s.mu, &s.mu
	s.pulse.opener = cfg.Opener
	return s
}

// ID names the session.
func (s *Session) ID() ID { return s.id }

// Peer is the proven key of the other end.
func (s *Session) Peer() address.Key { return s.peer }

// Opener reports whether this end called.
func (s *Session) Opener() bool { return s.cfg.Opener }

// Over is closed when the session has ended.
func (s *Session) Over() <-chan struct{} { return s.over }

// Changed is closed when the path changes the next time: is lost or suspect, is
// back, or is another one; and at the end.
func (s *Session) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.news
}

// tell tells those who wait for Changed.
func (s *Session) tell() {
	close(s.news)
	s.news = make(chan struct{})
}

// Path is what describes the link in use, or the last one: as given to New or
// Resume.
func (s *Session) Path() any { s.mu.Lock(); defer s.mu.Unlock(); return s.last().path }

// Addrs are the two ends of the link in use, or of the last one.
func (s *Session) Addrs() (local, remote net.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.last().link
	return l.LocalAddr(), l.RemoteAddr()
}

// last is the link in use or the one that was last.
func (s *Session) last() *carrier {
	if s.carrier != nil {
		return s.carrier
	}
	return s.past
}

// Stats counts what has happened to a session.
type Stats struct {
	Moves  int           // links that took over
	Resent uint64        // frames that were sent once more
	Duds   int           // links and resumptions that were refused for breaking a rule
	Forged int           // links that TLS ended, since what came was changed on the way
	RTT    time.Duration // of the link in use; 0 before it was measured
	Alive  bool          // a link is there and was heard in time
	// Sent and Received are bytes of the streams: those that Write has taken,
	// and those that have come.
	Sent, Received uint64
}

// Stats gives the counts so far.
func (s *Session) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{s.moves, s.out.resent, s.dud, s.forged, s.pulse.trip.is, s.alive(), s.sent, s.came}
}

func (s *Session) alive() bool { return s.ended == nil && s.carrier != nil && !s.pulse.suspect }

// Open opens a stream. Nothing is waited for: data may be written at once.
// kind says what it is for. The error is ErrEnding where the session takes none,
// or has no link that is known to work: a new session is the thing then. Of a
// Tunnel it may be ErrTooOld or ErrUntold, too.
func (s *Session) Open(kind Kind) (*Stream, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.takes() {
		return nil, ErrEnding
	}
	if err := s.mayAsk(kind); err != nil {
		return nil, err
	}
	t := s.newStream(s.nextID, kind, false)
	s.nextID += 2
	s.control(frameOpen, byte(kind), t.id)
	return t, nil
}

// Takes reports whether Open would give a stream.
func (s *Session) Takes() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.takes() }

func (s *Session) takes() bool {
	return !s.closing && !s.finished && s.alive() && s.nextID <= math.MaxUint32-2
}

// Err is why the session is over: nil while it lasts, and where both ends had
// finished and knew it of each other.
func (s *Session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if errors.Is(s.ended, io.EOF) && !errors.Is(s.ended, link.ErrCut) {
		return nil
	}
	return s.ended
}

// Established waits until the peer has answered the first link's nomination,
// and gives its no. It is always nil at the acceptor.
func (s *Session) Established() error {
	<-s.established
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}
