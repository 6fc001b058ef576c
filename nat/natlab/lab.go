package natlab

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Lab is one closed network: an internet, boxes and hosts.
type Lab struct {
	cfg   Config
	log   *slog.Logger
	began time.Time
	alarm *alarm
	group sync.WaitGroup // the readers and the pump

	building sync.Mutex // one Host or NAT or Close at a time
	closed   bool       // guarded by building
	hosts    []*Host
	boxes    []*Box

	mu       sync.Mutex // guards what packets touch: all from here on, links and boxes
	now      time.Duration
	queue    queue
	armed    time.Duration // when the alarm rings; 0: not set
	out      []delivery
	core     *core
	watchers []*func(Packet)
	draws    uint64 // random sources handed out
}

// delivery is a packet on its way into a kernel, written once the lock is free.
type delivery struct {
	to *tun
	b  []byte
}

// New makes an empty lab. The caller closes it.
func New(cfg Config) (*Lab, error) {
	if err := Available(); err != nil {
		return nil, err
	}
	a, err := newAlarm()
	if err != nil {
		return nil, err
	}
	l := &Lab{cfg: cfg, log: cfg.Logger, began: time.Now(), alarm: a}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	l.core = &core{lab: l, routes: map[netip.Addr]*link{}}
	l.group.Go(l.pump)
	return l, nil
}

// Close ends every command, takes the hosts' network away and waits until all
// is gone. Sockets that the process itself opened on a host stay the caller's
// to close. Calls after the first do nothing.
func (l *Lab) Close() error {
	l.building.Lock()
	defer l.building.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	for _, h := range l.hosts {
		h.commands.end(h.ns)
	}
	for _, b := range l.boxes {
		if b.kernel != nil {
			b.commands.end(b.kernel.ns)
		}
	}
	l.mu.Lock()
	l.alarm.close()
	l.queue = queue{}
	l.mu.Unlock()
	var group sync.WaitGroup // a TUN takes the kernel some milliseconds to remove
	for _, h := range l.hosts {
		group.Go(h.close)
	}
	for _, b := range l.boxes {
		group.Go(b.close)
	}
	group.Wait()
	l.group.Wait()
	return nil
}

// random gives each link and box a source of its own, so that what one draws
// does not depend on the traffic of another.
func (l *Lab) random() *rand.Rand {
	l.draws++
	return rand.New(rand.NewPCG(l.cfg.Seed, l.draws))
}

// clock is the time since the lab began.
func (l *Lab) clock() time.Duration { return time.Since(l.began) }

// pump moves on what the links have delayed, each at its time.
func (l *Lab) pump() {
	var out []delivery
	for l.alarm.wait() {
		l.mu.Lock()
		l.armed, l.out = 0, out[:0]
		l.advance(l.clock())
		if at, ok := l.queue.next(); ok {
			l.arm(at)
		}
		out = l.out
		l.mu.Unlock()
		write(out)
	}
}

// advance lets arrive what is due by now, each packet at its own time and not
// at the real one, so that lateness does not add up.
func (l *Lab) advance(now time.Duration) {
	for {
		e, ok := l.queue.due(now)
		if !ok {
			return
		}
		l.now = e.at
		e.link.queued[direction(e.down)]--
		e.link.arrive(&e.p, e.down)
	}
}

// schedule queues e.
func (l *Lab) schedule(e event) {
	l.queue.push(e)
	if at, _ := l.queue.next(); l.armed == 0 || at < l.armed {
		l.arm(at)
	}
}

// arm sets the alarm to the time at.
func (l *Lab) arm(at time.Duration) {
	l.armed = at
	l.alarm.set(at - l.clock())
}

// read takes packets from t to enter until t is closed.
func (l *Lab) read(t *tun, enter func(*packet)) {
	var out []delivery
	b := make([]byte, maxPacket)
	for {
		n, err := t.file.Read(b)
		if err != nil {
			return
		}
		p, ok := parse(b[:n])
		if !ok {
			continue // not an IP packet that the lab knows
		}
		l.mu.Lock()
		l.now, l.out = l.clock(), out[:0]
		enter(&p)
		out = l.out
		l.mu.Unlock()
		write(out) // before b is read into again
	}
}

// deliver hands p to a kernel.
func (l *Lab) deliver(to *tun, p *packet) { l.out = append(l.out, delivery{to, p.b}) }

func write(out []delivery) {
	for _, d := range out {
		d.to.file.Write(d.b) // fails only on a TUN being closed
	}
}

// dropped logs the end of a packet.
func (l *Lab) dropped(where string, p *packet, why string) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.Debug("packet dropped", "at", where, "why", why, "proto", p.proto, "src", p.src, "dst", p.dst, "flags", p.flags(), "ttl", p.ttl())
	}
}

// build runs f if the lab is open, alone.
func (l *Lab) build(f func() error) error {
	l.building.Lock()
	defer l.building.Unlock()
	if l.closed {
		return net.ErrClosed
	}
	return f()
}
