package mqtt

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A try of this race takes so long, and succeeds or not.
type try struct {
	takes time.Duration
	ok    bool
}

func TestRace(t *testing.T) {
	const ms = time.Millisecond
	for name, x := range map[string]struct {
		tries   []try
		giveUp  time.Duration // 0: never
		winner  int           // -1: none
		at      time.Duration
		started []time.Duration
		failed  []int
	}{
		"first in time":            {[]try{{50 * ms, true}, {0, true}}, 0, 0, 50 * ms, []time.Duration{0}, nil},
		"second overtakes":         {[]try{{500 * ms, true}, {20 * ms, true}}, 0, 1, 120 * ms, []time.Duration{0, 100 * ms}, nil},
		"second at once":           {[]try{{10 * ms, false}, {20 * ms, true}}, 0, 1, 30 * ms, []time.Duration{0, 10 * ms}, []int{0}},
		"old failure starts none":  {[]try{{150 * ms, false}, {500 * ms, true}, {500 * ms, true}}, 0, 1, 600 * ms, []time.Duration{0, 100 * ms, 200 * ms}, []int{0}},
		"first after all":          {[]try{{350 * ms, true}, {10 * ms, false}, {10 * ms, false}}, 0, 0, 350 * ms, []time.Duration{0, 100 * ms, 110 * ms}, []int{1, 2}},
		"none":                     {[]try{{10 * ms, false}, {10 * ms, false}}, 0, -1, 20 * ms, []time.Duration{0, 10 * ms}, []int{0, 1}},
		"nothing to try":           {nil, 0, -1, 0, nil, nil},
		"given up":                 {[]try{{time.Hour, true}, {time.Hour, true}, {time.Hour, true}}, 150 * ms, -1, 150 * ms, []time.Duration{0, 100 * ms}, []int{0, 1}},
		"given up before the next": {[]try{{time.Hour, true}, {time.Hour, true}}, 50 * ms, -1, 50 * ms, []time.Duration{0}, []int{0}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				if x.giveUp > 0 {
					time.AfterFunc(x.giveUp, cancel)
				}
				begin := time.Now()
				var wg sync.WaitGroup
				var mu sync.Mutex
				var started []time.Duration
				v, errs := race(ctx, len(x.tries), 100*ms, wg.Go, func(ctx context.Context, i int) (int, error) {
					mu.Lock()
					started = append(started, time.Since(begin))
					mu.Unlock()
					select {
					case <-time.After(x.tries[i].takes):
					case <-ctx.Done():
						return 0, context.Cause(ctx)
					}
					if !x.tries[i].ok {
						return 0, fmt.Errorf("try %d failed", i)
					}
					return i + 1, nil
				}, func(int) { t.Error("discarded") })
				if took := time.Since(begin); v-1 != x.winner || took != x.at {
					t.Errorf("try %d after %v, want %d after %v", v-1, took, x.winner, x.at)
				}
				wg.Wait()
				if !reflect.DeepEqual(started, x.started) {
					t.Errorf("started at %v, want %v", started, x.started)
				}
				var failed []int
				for i, err := range errs {
					if err != nil {
						failed = append(failed, i)
					}
				}
				if !reflect.DeepEqual(failed, x.failed) {
					t.Errorf("failed %v (%v), want %v", failed, errs, x.failed)
				}
			})
		})
	}
}

// Those that succeed although they were overtaken are discarded, each once.
func TestRaceDiscards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var wg sync.WaitGroup
		var discarded []int
		v, _ := race(context.Background(), 3, time.Millisecond, wg.Go, func(ctx context.Context, i int) (int, error) {
			if i == 2 {
				return i, nil
			}
			<-ctx.Done()
			if !errors.Is(context.Cause(ctx), errOvertaken) {
				t.Errorf("cancelled for %v", context.Cause(ctx))
			}
			time.Sleep(time.Duration(i+1) * time.Second)
			return i, nil
		}, func(i int) { discarded = append(discarded, i) })
		wg.Wait()
		if v != 2 || !reflect.DeepEqual(discarded, []int{0, 1}) {
			t.Errorf("winner %d, discarded %v", v, discarded)
		}
	})
}
