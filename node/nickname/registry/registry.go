// Package registry keeps registered nicknames: who is first has the name, as
// long as it is refreshed every seven days. It answers the protocol of package
// nickname over HTTP, and keeps what it knows in one bbolt file, its own key
// included.
//
// A claim counts for the client's address, of which an IPv4 one has 20 names
// and an IPv6 /64 five. A name that looks like one that another key has, as
// a1ice like alice, is refused. A name that was given up is free at once; its
// record stays for seven days, so that an older one can't be replayed.
package registry

import (
	"errors"
	"log/slog"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/time/rate"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node/nickname"
)

// Config says what a registry allows. Path is needed.
type Config struct {
	Path     string // of the file, made if missing, mode 0600
	PerIPv4  int    // names of one IPv4 address; default 20
	PerIPv6  int    // names of one IPv6 /64; default 5
	MaxNames int    // names in all; default 100,000
	// Rate is how many requests a second one address may send, Burst how many
	// at once; a stored record counts for ten. Default 10 and 200.
	Rate   float64
	Burst  int
	Now    func() time.Time // default time.Now
	Logger *slog.Logger     // default silent
}

const (
	maxOrigins  = 10_000
	maxParallel = 256 // connections
	// maxParallelEach are those of one address: it may not take all of them.
	maxParallelEach = 32
	sweepEvery      = time.Hour
	storeCosts      = 10
)

// Registry is an open registry. It is an http.Handler.
type Registry struct {
	cfg Config
	db  *bbolt.DB
	key address.PrivateKey

	mu     sync.Mutex // of writes to the names, and of what follows
	counts map[string]int
	names  int

	asking sync.Mutex // of rates: nobody waits for a write to be refused
	rates  map[string]*rate.Limiter
}

// Open opens a registry, or makes a new one.
func Open(cfg Config) (*Registry, error) {
	for _, d := range []struct {
		p *int
		v int
	}{{&cfg.PerIPv4, 20}, {&cfg.PerIPv6, 5}, {&cfg.MaxNames, 100_000}, {&cfg.Burst, 200}} {
		if *d.p <= 0 {
			*d.p = d.v
		}
	}
	if cfg.Rate <= 0 {
		cfg.Rate = 10
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	db, key, err := openStore(cfg.Path)
	if err != nil {
		return nil, err
	}
	g := &Registry{cfg: cfg, db: db, key: key, rates: make(map[string]*rate.Limiter)}
	if err := g.sweep(); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return g, nil
}

// Key is by which replies are signed.
func (g *Registry) Key() address.Key { return g.key.Public() }

// Names is how many names are taken, as of the last sweep and since.
func (g *Registry) Names() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.names
}

// Close closes the file. Serve must have returned.
func (g *Registry) Close() error { return g.db.Close() }

func (g *Registry) look(name nickname.Name) (p nickname.Reply, err error) {
	now := g.cfg.Now()
	p.Status = nickname.Absent
	err = g.db.View(func(tx *bbolt.Tx) error {
		e, err := find(tx, name.String())
		if e.holds(now) {
			p.Status, p.Record = nickname.Found, e.record.Bytes()
		}
		return err
	})
	return p, err
}

// store decides on a record and keeps it, with the counts, at once or not at
// all.
func (g *Registry) store(r nickname.Record, from string, limit int) (p nickname.Reply, err error) {
	now := g.cfg.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	counts := map[string]int{}
	names := 0
	err = g.db.Update(func(tx *bbolt.Tx) error {
		clear(counts)
		names = 0
		have, err := find(tx, r.Name.String())
		if err != nil {
			return err
		}
		alike, err := findAlike(tx, r.Name)
		if err != nil {
			return err
		}
		room := ""
		switch {
		case g.counts[from] >= limit:
			room = "this address has as many names as one may have"
		case g.names >= g.cfg.MaxNames:
			room = "the registry is full"
		}
		v := decide(now, r, have, alike, room)
		p.Status, p.Reason = v.status, v.reason
		switch v.status {
		case nickname.Stored:
			p.Record = r.Bytes()
		case nickname.Taken, nickname.Outdated:
			p.Record = have.record.Bytes()
			return nil
		default:
			return nil
		}
		e := &entry{r, from, now}
		held := have.holds(now)
		if held {
			e.origin = have.origin // it counts where it was claimed
		}
		if held && r.Released() {
			counts[e.origin]--
			names--
		} else if !held {
			counts[e.origin]++
			names++
			if have != nil && !have.record.Released() { // not swept yet
				counts[have.origin]--
				names--
			}
		}
		return put(tx, e)
	})
	if err != nil {
		return p, err
	}
	for origin, n := range counts {
		if g.counts[origin] += n; g.counts[origin] <= 0 {
			delete(g.counts, origin)
		}
	}
	g.names += names
	return p, nil
}

// sweep removes what nobody refreshes, and counts the rest.
func (g *Registry) sweep() error {
	now := g.cfg.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	counts := map[string]int{}
	names := 0
	err := g.db.Update(func(tx *bbolt.Tx) error {
		clear(counts)
		names = 0
		var gone []string
		err := each(tx, func(name string, s stored) {
			switch {
			case s.held(now):
				counts[s.Origin]++
				names++
			case !now.Before(s.until().Add(nickname.Tolerance)):
				gone = append(gone, name)
			case !s.Released:
				counts[s.Origin]++ // until it goes
				names++
			}
		})
		for _, name := range gone {
			err = errors.Join(err, remove(tx, name))
		}
		return err
	})
	if err == nil {
		g.counts, g.names = counts, names
	}
	return err
}
