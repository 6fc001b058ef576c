package netwatch

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// told is an event and when it came.
type told struct {
	Event
	at time.Duration
}

// scene is a watch under way in a bubble of its own.
type scene struct {
	said chan struct{} // nil: the system tells nothing

	mu  sync.Mutex
	off clocks // what the clocks are ahead of the bubble's
}

func (s *scene) put(change func(*clocks)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.off)
}

// run plays a scene and gives the events of that kind.
func run(t *testing.T, e Event, tells bool, play func(*scene)) (all []told) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		s := &scene{}
		if tells {
			s.said = make(chan struct{}, 1)
		}
		now := func() clocks {
			s.mu.Lock()
			defer s.mu.Unlock()
			return clocks{time.Since(begun) + s.off.all, time.Since(begun) + s.off.awake}
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			watch(ctx, s.said, now, func(e Event) { all = append(all, told{e, time.Since(begun)}) })
		}()
		play(s)
		cancel()
		<-done
	})
	return slices.DeleteFunc(all, func(t told) bool { return t.Event != e })
}

// news comes n times, d apart.
func (s *scene) news(n int, d time.Duration) {
	for range n {
		s.said <- struct{}{}
		time.Sleep(d)
	}
}

func TestBurstIsOneEvent(t *testing.T) {
	got := run(t, Changed, true, func(s *scene) {
		s.news(10, 10*time.Millisecond)
		time.Sleep(900 * time.Millisecond)
		s.news(3, quiet+time.Millisecond)
	})
	want := []time.Duration{140, 1050, 1101, 1152}
	if len(got) != len(want) {
		t.Fatalf("told %v", got)
	}
	for k, w := range want {
		if got[k].at != w*time.Millisecond {
			t.Errorf("told %v, want %v", got, want)
		}
	}
}

// A burst without end is told of in its midst.
func TestEndlessBurst(t *testing.T) {
	got := run(t, Changed, true, func(s *scene) { s.news(100, 9*time.Millisecond) })
	if len(got) != 1 || got[0].at > most+quiet {
		t.Errorf("told %v", got)
	}
}

// A network that comes and goes all the time is told of at a pace, and the last
// news of it all the same.
func TestPace(t *testing.T) {
	got := run(t, Changed, true, func(s *scene) {
		s.news(600, 100*time.Millisecond)
		time.Sleep(pace + quiet)
	})
	if want := burst + int(time.Minute/pace); len(got) > want+1 || len(got) < want-2 {
		t.Errorf("told %d times in a minute, want %d", len(got), want)
	}
	if last := got[len(got)-1].at; last < 599*100*time.Millisecond {
		t.Errorf("told last after %v", last)
	}
}

// Where the system tells nothing, or no more, networks are looked at often.
func TestLooks(t *testing.T) {
	for name, c := range map[string]struct {
		tells bool
		play  func(*scene)
		want  int
	}{
		"told":     {true, func(*scene) {}, 2},
		"not told": {false, func(*scene) {}, 20},
		"no more":  {true, func(s *scene) { close(s.said) }, 20},
	} {
		t.Run(name, func(t *testing.T) {
			got := run(t, Look, c.tells, func(s *scene) { c.play(s); time.Sleep(20*lookEvery + time.Second) })
			if len(got) != c.want {
				t.Errorf("%d looks, want %d", len(got), c.want)
			}
		})
	}
}

func TestSleep(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*clocks)
		want   int
	}{
		"awake":                 {func(*clocks) {}, 0},
		"a moment":              {func(c *clocks) { c.all += nap }, 0},
		"one clock stood":       {func(c *clocks) { c.all += time.Minute }, 1},
		"both went on":          {func(c *clocks) { c.all += time.Minute; c.awake += time.Minute }, 1},
		"the wall was put back": {func(c *clocks) { c.all -= time.Hour }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			got := run(t, Woke, true, func(s *scene) {
				time.Sleep(10 * time.Second)
				s.put(c.change)
				time.Sleep(10 * time.Second)
			})
			if len(got) != c.want || c.want == 1 && got[0].at > 10*time.Second+lookEvery {
				t.Errorf("told %v, want %d", got, c.want)
			}
		})
	}
}
