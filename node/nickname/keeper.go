package nickname

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

// KeeperConfig says which names are kept alive. Names and Publisher are needed.
type KeeperConfig struct {
	Names     []Name
	Publisher Publisher
	// Look is how often each name is looked at, and published anew where it is
	// missing, damaged, half-way to its expiry or leads elsewhere. Default
	// 20 min, jittered by a quarter.
	Look time.Duration
	// Retry is the pause after a failure, doubled up to Look. Default 30 s.
	Retry time.Duration
	// OnResult is told of every look that published something or failed; err
	// is nil where it was published. It must return soon.
	OnResult func(name Name, r Record, err error)
	Logger   *slog.Logger // default silent
}

// Keeper refreshes names until it is closed.
type Keeper struct {
	cfg    KeeperConfig
	cancel context.CancelFunc
	all    sync.WaitGroup
}

// Keep publishes every name now, with a sequence number above all before, and
// from then on keeps it.
func Keep(cfg KeeperConfig) *Keeper {
	if cfg.Look <= 0 {
		cfg.Look = 20 * time.Minute
	}
	if cfg.Retry <= 0 {
		cfg.Retry = 30 * time.Second
	}
	if cfg.OnResult == nil {
		cfg.OnResult = func(Name, Record, error) {}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithCancel(context.Background())
	k := &Keeper{cfg: cfg, cancel: cancel}
	for _, name := range cfg.Names {
		k.all.Go(func() { k.keep(ctx, name) })
	}
	return k
}

func (k *Keeper) keep(ctx context.Context, name Name) {
	failures := 0
	for first := true; ctx.Err() == nil; first = false {
		pause := k.cfg.Look - time.Duration(rand.Int64N(int64(k.cfg.Look/4)+1))
		if first || failures > 0 || !k.cfg.Publisher.Current(ctx, name) {
			r, err := k.cfg.Publisher.Publish(ctx, name)
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				pause = min(k.cfg.Retry<<min(failures, 10), pause)
				failures++
				k.cfg.Logger.Info("name not published", "name", name.String(), "error", err)
			} else {
				failures = 0
				k.cfg.Logger.Info("name published", "name", name.String(), "sequence", r.Sequence)
			}
			k.cfg.OnResult(name, r, err)
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// Close ends the refreshing and waits for it. The names stay where they are
// until they expire. It may be called more than once.
func (k *Keeper) Close() error {
	k.cancel()
	k.all.Wait()
	return nil
}
