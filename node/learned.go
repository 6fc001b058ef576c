package node

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/sallyport-net/sallyport/node/memory"
	"github.com/sallyport-net/sallyport/punch"
	"github.com/sallyport-net/sallyport/signaling"
)

// learned is what earlier calls have taught, and the file where it stays.
type learned struct {
	memory *memory.Memory
	path   string
	secret []byte // without it nobody can tell what the file is about
	now    func() time.Time
	log    *slog.Logger
	news   chan struct{} // has an element when something is not written down
}

// recall reads what was learned, or gives nil where nothing is to be kept.
func recall(cfg Config) *learned {
	if cfg.StateDir == "" {
		return nil
	}
	l := &learned{path: filepath.Join(cfg.StateDir, "networks.json"), now: cfg.Now, log: cfg.Logger, news: make(chan struct{}, 1)}
	l.secret = memorySecret(cfg.Key.Bytes())
	var err error
	if l.memory, err = memory.Load(l.now(), l.path); err != nil {
		l.log.Warn("what was learned earlier can't be read", "error", err)
	}
	return l
}

func memorySecret(key []byte) []byte {
	secret, err := hkdf.Key(sha256.New, key, nil, "sallyport/1 memory", 32)
	if err != nil {
		panic(err) // not reached: the length is allowed
	}
	return secret
}

// lessons are what is known about the two networks of one call, and what the
// call adds. A nil one knows nothing and learns nothing.
type lessons struct {
	learned *learned
	pair    memory.Pair
	advice  memory.Advice
	between pair

	mu    sync.Mutex
	tried []memory.Way
}

// about gives what is known about the networks of a call. Where the two share
// an external address, there is nothing to know.
func (l *learned) about(c *call) *lessons {
	if l == nil {
		return nil
	}
	families := c.punchable()
	if len(families) == 0 {
		return nil
	}
	p := families[0][0]
	name := memory.Name(l.secret, memory.Network{External: p.ours.External, Internal: c.node.around.local(p.ours.Index)},
		c.peer.Key.Bytes(), p.theirs.External)
	k := &lessons{learned: l, pair: name, between: p, advice: l.memory.Advise(l.now(), name)}
	if !k.advice.Empty() {
		c.note("", "these networks are known: direct works %v, is hopeless %v", k.directWorks(), k.directHopeless())
	}
	return k
}

var directWay = memory.Way{Strategy: string(Direct)}

func punchWay(m punch.Method, anew bool) memory.Way {
	return memory.Way{Strategy: string(Punch), Method: m.String(), Anew: anew}
}

// directWorks reports whether a dial worked, whatever the peer's NAT is said
// to do: a port is forwarded there, most likely.
func (k *lessons) directWorks() bool { return k != nil && k.advice.Works(directWay) }

// directHopeless reports whether only other ways have worked.
func (k *lessons) directHopeless() bool { return k != nil && k.advice.Hopeless(directWay) }

// anewFirst reports whether a punch between p should begin with freshly mapped
// ports: those in the addresses have never served here, and fresh ones have.
func (k *lessons) anewFirst(p pair, m punch.Method) bool {
	return k != nil && p == k.between && k.advice.Rather(punchWay(m, false), punchWay(m, true))
}

// tryDirect and tryPunch note what is tried.
func (k *lessons) tryDirect() { k.try(directWay) }

func (k *lessons) tryPunch(p pair, m punch.Method, anew bool) {
	if k != nil && p == k.between {
		k.try(punchWay(m, anew))
	}
}

func (k *lessons) try(w memory.Way) {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tried = append(slices.DeleteFunc(k.tried, func(o memory.Way) bool { return o == w }), w)
}

// connected remembers that a call was won by via: by the last that was tried of
// it. What was tried of it before has failed; so has a dial that something else
// was faster than, since it needs no signal and had the start. That a dial was
// faster than a punch says nothing.
func (k *lessons) connected(via Strategy) {
	if k == nil || via == LAN { // which tells nothing about NATs
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	worked := memory.Way{Strategy: string(via)}
	var failed []memory.Way
	for _, w := range k.tried {
		if w.Strategy == string(via) {
			worked = w
		}
		if w.Strategy == string(via) || w == directWay {
			failed = append(failed, w)
		}
	}
	k.learned.learn(k.pair, &worked, failed)
}

// failed remembers that a call came to nothing, where that was the networks'
// doing: a peer that was not there or said no, or a caller who gave up, says
// nothing about them.
func (k *lessons) failed(ctx context.Context, failures []Failure) {
	if k == nil || ctx.Err() != nil {
		return
	}
	for _, f := range failures {
		if errors.Is(f.Err, signaling.ErrNoAnswer) || errors.Is(f.Err, signaling.ErrRefused) || errors.Is(f.Err, signaling.ErrNoBroker) {
			return
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.tried) > 0 {
		k.learned.learn(k.pair, nil, k.tried)
	}
}

// learn takes a lesson over, and has it written down.
func (l *learned) learn(p memory.Pair, worked *memory.Way, failed []memory.Way) {
	l.memory.Learn(l.now(), p, worked, failed...)
	select {
	case l.news <- struct{}{}:
	default: // it will be already
	}
}

// keep writes down what is learned, until ctx ends.
func (l *learned) keep(ctx context.Context) {
	for ending := false; !ending; {
		select {
		case <-l.news:
		case <-ctx.Done():
			ending = true
			select {
			case <-l.news:
			default:
				return
			}
		}
		if err := l.memory.Save(l.now(), l.path); err != nil {
			l.log.Warn("what was learned can't be written", "error", err)
		}
	}
}
